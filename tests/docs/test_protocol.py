"""docs/protocol.md lists every error that the server can reply with."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from common import errors
from common.errors import CommandError, HTTPProblem
from common.replies import ErrorReply
from tests.harness.processes import ROOT

PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
SHOWN = 40
"""Characters of an error's text that the document contains at least. It may shorten longer texts with an ellipsis."""

MARK = "\x00"
SAMPLES: dict[str, Any] = {"bytes": MARK.encode(), "str": MARK, "int": 0, "Sequence[bytes]": [MARK.encode()]}
"""An argument for each type of parameter. What follows a mark or a zero in a text depends on the request."""


def text_of(error: object) -> str:
    """Return the text of an error, which is a member of the module or the result of one."""
    match error:
        case CommandError():
            return text_of(error.reply)
        case ErrorReply():
            return error.text.decode()
        case HTTPProblem():
            return error.sentence
        case str():
            return error
    raise TypeError(error)


def sample(function: Callable[..., object]) -> object:
    """Call a function of the module with sample arguments."""
    parameters = inspect.signature(function).parameters.values()
    arguments = [
        errors.SYNTAX_ERROR if each.annotation == "ErrorReply" else SAMPLES.get(each.annotation, [MARK])
        for each in parameters
        if each.kind is not each.KEYWORD_ONLY
    ]
    return function(*arguments)


CONSTANTS = {
    name: text_of(value) for name, value in vars(errors).items() if isinstance(value, ErrorReply | HTTPProblem)
}
FUNCTIONS = {
    name: function
    for name, function in vars(errors).items()
    if inspect.isfunction(function)
    and function.__module__ == errors.__name__
    and not name.startswith("_")
    and str(inspect.signature(function).return_annotation) in ("ErrorReply", "HTTPProblem", "CommandError")
    and name not in ("with_kind", "protocol_error", "http_invalid_argument", "script_failed")  # these add no text
}


def test_every_fixed_error_is_documented() -> None:
    assert [name for name, text in CONSTANTS.items() if text[:SHOWN] not in PROTOCOL] == []


def test_every_error_with_parameters_is_documented() -> None:
    for name, function in FUNCTIONS.items():
        fragments = re.split(r"['\x00]|(?<=[ -])0|\(error\)", text_of(sample(function)))
        longest = max(fragments, key=len).strip()
        assert len(longest) >= 8, name
        assert longest[:SHOWN].strip() in PROTOCOL, name


def test_the_reasons_of_a_refused_setting_are_documented() -> None:
    for reason in (errors.NOT_PARSED_AS_INTEGER, errors.out_of_range(0, 1), errors.not_one_of([""])):
        assert re.split("0| and ", reason)[0].strip() in PROTOCOL


def test_the_enumerations_are_not_empty() -> None:
    assert len(CONSTANTS) > 60
    assert len(FUNCTIONS) > 20
