"""MULTI, EXEC and DISCARD, with the rules of Redis."""

from __future__ import annotations

import gc

import pytest

from common.errors import TRANSACTION_TOO_LARGE, CommandError
from common.limits import ARGUMENT_OVERHEAD, Limits
from common.replies import OK, PONG, QUEUED, ErrorReply, Lines, SimpleString
from common.resp_client import ReplyDecoder, encode_request
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from tests.harness.sessions import ClientSession, execute, feed, new_session, send_line, send_lines
from tests.harness.stores import pairs

ABORTED = "(error) EXECABORT Transaction discarded because of previous errors."
TOO_LARGE = "(error) ERR transaction too large, its queue has reached the limit of one request"


def test_queued_commands_do_not_run_before_exec(session: ClientSession, store: Store) -> None:
    assert send_lines(session, "MULTI", "SET a 1", "INCR a") == ["OK", "QUEUED", "QUEUED"]
    assert len(store) == 0
    assert send_line(session, "EXEC") == "1) OK\n2) 2"
    assert pairs(store) == [(b"a", b"2")]


def test_the_replies_of_exec_come_in_the_order_of_the_queue(session: ClientSession) -> None:
    for args in ([b"MULTI"], [b"PING"], [b"SET", b"a", b"x y"], [b"GET", b"a"], [b"ECHO", b"e"], [b"GET", b"none"]):
        execute(session, *args)
    assert execute(session, b"EXEC") == [PONG, OK, b"x y", b"e", None]


def test_exec_of_nothing_replies_an_empty_array(session: ClientSession) -> None:
    assert execute(session, b"MULTI") == OK
    assert execute(session, b"EXEC") == []


def test_exec_ends_the_transaction(session: ClientSession) -> None:
    assert send_lines(session, "MULTI", "SET a 1", "EXEC", "GET a", "EXEC") == [
        "OK",
        "QUEUED",
        "1) OK",
        "1",
        "(error) ERR EXEC without MULTI",
    ]


def test_discard_discards_the_queue_and_ends_the_transaction(session: ClientSession, store: Store) -> None:
    assert send_lines(session, "MULTI", "SET a 1", "DISCARD", "PING", "DISCARD") == [
        "OK",
        "QUEUED",
        "OK",
        "PONG",
        "(error) ERR DISCARD without MULTI",
    ]
    assert len(store) == 0


def test_multi_within_multi_is_refused_and_does_not_make_it_dirty(session: ClientSession) -> None:
    assert send_lines(session, "MULTI", "SET a 1", "MULTI", "EXEC") == [
        "OK",
        "QUEUED",
        "(error) ERR MULTI calls can not be nested",
        "1) OK",
    ]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ("FLY", "(error) ERR unknown command 'FLY', with args beginning with: "),
        ("GET", "(error) ERR wrong number of arguments for 'get' command"),
        ("GET a b", "(error) ERR wrong number of arguments for 'get' command"),
        ("COMMAND NOTHING", "(error) ERR unknown subcommand 'NOTHING'. Try COMMAND HELP."),
        ("CLIENT ID 1", "(error) ERR wrong number of arguments for 'client|id' command"),
        ("SHUTDOWN", "(error) ERR Command not allowed inside a transaction"),
        ("MULTI now", "(error) ERR wrong number of arguments for 'multi' command"),
        ("DISCARD now", "(error) ERR wrong number of arguments for 'discard' command"),
        ("SET a 'half", "(error) ERR Protocol error: unbalanced quotes in request"),
        ("SET a " + "x" * 70_000, "(error) ERR Protocol error: line longer than 65536 bytes"),
    ],
    ids=[
        "unknown",
        "too few",
        "too many",
        "subcommand",
        "its arity",
        "SHUTDOWN",
        "MULTI now",
        "DISCARD now",
        "unbalanced",
        "too long",
    ],
)
def test_a_command_that_cannot_be_queued_makes_the_transaction_dirty(
    session: ClientSession, store: Store, bad: str, error: str
) -> None:
    assert send_lines(session, "MULTI", "SET a 1", bad, "SET b 2", "EXEC", "EXEC") == [
        "OK",
        "QUEUED",
        error,
        "QUEUED",
        ABORTED,
        "(error) ERR EXEC without MULTI",
    ]
    assert len(store) == 0


