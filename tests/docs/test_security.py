"""docs/security.md states every bound, and each number is that of the code."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from server.settings import PARAMETERS, SETTINGS, table
from tests.harness.cases import case
from tests.harness.processes import ROOT
from tests.harness.sources import module_files, syntax_tree

SECURITY = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in SECURITY.partition("## The bounds")[2].splitlines()
    if re.match(r"\|(?! ---| what \|| \*\*)", line)
]

UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}

NO_BOUNDS = {
    "common.resp_replies.MAX_SHORT_ARRAY": "longer arrays are encoded in another way",
    "common.resp_requests.MAX_UNIFORM_ARGS": "requests with more arguments are decoded in another way",
    "common.resp_requests.MAX_SPLIT_ARGS": "longer requests are decoded in another way",
    "common.text.MAX_CONTINUATION_BYTES": "a property of UTF-8",
    "server.scripts.interpreter.MAX_ARGUMENTS_AT_ONCE": "more are passed in several calls",
    "server.args.integers.MAX_QUICK_DIGITS": "longer numbers are parsed in another way",
    "server.args.integers.MAX_CURSOR": "a range of integers",
    "server.args.integers.MAX_CURSOR_LENGTH": "a range of integers",
    "server.args.integers.MAX_INT": "a range of integers",
    "server.args.integers.MAX_INTEGER": "a range of integers",
    "server.args.integers.MAX_INTEGER_LENGTH": "a range of integers",
    "server.commands.keys.MAX_EMBSTR_SIZE": "decides what OBJECT ENCODING replies",
    "server.commands.numbers.MAX_FLOAT": "a range of numbers",
    "server.protocols.text_lines.MAX_CHARACTER_SIZE": "a property of UTF-8",
    "server.engines.redis.time_limit.MAX_TIMEOUT": "a range of a setting",
    "server.engines.redis.time_limit.MIN_TIMEOUT": "a range of a setting",
    "server.settings.kinds.MAX_INTEGER": "a range of integers",
    "server.settings.kinds.MAX_SECONDS": "a range of settings",
    "server.settings.kinds.MAX_SOCKET_PATH": "a range of a setting",
    "common.errors.HTTP_REQUEST_TIMEOUT": "the text of an error",
    "server.settings.table.DEFAULT_BACKEND_TIMEOUT": "a default, in the table as --backend-timeout",
    "server.settings.table.DEFAULT_BODY_TIMEOUT": "a default, in the table as --http-body-timeout",
    "server.settings.table.DEFAULT_HEAD_TIMEOUT": "a default, in the table as --http-head-timeout",
    "server.settings.table.DEFAULT_AUTH_TIMEOUT": "a default, in the table as --auth-timeout",
    "server.settings.table.DEFAULT_IDLE_TIMEOUT": "a default, in the table as --http-idle-timeout",
    "server.settings.table.MAX_DATABASES": "a range of a setting",
    "server.settings.table.MAX_MAX_CLIENTS": "a range of a setting",
}
"""Constants that are called like a bound and bound nothing that a peer can use up."""


def number_of(bound: str) -> float:
    """Parse a bound: a number, perhaps a unit of bytes, perhaps a word."""
    match = re.fullmatch(r"([0-9][0-9,]*(?:\.[0-9]+)?)(?: ([A-Za-z]+))?", bound)
    assert match is not None, f"{bound!r} is not a number with a unit"
    return float(match[1].replace(",", "")) * UNITS.get(match[2], 1)


def value_of(name: str) -> object:
    """Return the default of a setting, or the value of a constant."""
    if name.startswith("--"):
        (entry,) = (entry for entry in SETTINGS if entry.option == name)
        value = entry.unset if entry.default is None else entry.default
        # Some settings have their default in the code only, because it applies only if another one is given.
        return getattr(table, f"DEFAULT_{entry.name.upper()}") if value is None else value
    if name in PARAMETERS:
        return PARAMETERS[name].default
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        if (ROOT.joinpath(*parts[:end]).with_suffix(".py")).is_file():
            value: object = importlib.import_module(".".join(parts[:end]))
            for part in parts[end:]:
                value = getattr(value, part)
            return value
    raise AssertionError(f"no module of {name!r}")


@pytest.mark.parametrize("package", ["", "httptools", "redis"])
def test_a_bound_is_that_of_the_code(package: str) -> None:
    if package:
        pytest.importorskip(package, reason="an extra is not installed")
    for what, bound, name, _ in ROWS:
        with case(name, what):
            assert re.fullmatch("`[^`]+`", name), "a row names one setting or constant"
            if package == needed_package(name):
                assert number_of(bound) == value_of(name[1:-1])


def needed_package(name: str) -> str:
    """Return the package without which the module of a constant cannot be imported."""
    modules = {"`server.http": "httptools", "`server.engines.redis": "redis"}
    return next((package for module, package in modules.items() if name.startswith(module)), "")


def constants_of(module: str, path: Path) -> list[str]:
    """Return the constants of a module that are called like a bound."""
    targets = [
        target.id
        for node in syntax_tree(path).body
        for target in (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if isinstance(target, ast.Name)
    ]
    return [f"{module}.{name}" for name in targets if name.startswith("MAX_") or name.endswith("_TIMEOUT")]


def constants() -> list[str]:
    """Return those of all modules of the server."""
    return [name for module, path in module_files("common", "server").items() for name in constants_of(module, path)]


def test_every_constant_that_is_called_like_a_bound_is_in_the_table() -> None:
    in_table = {row[2] for row in ROWS}
    for name in constants():
        assert (f"`{name}`" in in_table) != (name in NO_BOUNDS), f"add a row for {name} to docs/security.md"


def test_constants_without_a_row_exist() -> None:
    assert set(NO_BOUNDS) <= set(constants())


@pytest.mark.parametrize(
    "name", [entry.option for entry in SETTINGS if entry.kind.metavar in ("BYTES", "NUMBER", "SECONDS")]
)
def test_every_setting_that_is_a_bound_is_in_the_table(name: str) -> None:
    assert f"`{name}`" in {row[2] for row in ROWS}


def test_the_other_documents_refer_to_the_table() -> None:
    assert "docs/security.md" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "docs/security.md" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "security.md" in (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
