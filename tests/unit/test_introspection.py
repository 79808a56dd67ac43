"""HELP and COMMAND: what the server can do, read off the command table."""

from __future__ import annotations

import pytest

from common.errors import INVALID_COMMAND, INVALID_NUMBER_OF_ARGUMENTS, NO_KEY_ARGUMENTS, SYNTAX_ERROR
from common.replies import ErrorReply, Lines, Reply, SimpleString
from server.commands import COMMANDS
from tests.harness.sessions import ClientSession, execute, execute_line, send_line
from tests.unit.test_commands import ENTRIES


def test_help_has_one_line_a_command_with_its_name_and_its_summary(session: ClientSession) -> None:
    lines = send_line(session, "HELP").split("\n")
    assert len(lines) == len(COMMANDS)
    for line, command in zip(lines, COMMANDS, strict=True):
        assert line.split(maxsplit=1) == [command.name.decode(), command.summary.decode()]
    assert len({line.index(command.summary.decode()) for line, command in zip(lines, COMMANDS, strict=True)}) == 1


def test_help_describes_a_command_or_a_subcommand(session: ClientSession) -> None:
    for entry in ENTRIES:
        expected = f"{entry.usage.decode()}\n  {entry.summary.decode()}"
        if entry.subcommands:
            expected = f"{entry.name.decode()} <subcommand> [<arg> [value] [opt] ...]\n  {entry.summary.decode()}"
            for each in entry.subcommands.values():
                expected += f"\n{each.usage.decode()}\n  {each.summary.decode()}"
        name = entry.name.decode().replace("|", " ")
        assert send_line(session, f"HELP {name}") == expected
        assert send_line(session, f"help {name.lower()}") == expected


def test_help_on_what_is_no_command_is_an_error(session: ClientSession) -> None:
    assert execute(session, b"HELP", b"fly") == ErrorReply.from_text(b"ERR no such command 'fly'; HELP lists them all")
    unknown = ErrorReply.from_text(b"ERR no such command 'client fly'; HELP lists them all")
    assert execute(session, b"HELP", b"client", b"fly") == unknown
    assert execute(session, b"HELP", b"f" * 500) == ErrorReply.from_text(
        b"ERR no such command '%b'; HELP lists them all" % (b"f" * 128)
    )


def test_help_in_resp3_is_a_block_of_lines(session: ClientSession) -> None:
    execute(session, b"HELLO", b"3")
    assert execute(session, b"HELP", b"get") == Lines([b"GET key", b"  Return the value of a key."])


@pytest.mark.parametrize(
    ("name", "flags", "keys"),
    [
        (b"get", b"readonly fast", [1, 1, 1]),
        (b"set", b"write denyoom", [1, 1, 1]),
        (b"decrby", b"write denyoom fast", [1, 1, 1]),
        (b"del", b"write", [1, -1, 1]),
        (b"exists", b"readonly fast", [1, -1, 1]),
        (b"flushall", b"write", [0, 0, 0]),
        (b"compact", b"readonly", [0, 0, 0]),
        (b"ping", b"fast", [0, 0, 0]),
        (b"multi", b"noscript loading stale fast allow_busy", [0, 0, 0]),
    ],
)
def test_command_describes_a_command_as_redis_does(
    session: ClientSession, name: bytes, flags: bytes, keys: list[Reply]
) -> None:
    table = execute(session, b"COMMAND")
    assert isinstance(table, list)
    found = COMMANDS.find(name)
    assert found is not None
    described = next(each for each in table if isinstance(each, list) and each[0] == name)
    assert described[:6] == [name, found.arity, [SimpleString(flag) for flag in flags.split()], *keys]


def test_command_info_has_categories_and_key_specifications(session: ClientSession) -> None:
    execute(session, b"HELLO", b"3")
    assert execute_line(session, "COMMAND INFO rename") == [
        [
            b"rename",
            3,
            [SimpleString(b"write")],
            1,
            2,
            1,
            [SimpleString(b"@keyspace"), SimpleString(b"@slow"), SimpleString(b"@write")],
            [],
            [
                {
                    b"flags": [SimpleString(b"RW"), SimpleString(b"access"), SimpleString(b"delete")],
                    b"begin_search": {b"type": b"index", b"spec": {b"index": 1}},
                    b"find_keys": {b"type": b"range", b"spec": {b"lastkey": 0, b"keystep": 1, b"limit": 0}},
                },
                {
                    b"flags": [SimpleString(b"OW"), SimpleString(b"update")],
                    b"begin_search": {b"type": b"index", b"spec": {b"index": 2}},
                    b"find_keys": {b"type": b"range", b"spec": {b"lastkey": 0, b"keystep": 1, b"limit": 0}},
                },
            ],
            [],
        ]
    ]


