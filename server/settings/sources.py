"""Where settings come from: the command line, then the environment, then the defaults."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from common import __version__
from common.program import program_name
from server.settings.kinds import Switch
from server.settings.table import SETTINGS, Group, Setting, Settings, SettingsError, check, option_of


class SettingsReader:
    """Read settings from a command line and an environment.

    A bad value ends the process with exit status 2 and one sentence that names the option or the variable.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._parser = new_parser()
        self._sources: dict[str, str] = {}  # by field: the option or the variable that the value is from

    def read(self, arguments: Sequence[str] | None = None) -> Settings:
        """Return the settings. ``arguments`` are those of the process if None."""
        values = vars(self._parser.parse_args(arguments))
        for entry in SETTINGS:
            # Only options that were given are in the namespace (argparse.SUPPRESS), so defaults cannot hide a variable.
            if entry.name in values:
                self._sources[entry.name] = entry.option or ""
                if entry.repeatable:
                    values[entry.name] = tuple(values[entry.name])
            # An empty variable counts as missing (docs/operations.md). An empty option does not.
            elif entry.variable and (text := self._environ.get(entry.variable)):
                self._sources[entry.name] = entry.variable
                try:
                    values[entry.name] = from_variable(entry, text)
                except ValueError as problem:
                    self._parser.error(f"{entry.variable}: {problem}")
        settings = Settings(**values)
        # Again, although each value was parsed: only now is it known whether settings contradict each other.
        try:
            check(settings)
        except SettingsError as problem:
            self.fail(problem)
        return settings

    def fail(self, error: SettingsError) -> NoReturn:
        """End the process with the usage and a sentence that names the option or the variable."""
        self._parser.error(f"{self._sources.get(error.name) or option_of(error.name)} {error.problem}")


def new_parser() -> argparse.ArgumentParser:
    """Make the parser of all options. An option that is not given adds nothing to the namespace."""
    parser = argparse.ArgumentParser(
        prog=program_name("server"),
        description="A key-value server for telnet, Redis clients, JSON frames and HTTP.",
        epilog="Every option can also be set in the environment: --max-line is KVLINE_MAX_LINE. The command line wins.",
        argument_default=argparse.SUPPRESS,  # `SettingsReader.read` must see which options were given
    )
    sections: dict[Group | None, Callable[..., object]] = {None: parser.add_argument}
    for entry in SETTINGS:
        if entry.group is not None and entry.group not in sections:
            sections[entry.group] = parser.add_argument_group(*entry.group).add_argument
        if entry.option:
            sections[entry.group](entry.option, **_argument(entry))
    parser.add_argument("--version", action="version", version=f"kvline {__version__}")
    return parser


def _argument(entry: Setting) -> dict[str, Any]:
    """Return the arguments of ``add_argument`` for an entry."""
    if isinstance(entry.kind, Switch):
        # --no-… lets the command line win over the environment.
        return {"dest": entry.name, "action": argparse.BooleanOptionalAction, "help": entry.help}
    default = entry.default_text()
    return {
        "dest": entry.name,
        "type": _converter(entry),
        "action": "append" if entry.repeatable else "store",
        "metavar": entry.kind.metavar,
        "help": f"{entry.help} (default: {default})" if default else entry.help,
    }


def _converter(entry: Setting) -> Callable[[str], Any]:
    """Return the converter of an option. It raises the error whose text argparse shows; other texts are replaced."""

    def convert(text: str) -> Any:
        try:
            return entry.kind.parse(text)
        except ValueError as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None  # a ValueError would be "invalid convert value"

    return convert


def from_variable(entry: Setting, text: str) -> Any:
    """Convert the text of a variable. Raises `ValueError` with a sentence."""
    if entry.repeatable:
        return tuple(entry.kind.parse(each) for each in re.split(r"[\s,]+", text) if each)
    return entry.kind.parse(text)
