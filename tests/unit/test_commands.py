"""Every command of the table, and those on keys and values that were there from the first day."""

from __future__ import annotations

import re

import pytest

from common.errors import NOT_AN_INTEGER, SYNTAX_ERROR
from common.replies import OK, ErrorReply
from server.commands import COMMANDS
from server.keyspace.store import Store
from server.registry import Command
from tests.harness.cases import case
from tests.harness.clock import Clock
from tests.harness.sessions import ClientSession, execute, send_line, send_lines
from tests.harness.stores import pairs

OPTIONAL = re.compile(r"\[(?:[^][]|\[(?:[^][]|\[[^][]*\])*\])*\]")
"""What is in brackets, with brackets in it."""

ALTERNATIVES = re.compile(r"<[^>]*>")

ENTRIES = [entry for command in COMMANDS for entry in (command, *command.subcommands.values())]
"""Every command and subcommand."""

EVERY_COMMAND = pytest.mark.parametrize("command", list(COMMANDS), ids=lambda command: command.name.decode())


# ---------------------------------------------------------------- all of them


def _limits_arguments(entry: Command) -> bool:
    """Return whether the table bounds the number of arguments. EXEC's error is in `test_transactions`."""
    return entry.max_args < 10 and not entry.subcommands and entry.name != b"EXEC"


def test_the_table_holds_these_commands() -> None:
    assert [(each.name.decode(), each.arity) for each in COMMANDS] == [
        ("APPEND", 3),
        ("AUTH", -2),
        ("BGREWRITEAOF", 1),
        ("BGSAVE", -1),
        ("BITCOUNT", -2),
        ("BITFIELD", -2),
        ("BITFIELD_RO", -2),
        ("BITOP", -4),
        ("BITPOS", -3),
        ("CLIENT", -2),
        ("COMMAND", -1),
        ("COMPACT", 1),
        ("CONFIG", -2),
        ("COPY", -3),
        ("DBSIZE", 1),
        ("DECR", 2),
        ("DECRBY", 3),
        ("DEL", -2),
        ("DISCARD", 1),
        ("DISCONNECT", 1),
        ("DUMP", 2),
        ("ECHO", 2),
        ("EVAL", -3),
        ("EVALSHA", -3),
        ("EVALSHA_RO", -3),
        ("EVAL_RO", -3),
        ("EXEC", 1),
        ("EXISTS", -2),
        ("EXPIRE", -3),
        ("EXPIREAT", -3),
        ("EXPIRETIME", 2),
        ("FIND", -2),
        ("FLUSHALL", -1),
        ("FLUSHDB", -1),
        ("GET", 2),
        ("GETBIT", 3),
        ("GETDEL", 2),
        ("GETEX", -2),
        ("GETRANGE", 4),
        ("GETSET", 3),
        ("HELLO", -1),
        ("HELP", -1),
        ("INCR", 2),
        ("INCRBY", 3),
        ("INCRBYFLOAT", 3),
        ("INFO", -1),
        ("KEYS", 2),
        ("LASTSAVE", 1),
        ("LCS", -3),
        ("LOLWUT", -1),
        ("MEMORY", -2),
        ("MGET", -2),
        ("MIGRATE", -6),
        ("MONITOR", 1),
        ("MOVE", 3),
        ("MSET", -3),
        ("MSETNX", -3),
        ("MULTI", 1),
        ("OBJECT", -2),
        ("PERSIST", 2),
        ("PEXPIRE", -3),
        ("PEXPIREAT", -3),
        ("PEXPIRETIME", 2),
        ("PING", -1),
        ("PSETEX", 4),
        ("PSUBSCRIBE", -2),
        ("PTTL", 2),
        ("PUBLISH", 3),
        ("PUBSUB", -2),
        ("PUNSUBSCRIBE", -1),
        ("QUIT", -1),
        ("RANDOMKEY", 1),
        ("RENAME", 3),
        ("RENAMENX", 3),
        ("RESET", 1),
        ("RESTORE", -4),
        ("ROLE", 1),
        ("SAVE", 1),
        ("SCAN", -2),
        ("SCRIPT", -2),
        ("SELECT", 2),
        ("SET", -3),
        ("SETBIT", 4),
        ("SETEX", 4),
        ("SETNX", 3),
        ("SETRANGE", 4),
        ("SHUTDOWN", -1),
        ("SLOWLOG", -2),
        ("SPUBLISH", 3),
        ("SSUBSCRIBE", -2),
        ("STRLEN", 2),
        ("SUBSCRIBE", -2),
        ("SUBSTR", 4),
        ("SUNSUBSCRIBE", -1),
        ("SWAPDB", 3),
        ("TIME", 1),
        ("TOUCH", -2),
        ("TTL", 2),
        ("TYPE", 2),
        ("UNLINK", -2),
        ("UNSUBSCRIBE", -1),
        ("UNWATCH", 1),
        ("WATCH", -2),
    ]


def test_wrong_arity_is_refused_and_changes_nothing(session: ClientSession, store: Store) -> None:
    store.set(b"1", b"1")
    for name, count in (
        *((each.name, each.min_args - 1) for each in ENTRIES if each.min_args > 1 + each.name.count(b"|")),
        *((each.name, each.max_args + 1) for each in ENTRIES if _limits_arguments(each)),
    ):
        args = name.split(b"|")
        error = ErrorReply.from_text(b"ERR wrong number of arguments for '%b' command" % name.lower())
        with case(name, count):
            assert execute(session, *args, *[b"1"] * (count - len(args))) == error
            assert pairs(store) == [(b"1", b"1")]
            assert (session.closing, session.transaction) == (False, None)