@pytest.mark.parametrize(
    ("request_line", "keys"),
    [
        ("GET k", "1) 1) k\n   2) 1) RO\n      2) access"),
        ("SET k GET", "1) 1) k\n   2) 1) OW\n      2) update"),
        ("set k v nx get", "1) 1) k\n   2) 1) RW\n      2) access\n      3) update"),
        ("DEL a b", "1) 1) a\n   2) 1) RM\n      2) delete\n2) 1) b\n   2) 1) RM\n      2) delete"),
        ("OBJECT ENCODING k", "1) 1) k\n   2) 1) RO"),
        ("PING k", "(error) ERR The command has no key arguments"),
        ("FLY k", "(error) ERR Invalid command specified"),
        ("GET a b", "(error) ERR Invalid number of arguments specified for command"),
    ],
)
def test_command_getkeysandflags(session: ClientSession, request_line: str, keys: str) -> None:
    assert send_line(session, f"COMMAND GETKEYSANDFLAGS {request_line}") == keys


def test_command_and_its_count_come_out_of_the_table(session: ClientSession) -> None:
    table = execute(session, b"COMMAND")
    assert isinstance(table, list)
    names = [entry[0] for entry in table if isinstance(entry, list)]
    assert names == [each.name.lower() for each in COMMANDS]
    assert execute(session, b"COMMAND", b"COUNT") == execute(session, b"command", b"count") == len(COMMANDS)


def test_command_docs_come_out_of_the_table(session: ClientSession) -> None:
    execute(session, b"HELLO", b"3")
    documents = execute(session, b"COMMAND", b"DOCS")
    assert isinstance(documents, dict)
    assert list(documents) == [each.name.lower() for each in COMMANDS]
    assert documents[b"get"] == {
        b"summary": b"Return the value of a key.",
        b"since": b"1.0.0",
        b"group": b"string",
        b"complexity": b"O(1)",
        b"usage": b"GET key",
        b"arguments": [{b"name": b"key", b"type": b"key", b"key_spec_index": 0}],
    }


def test_command_docs_of_some_commands_leave_out_what_is_none(session: ClientSession) -> None:
    execute(session, b"HELLO", b"3")
    documents = execute(session, b"COMMAND", b"docs", b"SET", b"fly", b"get")
    assert isinstance(documents, dict)
    assert list(documents) == [b"set", b"get"]
    assert execute(session, b"COMMAND", b"DOCS", b"fly") == {}


WITH_SUBCOMMANDS = ["CLIENT", "COMMAND", "CONFIG", "MEMORY", "OBJECT", "SLOWLOG"]


@pytest.mark.parametrize("name", WITH_SUBCOMMANDS)
@pytest.mark.parametrize(
    "subcommand", [b"NOTHING", b"nothing", b"", b"x" * 500], ids=["large", "small", "none", "long"]
)
def test_a_subcommand_that_is_none_is_an_error(session: ClientSession, name: str, subcommand: bytes) -> None:
    error = ErrorReply.from_text(b"ERR unknown subcommand '%b'. Try %b HELP." % (subcommand[:128], name.encode()))
    assert execute(session, name.lower().encode(), subcommand) == error


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("COMMAND COUNT more", "command|count"),
        ("COMMAND GETKEYS", "command|getkeys"),
        ("COMMAND GETKEYS get", "command|getkeys"),
        ("CLIENT ID more", "client|id"),
        ("CLIENT SETNAME", "client|setname"),
        ("CLIENT SETINFO LIB-NAME", "client|setinfo"),
        ("CLIENT REPLY", "client|reply"),
        ("CLIENT KILL", "client|kill"),
        ("CONFIG GET", "config|get"),
        ("CONFIG SET port", "config|set"),
        ("CONFIG RESETSTAT now", "config|resetstat"),
        ("SLOWLOG LEN 1", "slowlog|len"),
        ("SLOWLOG GET 1 2", "slowlog|get"),
        ("OBJECT ENCODING", "object|encoding"),
        ("OBJECT ENCODING a b", "object|encoding"),
        ("MEMORY USAGE", "memory|usage"),
    ],
)
def test_wrong_arity_for_a_subcommand_is_an_error_that_names_it(session: ClientSession, line: str, named: str) -> None:
    assert send_line(session, line) == f"(error) ERR wrong number of arguments for '{named}' command"