def test_exec_with_arguments_discards_the_transaction_and_ends_the_watch(
    session: ClientSession, other: ClientSession, store: Store
) -> None:
    refused = "(error) EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"
    assert send_lines(session, "WATCH a", "MULTI", "SET a 1", "EXEC now")[-1] == refused
    assert len(store) == session.client.watched_keys == 0
    assert send_lines(session, "EXEC", "EXEC now") == ["(error) ERR EXEC without MULTI", refused]
    send_line(other, "SET a 2")
    assert send_lines(session, "MULTI", "GET a", "EXEC")[-1] == "1) 2"


def test_ping_with_too_many_arguments_is_queued_and_fails_in_exec(session: ClientSession) -> None:
    error = "(error) ERR wrong number of arguments for 'ping' command"
    assert send_lines(session, "PING a b", "MULTI", "PING a b", "SET k 1", "EXEC") == [
        error,
        "OK",
        "QUEUED",
        "QUEUED",
        f"1) {error}\n2) OK",
    ]


def test_a_dirty_transaction_can_be_discarded_and_the_next_one_is_sound(session: ClientSession) -> None:
    assert send_lines(session, "MULTI", "FLY", "DISCARD", "MULTI", "SET a 1", "EXEC")[2:] == [
        "OK",
        "OK",
        "QUEUED",
        "1) OK",
    ]
    assert send_lines(session, "MULTI", "FLY", "EXEC", "MULTI", "SET a 1", "EXEC")[2:] == [
        ABORTED,
        "OK",
        "QUEUED",
        "1) OK",
    ]


def test_an_error_outside_a_transaction_makes_none_dirty(session: ClientSession) -> None:
    assert send_lines(session, "FLY", "'", "MULTI", "PING", "EXEC")[2:] == ["OK", "QUEUED", "1) PONG"]


@pytest.mark.parametrize("line", ["INCR word", "INCRBY a ten", "HELLO 4", "HELP nothing"])
def test_a_command_that_fails_at_exec_undoes_nothing(session: ClientSession, store: Store, line: str) -> None:
    store.set(b"word", b"hello")
    assert send_lines(session, "MULTI", "SET a 1", line, "SET b 2")[1:] == ["QUEUED"] * 3
    replies = send_line(session, "EXEC").split("\n")
    assert replies[0] == "1) OK"
    assert replies[1].startswith("2) (error) ")
    assert replies[2:] == ["3) OK"]
    assert pairs(store) == [(b"word", b"hello"), (b"a", b"1"), (b"b", b"2")]


def test_other_clients_see_a_transaction_only_after_exec(engine: EmbeddedEngine) -> None:
    ours, theirs = new_session(engine), new_session(engine)
    send_lines(ours, "MULTI", "SET a 1", "SET b 1")
    assert send_lines(theirs, "GET a", "SET a 7") == ["(nil)", "OK"]
    assert send_line(ours, "EXEC") == "1) OK\n2) OK"
    assert send_lines(theirs, "GET a", "GET b") == ["1", "1"]


def test_compact_within_a_transaction_prints_the_store_of_its_turn(session: ClientSession) -> None:
    assert send_lines(session, "MULTI", "COMPACT", "SET a 1", "COMPACT", "SET b 2", "COMPACT", "DEL a", "EXEC")[
        -1
    ].split("\n") == ["1) ", "2) OK", "3) SET a 1", "4) OK", "5) SET a 1", "   SET b 2", "6) 1"]


