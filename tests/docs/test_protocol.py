"""docs/protocol.md lists every error of `common.errors`: the constants, and what the functions return."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from common import errors
from common.errors import CommandError
from common.replies import ErrorKind, ErrorReply
from tests.harness.processes import ROOT

PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()

SHOWN = 40
"""Characters of an error's text that the document has at least. It abbreviates long ones with an ellipsis."""

INSERTED = "\x01"
"""Begins what a test passes to a function, so that it is found in the text."""

ARGUMENTS: dict[str, Any] = {
    "bytes": INSERTED.encode(),
    "str": INSERTED,
    "int": 1_000_000_001,
    "Sequence[bytes]": [INSERTED.encode()] * 2,
    "Sequence[str]": [INSERTED],
    "ErrorReply": ErrorReply(INSERTED.encode(), b""),
    "ErrorKind": ErrorKind.CLIENT,
}


def text_of(value: object) -> str | None:
    """Return the text of an error up to what was inserted into it. None if it is no error."""
    if isinstance(value, CommandError):
        value = value.reply
    if not isinstance(value, ErrorReply):
        return None
    text = value.text.decode()
    return text.partition(INSERTED)[0].partition("1000000001")[0]


def call(function: Callable[..., object]) -> object:
    """Call a function of the module with an argument of the right type for each parameter."""
    parameters = inspect.signature(function).parameters.values()
    return function(*(ARGUMENTS[each.annotation] for each in parameters if each.default is each.empty))


FUNCTIONS = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isfunction(value) and value.__module__ == errors.__name__ and not name.startswith("_")
}
TEXTS = {
    name: text
    for name, value in (vars(errors) | {name: call(function) for name, function in FUNCTIONS.items()}).items()
    if (text := text_of(value)) is not None
}
REASONS = {name: str(value) for name, function in FUNCTIONS.items() if isinstance(value := call(function), str)}
"""Parts of the text of `invalid_parameter`."""

BACKEND_REASONS = {
    name: value.partition(INSERTED.encode())[0].partition(b"1000000001")[0].decode().rstrip()
    for name, value in (vars(errors) | {name: call(function) for name, function in FUNCTIONS.items()}).items()
    if isinstance(value, bytes)
}
"""Parts of the texts of `backend_unavailable` and `backend_timed_out`."""


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_every_error_is_documented(text: str) -> None:
    assert text[:SHOWN].rstrip("' :") in PROTOCOL


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS)
def test_every_reason_of_a_refused_setting_is_documented(reason: str) -> None:
    assert reason.partition(INSERTED)[0].partition("1000000001")[0].rstrip() in PROTOCOL
    assert errors.NOT_PARSED_AS_INTEGER in PROTOCOL


@pytest.mark.parametrize("reason", BACKEND_REASONS.values(), ids=BACKEND_REASONS)
def test_every_reason_of_an_unavailable_backing_server_is_documented(reason: str) -> None:
    assert reason in (ROOT / "docs" / "proxy.md").read_text()


def test_every_function_returns_an_error_or_a_reason() -> None:
    assert FUNCTIONS.keys() <= TEXTS.keys() | REASONS.keys() | BACKEND_REASONS.keys()
    assert len(TEXTS) > 60
