"""Entering commands: what a usage line and a signature say is all there is to say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from common.errors import NOT_AN_INTEGER, CommandError
from common.replies import Reply, SimpleString
from server.commands import introspection, transactions
from server.keyspace.store import Store
from server.registry import (
    ALL_KEYS,
    CHANGE,
    NO_KEYS,
    ONE_KEY,
    READ,
    UNBOUNDED,
    Command,
    CommandGroup,
    CommandTable,
    Flag,
    Function,
)
from server.session.session import Session
from tests.harness.sessions import ClientSession, execute_line, new_session, send_line, send_lines


def nothing(store: Any) -> Reply:
    return None


def one(store: Any, key: bytes) -> Reply:
    return key


def optional(store: Any, key: bytes | None = None) -> Reply:
    return key


def several(store: Any, key: bytes, *more: bytes) -> Reply:
    return [key, *more]


def any_number(store: Any, *args: bytes) -> Reply:
    return list(args)


def number(store: Any, key: bytes, by: int) -> Reply:
    return [key, by]


def perhaps_number(store: Any, by: int = 7) -> Reply:
    return by


def entered(function: Function, usage: str = "TEST") -> Command:
    group = CommandGroup("test")
    assert group.reads(usage, "Test.")(function) is function, "the function stays callable as it was written"
    (command,) = group.commands
    return command


@pytest.mark.parametrize(
    ("function", "fewest", "most", "arity"),
    [
        (nothing, 1, 1, 1),
        (one, 2, 2, 2),
        (optional, 1, 2, -1),
        (several, 2, UNBOUNDED, -2),
        (any_number, 1, UNBOUNDED, -1),
        (number, 3, 3, 3),
        (perhaps_number, 1, 2, -1),
    ],
)
def test_the_arity_comes_from_the_signature(function: Function, fewest: int, most: int, arity: int) -> None:
    command = entered(function)
    assert (command.min_args, command.max_args, command.arity) == (fewest, most, arity)


def test_the_name_comes_from_the_usage_line() -> None:
    command = entered(one, "TEST key")
    assert (command.name, command.usage, command.summary, command.group) == (b"TEST", b"TEST key", b"Test.", "test")


def test_an_argument_for_an_int_parameter_is_converted() -> None:
    command = entered(number)
    assert command.run(None, b"12", b"-12") == [b"12", -12]
    with pytest.raises(CommandError) as caught:
        command.run(None, b"12", b"12.0")
    assert caught.value.reply == NOT_AN_INTEGER


def test_an_optional_int_parameter_is_converted_where_it_is_given() -> None:
    command = entered(perhaps_number)
    assert command.run(None) == 7
    assert command.run(None, b"8") == 8
    with pytest.raises(CommandError):
        command.run(None, b"eight")


def test_reads_writes_and_control_set_flags_keys_and_target() -> None:
    group = CommandGroup("test")
    group.reads("R key", "Read.")(one)
    group.writes("W key [key ...]", "Write.", keys=ALL_KEYS)(several)
    group.control("S", "Work on the session.", Flag.NO_MULTI | Flag.FAST)(nothing)
    assert [(each.flags, each.keys, each.targets_keyspace) for each in group.commands] == [
        (Flag.READONLY, ONE_KEY.used(READ), True),
        (Flag.WRITE, ALL_KEYS.used(CHANGE), True),
        (Flag.FAST | Flag.NO_MULTI, NO_KEYS, False),
    ]


def group_of(*usages: str) -> CommandGroup:
    group = CommandGroup("test")
    for usage in usages:
        group.reads(usage, "Test.")(one)
    return group


@pytest.mark.parametrize(
    "groups",
    [[group_of("A key", "B key", "A key")], [group_of("A key"), group_of("A key")], [group_of("A k", "A k k")]],
)
def test_a_table_takes_no_two_commands_of_one_name(groups: list[CommandGroup]) -> None:
    with pytest.raises(ValueError, match="'A'"):
        CommandTable(groups)


def test_a_table_has_its_commands_in_the_order_of_their_names() -> None:
    table = CommandTable([group_of("C key", "A key"), group_of("B key")])
    assert [each.name for each in table] == [b"A", b"B", b"C"]
    assert len(table) == 3


@pytest.mark.parametrize("spelling", [b"TEST", b"test", b"Test", b"tEsT"])
def test_a_table_finds_a_command_in_any_case(spelling: bytes) -> None:
    found = CommandTable([group_of("TEST key")]).find(spelling)
    assert found is not None
    assert found.name == b"TEST"


@pytest.mark.parametrize("name", [b"", b"TES", b"TESTS", b"TEST ", b"\xff"])
def test_a_table_finds_nothing_under_another_name(name: bytes) -> None:
    assert CommandTable([group_of("TEST key")]).find(name) is None


def test_a_registered_command_is_found_everywhere() -> None:
    from server.commands import introspection as about

    group = CommandGroup("extra")

    @group.writes("APPEND key value", "Append to the value of a key.")
    def append(store: Store, key: bytes, value: bytes) -> Reply:
        store.set(key, (store.get(key) or b"") + value)
        return store.get(key)

    session = new_session(commands=CommandTable([about.group, group]))
    assert send_line(session, "append k abc") == "abc"
    assert send_line(session, "append k def") == "abcdef"
    assert send_line(session, "APPEND k") == "(error) ERR wrong number of arguments for 'append' command"
    assert send_line(session, "HELP append") == "APPEND key value\n  Append to the value of a key."
    assert send_line(session, "COMMAND COUNT") == "3"
    assert send_line(session, "COMMAND").startswith("1) 1) append\n   2) 3\n   3) 1) write\n")


# ---------------------------------------------------------------- subcommands


def box() -> CommandTable:
    """Make a table whose BOX has subcommands alone, and whose LID can also be sent alone."""
    group = CommandGroup("boxes")
    group.container("BOX", "Open and close boxes.")

    @group.reads("BOX PEEK key [depth]", "Look into a box.", Flag.FAST)
    def peek(store: Store, key: bytes, depth: int = 1) -> Reply:
        return [store.get(key), depth]

    @group.writes("BOX FILL key value", "Put a value into a box.")
    def fill(store: Store, key: bytes, value: bytes) -> Reply:
        store.set(key, value)
        return len(value)

    @group.control("BOX SHUT", "Close the box.", Flag.NO_MULTI)
    def shut(session: Session) -> Reply:
        return b"shut"

    @group.control("LID", "Describe the lid.")
    def lid(session: Session) -> Reply:
        return b"a lid"

    @group.control("LID COLOUR", "Return the colour of the lid.")
    def colour(session: Session) -> Reply:
        return b"red"

    return CommandTable([group, introspection.group, transactions.group])


@pytest.fixture
def boxes() -> ClientSession:
    return new_session(commands=box())


def test_a_subcommand_is_an_entry_of_the_table_with_its_own_arity_flags_and_keys() -> None:
    table = box()
    peek = table.find_subcommand(b"box|Peek")
    assert peek is not None
    assert (peek.name, peek.usage) == (b"BOX|PEEK", b"BOX PEEK key [depth]")
    assert (peek.min_args, peek.max_args, peek.arity) == (3, 4, -3)
    assert (peek.flags, peek.targets_keyspace) == (Flag.READONLY | Flag.FAST, True)
    assert table.resolve([b"box", b"peek", b"k"]) is peek
    assert table.find(b"BOX|PEEK") is None
    assert [each.name for each in table if b"|" in each.name] == []


@pytest.mark.parametrize("name", [b"BOX|FLY", b"FLY|PEEK", b"LID|", b"GET|PEEK"])
def test_a_subcommand_that_does_not_exist_is_not_found(name: bytes) -> None:
    found = box().find_subcommand(name)
    assert found is None or found.name == b"LID", "a name that ends in | is the command's own"


def test_a_subcommand_runs_with_the_arguments_after_its_own_name(boxes: ClientSession) -> None:
    assert send_lines(boxes, "BOX FILL k abc", "box peek k", "BOX PEEK k 7", "BOX shut") == [
        "3",
        "1) abc\n2) 1",
        "1) abc\n2) 7",
        "shut",
    ]


def test_an_int_parameter_of_a_subcommand_is_converted(boxes: ClientSession) -> None:
    assert execute_line(boxes, "BOX PEEK k x") == NOT_AN_INTEGER


def test_a_command_with_subcommands_can_be_sent_alone_if_it_has_a_function(boxes: ClientSession) -> None:
    assert send_lines(boxes, "LID", "LID COLOUR") == ['"a lid"', "red"]
    assert send_line(boxes, "BOX") == "(error) ERR wrong number of arguments for 'box' command"
    assert send_line(boxes, "LID PEEK") == "(error) ERR unknown subcommand 'PEEK'. Try LID HELP."


@pytest.mark.parametrize("line", ["BOX PEEK", "BOX PEEK k 1 2", "BOX FILL k", "BOX SHUT now", "BOX HELP me"])
def test_wrong_arity_of_a_subcommand_names_it(boxes: ClientSession, line: str) -> None:
    name = "|".join(line.lower().split()[:2])
    assert send_line(boxes, line) == f"(error) ERR wrong number of arguments for '{name}' command"


def test_help_of_a_container_lists_its_subcommands_in_rediss_form(boxes: ClientSession) -> None:
    assert send_line(boxes, "box help").split("\n") == [
        "BOX <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "FILL key value",
        "    Put a value into a box.",
        "PEEK key [depth]",
        "    Look into a box.",
        "SHUT",
        "    Close the box.",
        "HELP",
        "    Print this help.",
    ]


def test_help_takes_a_subcommand(boxes: ClientSession) -> None:
    assert send_line(boxes, "HELP box peek") == "BOX PEEK key [depth]\n  Look into a box."
    assert send_line(boxes, "HELP BOX HELP") == "BOX HELP\n  Print this help."
    assert send_line(boxes, "HELP box").startswith("BOX <subcommand> [<arg> [value] [opt] ...]\n  Open and close")


def test_command_info_and_docs_have_subcommands(boxes: ClientSession) -> None:
    execute_line(boxes, "HELLO 3")
    (container,) = execute_line(boxes, "COMMAND INFO box")  # type: ignore[misc]
    names = [each[0] for each in container[-1]]
    assert (container[0], container[1], names) == (b"box", -2, [b"box|fill", b"box|help", b"box|peek", b"box|shut"])
    (peek,) = execute_line(boxes, "COMMAND INFO box|peek")  # type: ignore[misc]
    assert peek == container[-1][2]
    assert peek[:6] == [b"box|peek", -3, [SimpleString(b"readonly"), SimpleString(b"fast")], 2, 2, 1] or peek[3:6] == [
        1,
        1,
        1,
    ]
    docs = execute_line(boxes, "COMMAND DOCS box")
    assert isinstance(docs, list | dict)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("BOX FLY", "(error) ERR unknown subcommand 'FLY'. Try BOX HELP."),
        ("BOX PEEK", "(error) ERR wrong number of arguments for 'box|peek' command"),
        ("BOX SHUT", "(error) ERR Command not allowed inside a transaction"),
        ("BOX", "(error) ERR wrong number of arguments for 'box' command"),
    ],
)
def test_a_subcommand_that_cannot_be_queued_makes_the_transaction_dirty(
    boxes: ClientSession, line: str, error: str
) -> None:
    assert send_lines(boxes, "MULTI", line, "EXEC")[1:] == [
        error,
        "(error) EXECABORT Transaction discarded because of previous errors.",
    ]


def test_a_queued_subcommand_runs_in_exec(boxes: ClientSession) -> None:
    assert send_lines(boxes, "MULTI", "BOX FILL k ab", "LID COLOUR", "BOX PEEK k 3", "EXEC")[-1] == (
        "1) 2\n2) red\n3) 1) ab\n   2) 3"
    )


def test_two_subcommands_of_one_name_are_refused() -> None:
    group = group_of("A B key", "A B key")
    with pytest.raises(ValueError, match=r"A\|B"):
        CommandTable([group])


def test_the_only_key_of_a_command_is_found_by_identity() -> None:
    assert entered(nothing).used_keys is ONE_KEY, "whatever its flags are, the engine takes the short way"
    assert replace(entered(nothing), flags=Flag.NO_TOUCH).used_keys is NO_KEYS


@pytest.mark.parametrize("flag", list(Flag), ids=lambda flag: flag.name)
def test_every_flag_but_the_internal_ones_is_reported_by_its_name(flag: Flag) -> None:
    command = replace(entered(nothing), flags=flag)
    internal = flag in (
        Flag.NOT_QUEUED
        | Flag.ENDS_TRANSACTION
        | Flag.SELECTS
        | Flag.SENSITIVE
        | Flag.WHILE_SUBSCRIBED
        | Flag.NO_TOUCH
        | Flag.NULL_IS_MISS
        | Flag.NO_BATCH
        | Flag.SELECTS
        | Flag.MAY_WRITE
    )
    assert command.flag_names == ([] if internal else [str(flag.name).lower()])
