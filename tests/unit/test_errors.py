"""Errors: every text is in one module, and no other module spells one out."""

from __future__ import annotations

import ast
import re

import pytest

from common.errors import CommandError, unknown_command
from common.replies import ErrorKind, ErrorReply
from tests.harness.sources import module_files, syntax_tree

MAY_SPELL_OUT_ERRORS = {"common.errors", "common.replies"}

ERROR_TEXT = re.compile(r"-?(?:ERR|EXECABORT|NOPROTO|CROSSSLOT|NOAUTH|WRONGPASS|OOM|WRONGTYPE) ")


def test_no_error_is_made_or_spelled_out_outside_the_errors_module() -> None:
    files = module_files("client", "common", "server")
    for module in files.keys() - MAY_SPELL_OUT_ERRORS:
        for node in ast.walk(syntax_tree(files[module])):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                assert called != "ErrorReply", f"{module}, line {node.lineno} makes an error"
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
                assert not ERROR_TEXT.match(text), f"{module}, line {node.lineno} spells out an error"


def test_the_text_of_an_error_is_its_code_and_its_message() -> None:
    assert ErrorReply(b"ERR", b"no such key").text == b"ERR no such key"
    assert ErrorReply(b"MOVED", b"").text == b"MOVED"


@pytest.mark.parametrize(("text", "code", "message"), [(b"ERR a b", b"ERR", b"a b"), (b"MOVED", b"MOVED", b"")])
def test_an_error_is_made_of_the_text_that_a_server_sent(text: bytes, code: bytes, message: bytes) -> None:
    error = ErrorReply.from_text(text)
    assert (error.code, error.message, error.kind, error.text) == (code, message, ErrorKind.CLIENT, text)


def test_errors_of_different_kinds_with_one_text_are_equal() -> None:
    """The kind does not travel over RESP."""
    assert ErrorReply(b"ERR", b"x", ErrorKind.INTERNAL) == ErrorReply(b"ERR", b"x")


def test_a_command_error_carries_its_reply() -> None:
    error = unknown_command([b"FLY"])
    with pytest.raises(CommandError, match="unknown command 'FLY'") as caught:
        raise CommandError(error)
    assert caught.value.reply is error
