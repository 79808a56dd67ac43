"""`usage_lines`: kvline's COMMAND DOCS has usage lines, Redis's has descriptions of the arguments."""

from __future__ import annotations

import pytest

from client.hints import command_docs
from client.hints.usage import parse_usage, render
from common.replies import ErrorReply, Reply, SimpleString
from tests.harness.local_client import local_conversation


def usage_lines(reply: Reply) -> dict[str, str]:
    return command_docs.usage_lines(command_docs.documents(reply))


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


def test_a_usage_line_that_the_server_sends_is_used() -> None:
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
def test_a_usage_line_is_composed_from_arguments(arguments: list[Reply], expected: str) -> None:
    assert usage_lines({b"x": {b"summary": b"...", b"arguments": arguments}}) == {"X": expected}


def test_subcommands_become_alternatives() -> None:
    subcommands: Reply = {
        b"object|help": {b"summary": b"..."},
        b"object|freq": {b"arguments": [argument(b"key", b"key")]},
    }
    assert usage_lines({b"object": {b"subcommands": subcommands}}) == {"OBJECT": "OBJECT <HELP | FREQ key>"}


def test_line_breaks_in_a_usage_line_become_spaces() -> None:
    assert usage_lines({b"get": {b"usage": b"GET \n key\r\n"}}) == {"GET": "GET key"}


def test_the_usage_line_of_an_undocumented_command_is_its_name() -> None:
    documents: Reply = {b"a": {b"summary": b"..."}, b"b": None, b"c": {b"arguments": b"?"}, b"d\xff": {b"usage": 1}}
    assert usage_lines(documents) == {"A": "A", "B": "B", "C": "C", "D\ufffd": "D\ufffd"}


@pytest.mark.parametrize("documents", [ErrorReply.from_text(b"ERR unknown subcommand 'DOCS'"), [], None])
def test_there_are_no_usage_lines_without_documents(documents: Reply) -> None:
    assert usage_lines(documents) == {}


def docs_of_kvline() -> dict[bytes, Reply]:
    documents = local_conversation().call(b"COMMAND", b"DOCS")
    assert isinstance(documents, dict)
    return documents


def test_every_usage_line_of_kvline_is_parsed_without_loss() -> None:
    lines = usage_lines(docs_of_kvline())
    assert lines["CLIENT"].startswith("CLIENT <CACHING <YES | NO> | ")
    for name, line in lines.items():
        assert f"{name} {render(parse_usage(line))}".rstrip() == line


def test_the_usage_line_of_a_kvline_command_contains_those_of_its_subcommands() -> None:
    documents = docs_of_kvline()
    lines = usage_lines(documents)
    for name, document in documents.items():
        assert isinstance(document, dict)
        subcommands = document.get(b"subcommands", {})
        assert isinstance(subcommands, dict)
        for subcommand in subcommands.values():
            assert isinstance(subcommand, dict)
            usage = subcommand[b"usage"]
            assert isinstance(usage, bytes)
            assert usage.decode().partition(" ")[2] in lines[name.decode().upper()]


def test_the_documents_of_resp2_are_those_of_resp3() -> None:
    def flat(reply: Reply) -> Reply:
        if isinstance(reply, dict):
            return [flat(each) for pair in reply.items() for each in pair]
        return list(map(flat, reply)) if isinstance(reply, list) else reply

    documents = docs_of_kvline()
    assert command_docs.documents(flat(documents)) == command_docs.documents(documents)


def test_a_subcommand_has_a_document_of_its_own() -> None:
    found = command_docs.documents(docs_of_kvline())
    assert found["CLIENT KILL"].usage.startswith("CLIENT KILL <ip:port | ")
    assert "CLIENT KILL" in found["CLIENT"].subcommands


def test_what_a_server_says_about_a_command_has_no_control_characters() -> None:
    (document,) = command_docs.documents({b"get": {b"summary": b"\x1b[2Jx", b"usage": b"GET \x1b]0;k\x07"}}).values()
    assert (document.summary, document.usage) == ("\\x1b[2Jx", "GET \\x1b]0;k\\a")
