"""What replies, transactions, watches and MONITOR take in memory is bounded. Allocations are counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from common.codec import Encoder
from common.errors import name_too_long, replies_too_large, watch_too_large
from common.limits import Limits
from common.pieces import PIECE_SIZE
from common.replies import OK, ErrorReply, Lines, Reply, size_of
from common.resp_replies import ReplyEncoder
from common.text import ENDING_IN_LF, MAX_ESCAPES, abbreviated, command_line, format_command, quoted_pieces
from common.text_args import split_args
from server.clients.monitor import MAX_SHOWN
from server.commands.connection import MAX_NAME_SIZE
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.session.stream import OUTPUT_SIZE
from server.session.transaction import WATCH_OVERHEAD
from tests.harness.clock import Clock
from tests.harness.locks import counted_work
from tests.harness.memory import traced_memory
from tests.harness.sessions import (
    ClientSession,
    answers,
    encode,
    execute,
    execute_line,
    new_session,
    send_line,
    send_lines,
    transport_of,
)

MIB = 1024 * 1024
SIZE = MIB // 4
BINARY = bytes(range(256)) * (SIZE // 256)
CONTROL = b"\x01" * SIZE
TEXT = "é\u2028".encode() * (SIZE // 5)
PLAIN = b"x" * SIZE

LARGE_VALUES = pytest.mark.parametrize(
    "value", [BINARY, CONTROL, TEXT, PLAIN], ids=["binary", "control", "text", "plain"]
)


# ---------------------------------------------------------------- lines of any length


@LARGE_VALUES
def test_the_pieces_of_a_command_line_are_the_line(value: bytes) -> None:
    args = [b"SET", value, b"", value, b"k"]
    line = command_line(args)
    assert not isinstance(line, bytes)
    pieces = list(line)
    assert b"".join(pieces) == b"".join(line) == format_command(args)
    assert split_args(b"".join(pieces)) == args
    assert max(map(len, pieces)) <= 4 * PIECE_SIZE


@pytest.mark.parametrize(("size", "is_whole"), [(PIECE_SIZE - 4, True), (PIECE_SIZE - 3, False)])
def test_only_a_long_command_line_is_printed_in_pieces(size: int, is_whole: bool) -> None:
    line = command_line([b"SET", b"k", b"v" * size])
    assert isinstance(line, bytes) == is_whole


LONG = [b"a" * PIECE_SIZE, b"b", b"c" * 10]


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [
        (ReplyEncoder(2), b"$%d\r\n%b\r\n"),
        (ReplyEncoder(3), None),
        (ENDING_IN_LF, None),
    ],
    ids=["RESP2", "RESP3", "text"],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_in_pieces_is_encoded_like_the_same_line(encoder: Encoder, expected: bytes | None, place: int) -> None:
    lines: list[bytes] = [b"first", b"", b"last"]
    whole = [*lines[:place], b"".join(LONG), *lines[place:]]
    in_pieces = [*lines[:place], LONG, *lines[place:]]
    for reply, same in ((Lines(in_pieces), Lines(whole)), ([1, Lines(in_pieces)], [1, Lines(whole)])):
        assert encode(encoder, reply) == encode(encoder, same)
    if expected is not None:
        text = b"\n".join(whole)
        assert encode(encoder, Lines(in_pieces)) == expected % (len(text), text)


@pytest.mark.parametrize("request_", [b"COMPACT\n", b"*1\r\n$7\r\nCOMPACT\r\n"], ids=["text", "RESP"])
@LARGE_VALUES
def test_backpressure_compact_prints_a_large_value_in_pieces(
    session: ClientSession, store: Store, value: bytes, request_: bytes
) -> None:
    store.set(b"before", b"v")
    store.set(b"big", value * 4)
    store.set(b"after", b"v")
    size = 0
    with traced_memory() as memory:
        for piece in answers(session, request_):
            assert len(piece) <= OUTPUT_SIZE + 4 * PIECE_SIZE + 100
            size += len(piece)
    assert size > 4 * len(value)
    assert memory.peak < 2 * MIB


@LARGE_VALUES
def test_compact_with_a_large_value_can_be_sent_back(session: ClientSession, store: Store, value: bytes) -> None:
    store.set(b"big", value)
    printed = b"".join(answers(session, b"COMPACT\n"))
    assert split_args(printed.removesuffix(b"\n")) == [b"SET", b"big", value]


@LARGE_VALUES
def test_quoting_a_large_value_takes_no_call_per_byte(value: bytes) -> None:
    with traced_memory() as memory, counted_work() as work:
        for _ in quoted_pieces(value):
            pass
    assert work.calls < 1000
    assert memory.peak < MIB


def test_the_table_of_escaped_characters_is_bounded() -> None:
    every = "".join(map(chr, range(0xD800))).encode()
    with traced_memory() as memory:
        printed = b"".join(quoted_pieces(every))
    assert split_args(printed) == [every]
    assert memory.in_use - len(printed) < 200 * MAX_ESCAPES


# ---------------------------------------------------------------- MONITOR, SLOWLOG


def shown(session: ClientSession) -> list[list[bytes]]:
    """Return the arguments that were pushed to a session that monitors, line by line."""
    lines = b"".join(transport_of(session).pushed).splitlines()
    return [split_args(line.partition(b"] ")[2]) for line in lines]


def test_monitor_shows_the_beginning_of_a_huge_argument(session: ClientSession, other: ClientSession) -> None:
    send_line(session, "MONITOR")
    execute(other, b"SET", b"key", b"v" * (10 * MAX_SHOWN), b"EX", b"10")
    ((*args, last),) = shown(session)
    room = MAX_SHOWN - len(b"SETkey") - 2 * 3
    assert args == [b"SET", b"key", b"v" * room + b"... (%d more bytes)" % (10 * MAX_SHOWN - room)]
    assert last == b"... (2 more arguments)"


def test_monitor_shows_the_first_of_many_arguments(session: ClientSession, other: ClientSession) -> None:
    send_line(session, "MONITOR")
    execute(other, b"DEL", *[b"k"] * 100_000)
    ((*args, last),) = shown(session)
    assert args == [b"DEL", *[b"k"] * (len(args) - 1)]
    assert len(args) == 1 + -(-(MAX_SHOWN - 6) // 4)
    assert last == b"... (%d more arguments)" % (100_001 - len(args))


def test_monitor_shows_a_request_within_its_limit_unchanged(session: ClientSession, other: ClientSession) -> None:
    send_line(session, "MONITOR")
    args = [b"SET", b"key", b"v" * (MAX_SHOWN - len(b"SETkey") - 2 * 3)]
    execute(other, *args)
    assert shown(session) == [args]


def test_monitor_abbreviates_text_between_two_characters(session: ClientSession, other: ClientSession) -> None:
    send_line(session, "MONITOR")
    execute(other, b"ECHO", "☃".encode() * MAX_SHOWN)
    ((_, snowmen),) = shown(session)
    assert snowmen.decode().startswith("☃" * 21_000)
    assert b"\\x" not in b"".join(transport_of(session).pushed)


@LARGE_VALUES
def test_a_request_that_is_monitored_costs_its_client_a_bounded_amount_of_work(
    session: ClientSession, other: ClientSession, value: bytes
) -> None:
    send_line(session, "MONITOR")
    args = [b"DEL", *[value * 4] * 10, *[b""] * 300_000]
    resolved = other.context.commands.resolve(args)
    with traced_memory() as memory, counted_work() as work:
        other.context.monitors.publish(resolved.redacted(args), other.client)
    assert work.calls < 1000
    assert memory.peak < 2 * MIB


@pytest.mark.parametrize(
    ("arg", "size", "expected"),
    [
        (b"abc", 3, b"abc"),
        (b"abcd", 3, b"abc... (1 more bytes)"),
        ("a☃b".encode(), 2, b"a... (4 more bytes)"),
        ("a☃b".encode(), 3, b"a... (4 more bytes)"),
        ("a☃b".encode(), 4, "a☃... (1 more bytes)".encode()),
        (b"\x80" * 9, 6, b"\x80" * 3 + b"... (6 more bytes)"),
        (b"\x80" * 9, 1, b"... (9 more bytes)"),
    ],
)
def test_an_argument_is_abbreviated_between_two_characters(arg: bytes, size: int, expected: bytes) -> None:
    assert abbreviated(arg, size) == expected


# ---------------------------------------------------------------- EXEC


LIMIT = 10_000
DISCARDED = replies_too_large(LIMIT)


@pytest.fixture
def limited(engine: EmbeddedEngine) -> ClientSession:
    """A session whose transactions may have replies of `LIMIT` bytes."""
    return new_session(engine, limits=Limits(max_replies=LIMIT))


def transact(session: ClientSession, *lines: str) -> list[Reply]:
    send_lines(session, "MULTI", *lines)
    replies = execute_line(session, "EXEC")
    assert isinstance(replies, list)
    return replies


def test_the_replies_of_a_transaction_are_discarded_beyond_their_limit(limited: ClientSession, store: Store) -> None:
    store.set(b"big", b"x" * 4000)
    replies = transact(limited, "SET a 1", *["GET big"] * 4, "GETSET big v", "INCR a", "GET a")
    assert replies == [OK, b"x" * 4000, b"x" * 4000, *[DISCARDED] * 3, 2, DISCARDED]
    assert store.get(b"big") == b"v", "a command that writes was executed, although its reply was discarded"


def test_a_command_that_only_reads_is_not_executed_beyond_the_limit(limited: ClientSession, store: Store) -> None:
    store.set(b"big", b"x" * (2 * LIMIT))
    send_lines(limited, "MULTI", *["GETRANGE big 0 -2"] * 1000)
    with traced_memory() as memory:
        replies = execute_line(limited, "EXEC")
    assert replies == [DISCARDED] * 1000
    assert memory.peak < 50 * LIMIT + 1000 * 1000


@pytest.mark.parametrize("line", ["GET gone", "KEYS *", "SCAN 0"])
def test_beyond_the_limit_a_command_that_only_reads_accesses_no_key(
    limited: ClientSession, store: Store, clock: Clock, line: str
) -> None:
    store.set(b"big", b"x" * (2 * LIMIT))
    store.set(b"gone", b"v", clock.now + 1000)
    clock.forward(5000)
    assert transact(limited, "GET big", line) == [DISCARDED] * 2
    assert store.expired_keys == 0


@pytest.mark.parametrize("line", ["KEYS *", "SCAN 0 COUNT 1000", "LCS big big2 IDX", "KEYS none"])
def test_commands_in_stages_have_the_same_limit(limited: ClientSession, store: Store, line: str) -> None:
    store.set(b"big", b"ab" * 500)
    store.set(b"big2", b"acab" * 250)
    for number in range(500):
        store.set(b"key:%d" % number, b"v")
    replies = transact(limited, *[line] * 50, "SET after 1", "FLUSHALL")
    assert replies[-2:] == [OK, OK]
    assert replies.count(DISCARDED) > 40
    assert len(store) == 0, "commands that write were executed"


def test_copies_of_the_keyspace_count(limited: ClientSession, store: Store) -> None:
    for number in range(100):
        store.set(b"key:%d" % number, b"v")
    replies = transact(limited, *["COMPACT"] * 10)
    assert replies[0] != DISCARDED
    assert replies[5:] == [DISCARDED] * 5


@pytest.mark.parametrize("line", ["INFO", "CLIENT LIST", "COMMAND LIST", "CONFIG GET *", "ECHO " + "x" * 500])
def test_control_commands_in_a_transaction_have_the_same_limit(limited: ClientSession, line: str) -> None:
    replies = transact(limited, *[line] * 100, "CLIENT SETNAME me")
    assert replies[0] != DISCARDED
    assert replies[-2] == DISCARDED
    assert limited.client.name == b"me", "it was executed"


def test_the_limit_is_for_each_transaction(limited: ClientSession, store: Store) -> None:
    store.set(b"big", b"x" * 6000)
    for _ in range(3):
        assert transact(limited, "GET big", "GET big") == [b"x" * 6000, DISCARDED]


def test_a_discarded_reply_counts_as_an_error(limited: ClientSession, store: Store) -> None:
    store.set(b"big", b"x" * LIMIT)
    transact(limited, "GET big", "GET big")
    assert limited.client.stats.errors == 1


def test_errors_of_a_transaction_keep_no_traceback(session: ClientSession, store: Store) -> None:
    store.set(b"k", b"v")
    send_lines(session, "MULTI", *["INCR k"] * 1000)
    with traced_memory() as memory:
        execute_line(session, "EXEC")
    assert memory.peak < 1000 * 800, "1300 bytes each with their tracebacks"


@pytest.mark.parametrize(
    ("reply", "least"),
    [
        (b"x" * 1000, 1000),
        ([b"x" * 1000] * 3, 3000),
        ({b"k" * 1000: [b"v" * 1000]}, 2000),
        ([[[1000]]], 150),
        (Lines([b"x" * 1000] * 3), 3000),
        (Lines(iter([])), 1),
        (ErrorReply(b"ERR", b""), 1),
        (None, 1),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_the_size_of_a_reply_includes_what_is_in_it(reply: Reply, least: int) -> None:
    assert least <= size_of(reply) < 2 * least + 300


# ---------------------------------------------------------------- WATCH


def test_the_keys_that_a_client_watches_are_bounded_together(engine: EmbeddedEngine) -> None:
    limit = 3 * (WATCH_OVERHEAD + 10)
    session = new_session(engine, limits=Limits(max_watched=limit))
    assert execute(session, b"WATCH", b"a" * 10, b"b" * 10) == OK
    assert execute(session, b"WATCH", b"c" * 11) == watch_too_large(limit)
    assert execute(session, b"WATCH", b"d", b"e") == watch_too_large(limit)
    assert session.client.watched_keys == 2, "a refused WATCH watches none of its keys"
    assert execute(session, b"WATCH", b"a" * 10, b"b" * 10, b"a" * 10) == OK, "keys that are watched already are free"
    assert execute(session, b"WATCH", b"c" * 10) == OK
    assert execute(session, b"WATCH", b"") == watch_too_large(limit)
    for ending in ("UNWATCH", "MULTI", "EXEC"):
        assert execute_line(session, ending) != watch_too_large(limit)
    assert execute(session, b"WATCH", b"x" * 10, b"y" * 10, b"z" * 10) == OK


def test_the_overhead_of_a_watched_key_covers_what_it_takes(session: ClientSession) -> None:
    keys = [b"%06d" % number for number in range(20_000)]
    with traced_memory() as memory:
        session.session.watched.add(keys, session.context.limits.max_watched)
    assert memory.in_use < len(keys) * WATCH_OVERHEAD


# ---------------------------------------------------------------- COMMAND, names of clients


def answers_of(session: ClientSession, lines: list[str]) -> Iterator[Reply]:
    for line in lines:
        yield session.session.execute(split_args(line.encode()))


@pytest.mark.parametrize("line", ["COMMAND", "COMMAND INFO", "COMMAND INFO get config", "COMMAND DOCS get config"])
def test_the_descriptions_of_commands_are_made_once(session: ClientSession, line: str) -> None:
    first = session.session.execute(split_args(line.encode()))
    with traced_memory() as memory:
        again = list(answers_of(session, [line] * 1000))
    assert again == [first] * 1000
    assert memory.in_use < 1000 * 400


def test_a_name_of_a_client_is_bounded(session: ClientSession) -> None:
    longest, longer = b"x" * MAX_NAME_SIZE, b"x" * (MAX_NAME_SIZE + 1)
    error = name_too_long(MAX_NAME_SIZE)
    for command in ([b"CLIENT", b"SETNAME"], [b"CLIENT", b"SETINFO", b"lib-name"], [b"HELLO", b"2", b"SETNAME"]):
        assert execute(session, *command, longer) == error
        assert not isinstance(execute(session, *command, longest), ErrorReply)
    assert session.client.name == longest
    with counted_work() as work:
        session.session.execute([b"CLIENT", b"SETNAME", b"x" * MIB])
    assert work.calls < 100


# ---------------------------------------------------------------- APPEND, SETRANGE


@pytest.mark.parametrize("line", ["APPEND k x", "SETRANGE k 5 x", "SETRANGE k 4194303 xx", "SETRANGE k 8388607 x"])
def test_append_and_setrange_copy_the_value_once(session: ClientSession, store: Store, line: str) -> None:
    store.set(b"k", b"v" * (4 * MIB))
    with traced_memory() as memory:
        length = execute_line(session, line)
        assert isinstance(length, int)
        padding = max(0, length - 4 * MIB)
        assert memory.in_use - length < 10_000, "the old value was allocated before"
    assert memory.peak < length + padding + 10_000


def test_reading_a_large_value_copies_none_of_it(session: ClientSession, store: Store) -> None:
    store.set(b"k", PLAIN)
    with traced_memory() as memory:
        for line in ("GET k", "STRLEN k", "GETRANGE k 0 -1", "EXISTS k", "GETEX k"):
            session.session.execute(split_args(line.encode()))
    assert memory.peak < 10_000
