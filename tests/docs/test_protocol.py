"""docs/protocol.md has every error that the server can answer."""

from __future__ import annotations

import re

import pytest

from common import errors
from common.replies import ErrorReply
from tests.harness.processes import ROOT

PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
SHOWN = 40
"""How many characters of an error's text the document has at least; long ones end there in an ellipsis."""

CONSTANTS = {name: value.text.decode() for name, value in vars(errors).items() if isinstance(value, ErrorReply)}
TEMPLATES = re.findall(r'b"((?:ERR|NOPROTO)[^"]*%b[^"]*)"', (ROOT / "common" / "errors.py").read_text())


@pytest.mark.parametrize("text", CONSTANTS.values(), ids=CONSTANTS)
def test_every_fixed_error_is_documented(text: str) -> None:
    assert text[:SHOWN] in PROTOCOL


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_error_that_names_something_is_documented(template: str) -> None:
    assert template.partition("%b")[0][:SHOWN].rstrip("' ") in PROTOCOL


def test_the_server_has_errors() -> None:
    assert len(CONSTANTS) > 30
    assert len(TEMPLATES) > 8


@pytest.mark.parametrize("problem", [each for each in vars(errors).values() if isinstance(each, errors.HTTPProblem)])
def test_every_fixed_error_of_http_is_documented(problem: errors.HTTPProblem) -> None:
    assert problem.sentence in PROTOCOL
