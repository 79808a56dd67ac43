"""Entering commands: what a usage line and a signature say is all there is to say."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import NOT_AN_INTEGER, CommandError
from common.replies import Reply
from server.keyspace.store import Store
from server.registry import ALL_KEYS, NO_KEYS, ONE_KEY, UNBOUNDED, Command, CommandGroup, CommandTable, Flag, Function
from tests.harness.sessions import new_session, send_line


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
def test_the_number_of_words_comes_from_the_signature(function: Function, fewest: int, most: int, arity: int) -> None:
    command = entered(function)
    assert (command.min_args, command.max_args, command.arity) == (fewest, most, arity)


def test_the_name_comes_from_the_usage_line() -> None:
    command = entered(one, "TEST key")
    assert (command.name, command.usage, command.summary, command.group) == (b"TEST", b"TEST key", b"Test.", "test")


def test_a_word_for_an_int_parameter_is_converted() -> None:
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


def test_how_a_command_is_entered_tells_its_flags_keys_and_scope() -> None:
    group = CommandGroup("test")
    group.reads("R key", "Read.")(one)
    group.writes("W key [key ...]", "Write.", keys=ALL_KEYS)(several)
    group.control("S", "Work on the session.", Flag.NO_MULTI | Flag.FAST)(nothing)
    assert [(each.flags, each.keys, each.targets_keyspace) for each in group.commands] == [
        (Flag.READONLY, ONE_KEY, True),
        (Flag.WRITE, ALL_KEYS, True),
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


def test_a_command_that_is_entered_is_known_at_once_everywhere() -> None:
    from server.commands import introspection as about

    group = CommandGroup("extra")

    @group.writes("APPEND key value", "Put a value behind a key's.")
    def append(store: Store, key: bytes, value: bytes) -> Reply:
        store.set(key, (store.get(key) or b"") + value)
        return store.get(key)

    session = new_session(commands=CommandTable([about.group, group]))
    assert send_line(session, "append k abc") == "abc"
    assert send_line(session, "append k def") == "abcdef"
    assert send_line(session, "APPEND k") == "(error) ERR wrong number of arguments for 'append' command"
    assert send_line(session, "HELP append") == "APPEND key value\n  Put a value behind a key's."
    assert send_line(session, "COMMAND COUNT") == "3"
    assert send_line(session, "COMMAND").startswith("1) 1) append\n   2) 3\n   3) 1) write\n")