def test_a_block_within_exec_is_a_string_in_either_version_of_resp(session: ClientSession) -> None:
    compact = encode_request([b"MULTI"]) + encode_request([b"COMPACT"]) + encode_request([b"EXEC"])
    execute(session, b"SET", b"a", b"1")
    assert ReplyDecoder().feed(feed(session, compact)) == [OK, QUEUED, [b"SET a 1"]]
    execute(session, b"HELLO", b"3")
    assert ReplyDecoder().feed(feed(session, compact)) == [OK, QUEUED, [Lines([b"SET a 1"])]]


# ---------------------------------------------------------------- limits


def test_a_transaction_may_queue_as_many_commands_as_a_request_has_arguments_and_no_more(
    engine: EmbeddedEngine,
) -> None:
    session = new_session(engine, limits=Limits(max_args=3))
    assert send_lines(session, "MULTI", "PING", "PING", "PING", "PING", "EXEC") == [
        "OK",
        "QUEUED",
        "QUEUED",
        "QUEUED",
        TOO_LARGE,
        ABORTED,
    ]
    assert send_lines(session, "MULTI", "PING", "PING", "PING", "EXEC")[-1] == "1) PONG\n2) PONG\n3) PONG"


def test_the_bytes_of_queued_arguments_are_limited_together(engine: EmbeddedEngine, store: Store) -> None:
    session = new_session(engine, limits=Limits(max_request=1000))
    assert send_lines(session, "MULTI", "SET a " + "x" * 300, "SET b " + "x" * 300, "DISCARD") == [
        "OK",
        "QUEUED",
        "QUEUED",
        "OK",
    ]
    assert send_lines(session, "MULTI", "SET a " + "x" * 300, "SET b " + "x" * 310, "EXEC") == [
        "OK",
        "QUEUED",
        TOO_LARGE,
        ABORTED,
    ]
    assert len(store) == 0


@pytest.mark.parametrize(("room", "reply"), [(0, QUEUED), (-1, TRANSACTION_TOO_LARGE)])
def test_the_bytes_of_queued_arguments_may_reach_the_limit(
    engine: EmbeddedEngine, room: int, reply: SimpleString | ErrorReply
) -> None:
    args = [b"SET", b"a", b"x" * 300]
    size = sum(map(len, args)) + ARGUMENT_OVERHEAD * len(args)
    session = new_session(engine, limits=Limits(max_request=size + room))
    execute(session, b"MULTI")
    assert execute(session, *args) == reply


def test_many_empty_arguments_count_as_what_they_take(engine: EmbeddedEngine) -> None:
    session = new_session(engine, limits=Limits(max_request=1000))
    execute(session, b"MULTI")
    assert execute(session, b"DEL", *[b""] * 10) == QUEUED
    assert execute(session, b"DEL", *[b""] * 10) == TRANSACTION_TOO_LARGE


def test_a_transaction_that_grew_too_large_discards_its_queue(engine: EmbeddedEngine) -> None:
    session = new_session(engine, limits=Limits(max_request=1000))
    send_lines(session, "MULTI", "SET a " + "x" * 500, "SET b " + "x" * 500, "PING")
    assert session.transaction is not None
    assert session.transaction.queue == []
    assert session.transaction.dirty


@pytest.mark.parametrize("failing", ["INCR text", "CLIENT KILL none"])
def test_a_command_that_fails_in_exec_leaves_no_reference_cycle(session: ClientSession, failing: str) -> None:
    """It kept the replies and the output of the connection until the garbage collector ran."""
    send_lines(session, "SET text value", "MULTI", failing, "GET text")
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        assert send_line(session, "EXEC").startswith("1) (error)")
        gc.collect()
        assert [each for each in gc.garbage if isinstance(each, CommandError)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def test_exec_leaves_nothing_that_grows_with_the_number_of_commands(session: ClientSession) -> None:
    send_lines(session, "MULTI", *["GET a"] * 100, "EXEC")
    assert session.client.call.durations == []