@pytest.mark.parametrize("name", WITH_SUBCOMMANDS)
def test_what_an_error_advises_works(session: ClientSession, name: str) -> None:
    error = execute(session, name.encode(), b"NOTHING")
    assert isinstance(error, ErrorReply)
    advice = error.text.decode().rpartition("Try ")[2].removesuffix(".")
    assert f"{name} " in send_line(session, advice)
    assert not send_line(session, advice).startswith("(error)")


# ---------------------------------------------------------------- LIST, INFO, GETKEYS


def test_command_list_names_every_command(session: ClientSession) -> None:
    names = execute(session, b"COMMAND", b"LIST")
    assert names == [each.name.lower() for command in COMMANDS for each in (command, *command.subcommands.values())]
    assert {b"get", b"client", b"client|kill", b"config|help"} <= set(names)


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("COMMAND LIST FILTERBY PATTERN *rby", [b"decrby", b"incrby"]),
        ("command list filterby pattern GE[TX]", [b"get"]),
        ("COMMAND LIST FILTERBY PATTERN nothing", []),
        ("COMMAND LIST FILTERBY PATTERN CLIENT*NAME", [b"client|getname", b"client|setname"]),
        ("COMMAND LIST FILTERBY ACLCAT transaction", [b"discard", b"exec", b"multi", b"unwatch", b"watch"]),
        ("COMMAND LIST FILTERBY ACLCAT nothing", []),
        ("COMMAND LIST FILTERBY MODULE any", []),
    ],
)
def test_command_list_may_be_filtered(session: ClientSession, line: str, names: list[bytes]) -> None:
    assert execute_line(session, line) == names


@pytest.mark.parametrize("args", ["FILTERBY", "FILTERBY PATTERN", "FILTERBY NAME get", "FILTERBY PATTERN a b", "get"])
def test_a_filter_that_command_list_does_not_have_is_a_syntax_error(session: ClientSession, args: str) -> None:
    assert execute_line(session, f"COMMAND LIST {args}") == SYNTAX_ERROR


def test_command_info_describes_some_commands_and_has_nothing_for_what_is_none(session: ClientSession) -> None:
    table = execute(session, b"COMMAND")
    assert isinstance(table, list)
    by_name = {each[0]: each for each in table if isinstance(each, list)}
    assert execute_line(session, "COMMAND INFO GET fly set") == [by_name[b"get"], None, by_name[b"set"]]
    assert execute_line(session, "COMMAND INFO") == table


@pytest.mark.parametrize(
    ("args", "keys"),
    [
        ("GET a", [b"a"]),
        ("get a", [b"a"]),
        ("SET a b", [b"a"]),
        ("SET a b EX 10", [b"a"]),
        ("MSET a 1 b 2 c 3", [b"a", b"b", b"c"]),
        ("DEL a b c", [b"a", b"b", b"c"]),
        ("RENAME a b", [b"a", b"b"]),
        ("COPY a b REPLACE", [b"a", b"b"]),
        ("LCS a b LEN", [b"a", b"b"]),
        ("WATCH a b", [b"a", b"b"]),
        ("OBJECT ENCODING a", [b"a"]),
        ("MEMORY USAGE a SAMPLES 5", [b"a"]),
    ],
)
def test_command_getkeys_finds_the_keys_of_a_command(session: ClientSession, args: str, keys: list[bytes]) -> None:
    assert execute_line(session, f"COMMAND GETKEYS {args}") == keys


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ("FLY a", INVALID_COMMAND),
        ("PING a", NO_KEY_ARGUMENTS),
        ("FLUSHALL a", NO_KEY_ARGUMENTS),
        ("GET a b", INVALID_NUMBER_OF_ARGUMENTS),
        ("SET a", INVALID_NUMBER_OF_ARGUMENTS),
    ],
)
def test_command_getkeys_refuses_what_has_no_keys(session: ClientSession, args: str, error: ErrorReply) -> None:
    assert execute_line(session, f"COMMAND GETKEYS {args}") == error
