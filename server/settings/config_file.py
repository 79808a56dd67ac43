"""The config file (``--config``): settings in TOML, by the names of the options without ``--``.

    port = [9736, 9737]
    max-clients = 1000
    all-cores = true

Values obey the same rules as those on the command line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

from server.settings.entry import Setting
from server.settings.table import SETTINGS


class ConfigFileError(Exception):
    """The file cannot be read, or a value in it cannot be used. The text is a sentence that begins with the path."""


def read_config_file(path: str) -> dict[str, Any]:
    """Return the values in a file, by the fields of `Settings`. Raises `ConfigFileError`."""
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except OSError as problem:
        raise ConfigFileError(f"{path}: {problem.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigFileError(f"{path}: not valid TOML: {problem}") from None
    return dict(_values(path, content))


def _values(path: str, content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    known = {entry.option[2:]: entry for entry in SETTINGS if entry.option and entry.name != "config_file"}
    for key, value in content.items():
        entry = known.get(key)
        if entry is None:
            raise ConfigFileError(f"{path}: {key!r} is not a setting; --help lists them")
        try:
            yield entry.name, _value(entry, value)
        except ValueError as problem:
            raise ConfigFileError(f"{path}: {key}: {problem}") from None


def _value(entry: Setting, value: Any) -> Any:
    """Convert a value of TOML. Raises `ValueError` with a sentence."""
    if entry.repeatable:
        return tuple(entry.kind.parse(_text(each)) for each in (value if isinstance(value, list) else [value]))
    return entry.kind.parse(_text(value))


def _text(value: Any) -> str:
    """Return a value as it is written on the command line, so that the same rules apply."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        raise ValueError("must be a single value")
    return str(value)
