"""Usage lines are taken from kvline's COMMAND DOCS, and put together from Redis's."""

from __future__ import annotations

import pytest

from client.hints.command_docs import usage_lines
from common.replies import ErrorReply, Reply, SimpleString

OPTIONAL, MULTIPLE, MULTIPLE_TOKEN = (
    SimpleString(b"optional"),
    SimpleString(b"multiple"),
    SimpleString(b"multiple_token"),
)


def argument(name: bytes, kind: bytes = b"string", *flags: SimpleString, **more: Reply) -> Reply:
    """Describe an argument as Redis does."""
    description: dict[bytes, Reply] = {b"name": name, b"type": kind}
    if flags:
        description[b"flags"] = list(flags)
    return description | {key.encode(): value for key, value in more.items()}


def keyword(token: bytes, *flags: SimpleString) -> Reply:
    return argument(token.lower(), b"pure-token", *flags, token=token)


def test_a_usage_line_is_taken_as_it_is_sent() -> None:
    documents: Reply = {b"get": {b"summary": b"...", b"usage": b"GET key", b"arguments": [argument(b"other")]}}
    assert usage_lines(documents) == {"GET": "GET key"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "X"),
        ([argument(b"key", b"key"), argument(b"value")], "X key value"),
        ([argument(b"name", display_text=b"client-name")], "X client-name"),
        ([argument(b"message", b"string", OPTIONAL)], "X [message]"),
        ([argument(b"key", b"key", MULTIPLE)], "X key [key ...]"),
        ([argument(b"section", b"string", OPTIONAL, MULTIPLE)], "X [section [section ...]]"),
        ([argument(b"count", b"integer", OPTIONAL, token=b"COUNT")], "X [COUNT count]"),
        ([argument(b"key", b"key", MULTIPLE, token=b"KEYS")], "X KEYS key [key ...]"),
        (
            [argument(b"pattern", b"pattern", OPTIONAL, MULTIPLE, MULTIPLE_TOKEN, token=b"GET")],
            "X [GET pattern [GET pattern ...]]",
        ),
        ([keyword(b"CH", OPTIONAL), keyword(b"STREAMS")], "X [CH] STREAMS"),
        ([argument(b"c", b"oneof", OPTIONAL, arguments=[keyword(b"NX"), keyword(b"XX")])], "X [NX | XX]"),
        ([argument(b"c", b"oneof", arguments=[keyword(b"LEFT"), keyword(b"RIGHT")])], "X <LEFT | RIGHT>"),
        (
            [argument(b"c", b"oneof", OPTIONAL, token=b"TYPE", arguments=[keyword(b"A"), keyword(b"B")])],
            "X [TYPE <A | B>]",
        ),
        (
            [argument(b"b", b"block", MULTIPLE, arguments=[argument(b"score"), argument(b"member")])],
            "X score member [score member ...]",
        ),
        ([argument(b"b", b"block", OPTIONAL, token=b"LIMIT", arguments=[argument(b"offset")])], "X [LIMIT offset]"),
    ],
)
def test_a_usage_line_is_put_together_from_arguments(arguments: list[Reply], expected: str) -> None:
    assert usage_lines({b"x": {b"summary": b"...", b"arguments": arguments}}) == {"X": expected}


def test_subcommands_become_a_choice() -> None:
    subcommands: Reply = {
        b"object|help": {b"summary": b"..."},
        b"object|freq": {b"arguments": [argument(b"key", b"key")]},
    }
    assert usage_lines({b"object": {b"subcommands": subcommands}}) == {"OBJECT": "OBJECT <HELP | FREQ key>"}


def test_a_usage_line_is_one_line() -> None:
    assert usage_lines({b"get": {b"usage": b"GET \n key\r\n"}}) == {"GET": "GET key"}


def test_a_command_that_is_not_described_has_its_name() -> None:
    documents: Reply = {b"a": {b"summary": b"..."}, b"b": None, b"c": {b"arguments": b"?"}, b"d\xff": {b"usage": 1}}
    assert usage_lines(documents) == {"A": "A", "B": "B", "C": "C", "D\ufffd": "D\ufffd"}


@pytest.mark.parametrize("documents", [ErrorReply.from_text(b"ERR unknown subcommand 'DOCS'"), [], None])
def test_a_server_without_documents_gives_no_usage_lines(documents: Reply) -> None:
    assert usage_lines(documents) == {}