def test_a_usage_line_names_the_arguments_that_the_command_takes() -> None:
    for entry in ENTRIES:
        with case(entry.name):
            _check_usage(entry)


def _check_usage(entry: Command) -> None:
    name, *required = ALTERNATIVES.sub("ONE", OPTIONAL.sub("", entry.usage.decode())).split()
    container, _, subcommand = entry.name.decode().partition("|")
    assert name == container == name.upper()
    if entry.subcommands:
        assert {child.name.split(b"|")[0] for child in entry.subcommands.values()} == {entry.name}
        return
    if subcommand:
        assert required[0] == subcommand
    if entry.name not in (b"CLIENT|KILL", b"CLIENT|SETINFO"):  # their alternatives have several arguments
        assert len(required) + 1 == entry.min_args
        assert (entry.max_args > entry.min_args) == (b"[" in entry.usage or entry.name == b"QUIT")


def test_a_summary_is_a_sentence() -> None:
    for entry in ENTRIES:
        with case(entry.name):
            assert entry.summary[:1].isupper()
            assert entry.summary.endswith(b".")


# ---------------------------------------------------------------- strings


def test_get_returns_what_set_gave(session: ClientSession) -> None:
    assert execute(session, b"SET", b"k", b"v") == OK
    assert execute(session, b"GET", b"k") == b"v"


def test_get_returns_none_for_a_missing_key(session: ClientSession) -> None:
    assert execute(session, b"GET", b"k") is None


@pytest.mark.parametrize(
    "arg", [b"", b"\x00", b"\r\n", b"\xff\xfe", b"(nil)", b"x" * 100_000], ids=lambda w: repr(w[:9])
)
def test_keys_and_values_may_be_any_bytes(session: ClientSession, arg: bytes) -> None:
    assert execute(session, b"SET", arg, b"as a key") == OK
    assert execute(session, b"GET", arg) == b"as a key"
    assert execute(session, b"SET", b"k", arg) == OK
    assert execute(session, b"GET", b"k") == arg


def test_set_overwrites(session: ClientSession) -> None:
    assert [execute(session, b"SET", b"k", value) for value in (b"1", b"2")] == [OK, OK]
    assert execute(session, b"GET", b"k") == b"2"


# ---------------------------------------------------------------- keys


def test_del_counts_the_existing_keys(session: ClientSession, store: Store) -> None:
    for key in (b"a", b"b", b"c"):
        store.set(key, b"")
    assert execute(session, b"DEL", b"a", b"none", b"b", b"a") == 2
    assert pairs(store) == [(b"c", b"")]


def test_exists_counts_a_key_as_often_as_it_is_named(session: ClientSession, store: Store) -> None:
    store.set(b"a", b"")
    assert execute(session, b"EXISTS", b"a") == 1
    assert execute(session, b"EXISTS", b"none") == 0
    assert execute(session, b"EXISTS", b"a", b"none", b"a") == 2


def test_flushall_removes_every_key(session: ClientSession, store: Store) -> None:
    store.set(b"a", b"")
    assert execute(session, b"FLUSHALL") == OK
    assert len(store) == 0
    assert execute(session, b"FLUSHALL") == OK


def test_compact_prints_one_set_a_key_oldest_first(session: ClientSession) -> None:
    for line in ("SET b 1", "SET a 1", "SET c 1", "INCR b", "DEL a", "SET a 'x y'", "SET '' \"\\x00\""):
        send_line(session, line)
    assert send_line(session, "COMPACT") == 'SET b 2\nSET c 1\nSET a "x y"\nSET "" "\\x00"'


def test_find_returns_the_keys_whose_value_matches_oldest_first(session: ClientSession) -> None:
    for line in ("SET b apple", "SET a applesauce", "SET c pear"):
        send_line(session, line)
    assert execute(session, b"FIND", b"apple*") == [b"b", b"a"]
    assert execute(session, b"FIND", b"*p*r") == [b"c"]
    assert execute(session, b"FIND", b"APPLE") == []
    assert execute(session, b"FIND", b"*", b"LIMIT", b"2") == [b"b", b"a"]
    assert execute(session, b"find", b"*", b"limit", b"100") == execute(session, b"FIND", b"*")


def test_find_ignores_keys_that_have_expired(session: ClientSession, clock: Clock) -> None:
    send_lines(session, "SET key value PX 100", "SET other value")
    clock.forward(200)
    assert execute(session, b"FIND", b"value") == [b"other"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ([b"LIMIT"], SYNTAX_ERROR),
        ([b"LIMIT", b"0"], SYNTAX_ERROR),
        ([b"LIMIT", b"-1"], SYNTAX_ERROR),
        ([b"LIMIT", b"x"], NOT_AN_INTEGER),
        ([b"COUNT", b"1"], SYNTAX_ERROR),
    ],
)
def test_find_refuses_other_options(session: ClientSession, options: list[bytes], error: ErrorReply) -> None:
    assert execute(session, b"FIND", b"*", *options) == error


def test_find_in_a_transaction_sees_its_writes(session: ClientSession) -> None:
    send_lines(session, "MULTI", "SET a 1", "FIND 1")
    assert execute(session, b"EXEC") == [OK, [b"a"]]


def test_compact_of_an_empty_store_is_one_empty_line(session: ClientSession) -> None:
    assert session.feed(b"COMPACT\r\n") == b"\r\n"
    assert execute(session, b"COMPACT") == b""
