"""The commands on keys, whatever their values."""

from __future__ import annotations

import pytest

from common.errors import (
    DATABASE_OUT_OF_RANGE,
    FREQUENCY_NOT_TRACKED,
    IDLE_TIME_NOT_TRACKED,
    NO_SUCH_KEY,
    NOT_AN_INTEGER,
    SAME_OBJECT,
    SYNTAX_ERROR,
)
from common.replies import OK, ErrorReply, Reply, SimpleString
from server.keyspace.store import Store
from tests.harness.sessions import ClientSession, execute, execute_line, send_lines
from tests.harness.stores import pairs


@pytest.fixture
def session(session: ClientSession) -> ClientSession:
    """A session on a store with two keys."""
    send_lines(session, "SET a 1", "SET b 2")
    return session


@pytest.mark.parametrize(
    ("line", "reply", "after"),
    [
        ("UNLINK a none b", 2, []),
        ("TOUCH a none a", 2, [(b"a", b"1"), (b"b", b"2")]),
        ("TYPE a", SimpleString(b"string"), [(b"a", b"1"), (b"b", b"2")]),
        ("TYPE none", SimpleString(b"none"), [(b"a", b"1"), (b"b", b"2")]),
        ("DBSIZE", 2, [(b"a", b"1"), (b"b", b"2")]),
        ("RENAME a c", OK, [(b"b", b"2"), (b"c", b"1")]),
        ("RENAME a b", OK, [(b"b", b"1")]),
        ("RENAME a a", OK, [(b"a", b"1"), (b"b", b"2")]),
        ("RENAME none a", NO_SUCH_KEY, [(b"a", b"1"), (b"b", b"2")]),
        ("RENAME none none", NO_SUCH_KEY, [(b"a", b"1"), (b"b", b"2")]),
        ("RENAMENX a c", 1, [(b"b", b"2"), (b"c", b"1")]),
        ("RENAMENX a b", 0, [(b"a", b"1"), (b"b", b"2")]),
        ("RENAMENX a a", 0, [(b"a", b"1"), (b"b", b"2")]),
        ("RENAMENX none b", NO_SUCH_KEY, [(b"a", b"1"), (b"b", b"2")]),
        ("COPY a c", 1, [(b"a", b"1"), (b"b", b"2"), (b"c", b"1")]),
        ("COPY a b", 0, [(b"a", b"1"), (b"b", b"2")]),
        ("COPY a b REPLACE", 1, [(b"a", b"1"), (b"b", b"1")]),
        ("COPY a c db 0 replace", 1, [(b"a", b"1"), (b"b", b"2"), (b"c", b"1")]),
        ("COPY none b REPLACE", 0, [(b"a", b"1"), (b"b", b"2")]),
        ("COPY a c DB 16", DATABASE_OUT_OF_RANGE, [(b"a", b"1"), (b"b", b"2")]),
        ("COPY a c DB one", NOT_AN_INTEGER, [(b"a", b"1"), (b"b", b"2")]),
        ("COPY a c DB", SYNTAX_ERROR, [(b"a", b"1"), (b"b", b"2")]),
        ("COPY a c OVER", SYNTAX_ERROR, [(b"a", b"1"), (b"b", b"2")]),
        ("COPY a c DB 1", 1, [(b"a", b"1"), (b"b", b"2")]),
        ("COPY a a", SAME_OBJECT, [(b"a", b"1"), (b"b", b"2")]),
        ("FLUSHALL ASYNC", OK, []),
        ("FLUSHDB sync", OK, []),
        ("FLUSHDB", OK, []),
        ("FLUSHALL NOW", SYNTAX_ERROR, [(b"a", b"1"), (b"b", b"2")]),
        ("FLUSHALL SYNC ASYNC", SYNTAX_ERROR, [(b"a", b"1"), (b"b", b"2")]),
    ],
)
def test_a_command_replies_and_changes_this(
    session: ClientSession, store: Store, line: str, reply: Reply, after: list[tuple[bytes, bytes]]
) -> None:
    assert execute_line(session, line) == reply
    assert pairs(store) == after


def test_randomkey_returns_any_key_there_is(session: ClientSession) -> None:
    assert {bytes(key) for _ in range(100) if isinstance(key := execute_line(session, "RANDOMKEY"), bytes)} == {
        b"a",
        b"b",
    }
    execute_line(session, "FLUSHALL")
    assert execute_line(session, "RANDOMKEY") is None


# ---------------------------------------------------------------- OBJECT and MEMORY


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        (b"0", b"int"),
        (b"-9223372036854775808", b"int"),
        (b"9223372036854775808", b"embstr"),
        (b"01", b"embstr"),
        (b"1.5", b"embstr"),
        (b"", b"embstr"),
        (b"x" * 44, b"embstr"),
        (b"x" * 45, b"raw"),
        (b"1" * 45, b"raw"),
    ],
    ids=lambda arg: repr(arg[:24]),
)
def test_object_encoding_says_how_redis_would_keep_a_value(
    session: ClientSession, value: bytes, encoding: bytes
) -> None:
    execute(session, b"SET", b"k", value)
    assert execute_line(session, "OBJECT ENCODING k") == encoding


@pytest.mark.parametrize(
    ("subcommand", "reply"), [("REFCOUNT", 1), ("FREQ", FREQUENCY_NOT_TRACKED), ("IDLETIME", IDLE_TIME_NOT_TRACKED)]
)
def test_object_reports_a_key_that_is_there_and_of_no_other(
    session: ClientSession, subcommand: str, reply: Reply
) -> None:
    assert execute_line(session, f"OBJECT {subcommand} a") == reply
    assert execute_line(session, f"object {subcommand.lower()} a") == reply
    assert execute_line(session, f"OBJECT {subcommand} none") is None


def test_memory_usage_grows_with_the_key_and_with_the_value(session: ClientSession) -> None:
    send_lines(session, f"SET {'a' * 1000} 1", f"SET b {'2' * 1000}")
    sizes = [execute_line(session, f"MEMORY USAGE {key}") for key in ("a", "a" * 1000, "b")]
    assert sizes == [sizes[0], sizes[0] + 999, sizes[0] + 999] if isinstance(sizes[0], int) else False
    assert execute_line(session, "MEMORY USAGE none") is None
    assert execute_line(session, "MEMORY USAGE a SAMPLES 0") == sizes[0]


@pytest.mark.parametrize(
    ("args", "error"),
    [("SAMPLES", SYNTAX_ERROR), ("SAMPLES x", NOT_AN_INTEGER), ("SAMPLES -1", SYNTAX_ERROR), ("DEEP 1", SYNTAX_ERROR)],
)
def test_an_option_that_memory_usage_does_not_have_is_refused(
    session: ClientSession, args: str, error: ErrorReply
) -> None:
    assert execute_line(session, f"MEMORY USAGE a {args}") == error
