"""A session and its stream: QUIT, backpressure, lazy replies, unexpected failures."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Mapping, Sequence

import pytest

from common.codec import Args
from common.errors import INTERNAL_ERROR, CommandError
from common.replies import OK, ErrorReply, Lines, Reply
from common.resp_client import ReplyDecoder, encode_request
from server.commands import COMMANDS, connection, strings, transactions
from server.engines.base import CallContext, TransactionPart
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.keyspace.watches import Watch
from server.registry import Command, CommandGroup, CommandTable
from server.session.session import Session
from server.session.stream import OUTPUT_SIZE
from tests.harness.engines import CustomEngine, OwnedDatabase
from tests.harness.sessions import ClientSession, answers, connect, execute, feed, new_session, send_line
from tests.harness.stores import new_store, pairs

MIB = 1024 * 1024
INTERNAL = "(error) ERR internal error, the server's log has the details"

# ---------------------------------------------------------------- the end


def count_sessions() -> int:
    return sum(isinstance(each, Session) for each in gc.get_objects())


@pytest.mark.parametrize("line", ["PING", "MULTI", "WATCH k", "MONITOR", "SUBSCRIBE a", "CLIENT TRACKING ON"])
def test_a_closed_session_is_freed_without_the_garbage_collector(session: ClientSession, line: str) -> None:
    """Otherwise it would keep the buffers of the connection until then."""
    gc.disable()
    try:
        before = count_sessions()
        client = connect(session.context)
        client.feed(f"{line}\n".encode())
        assert count_sessions() == before + 1
        client.close()
        del client
        assert count_sessions() == before
    finally:
        gc.enable()


@pytest.mark.parametrize("arg", ["QUIT", "DISCONNECT", "quit", "Disconnect"])
@pytest.mark.parametrize("sizes", [(), (1,)], ids=["in one piece", "byte by byte"])
def test_quit_is_replied_to_and_no_later_request_of_the_pipeline_is_executed(
    session: ClientSession, store: Store, arg: str, sizes: tuple[int, ...]
) -> None:
    sent = f"SET before 1\n{arg}\r\nSET after 1\n".encode()
    assert feed(session, sent, *sizes) == b"OK\nOK\r\n"
    assert session.closing
    assert session.feed(b"SET after 1\n") == b""
    assert pairs(store) == [(b"before", b"1")]


@pytest.mark.parametrize("arg", [b"QUIT", b"DISCONNECT"])
def test_quit_in_resp_closes_the_connection_for_text_too(session: ClientSession, store: Store, arg: bytes) -> None:
    assert session.feed(encode_request([arg]) + b"SET after 1\n") == b"+OK\r\n"
    assert session.closing
    assert len(store) == 0


@pytest.mark.parametrize("arg", ["QUIT", "DISCONNECT"])
def test_quit_within_a_transaction_is_not_queued(session: ClientSession, store: Store, arg: str) -> None:
    assert feed(session, f"MULTI\nSET k v\n{arg}\nEXEC\n".encode()) == b"OK\nQUEUED\nOK\n"
    assert session.closing
    assert len(store) == 0


def test_quit_accepts_arguments_as_in_redis(session: ClientSession) -> None:
    assert send_line(session, "QUIT now") == "OK"
    assert session.closing


def test_disconnect_with_arguments_is_refused(session: ClientSession) -> None:
    assert send_line(session, "DISCONNECT now") == "(error) ERR wrong number of arguments for 'disconnect' command"
    assert not session.closing


@pytest.mark.parametrize("line", ["FLY", "GET", "INCR k v", "EXEC", "'", "SET shutdown shutdown", "PING quit"])
def test_an_error_or_a_value_does_not_end_the_session(session: ClientSession, line: str) -> None:
    send_line(session, line)
    assert not session.closing
    assert send_line(session, "PING") == "PONG"


# ---------------------------------------------------------------- unknown commands


def test_an_unknown_command_is_named_with_its_arguments(session: ClientSession) -> None:
    reply = execute(session, b"FLY", b"me", b"", b"to\r\nthe")
    assert reply == ErrorReply.from_text(b"ERR unknown command 'FLY', with args beginning with: 'me' '' 'to  the' ")


def test_an_unknown_command_without_arguments_is_named_alone(session: ClientSession) -> None:
    assert send_line(session, "fly") == "(error) ERR unknown command 'fly', with args beginning with: "
    assert send_line(session, '""') == "(error) ERR unknown command '', with args beginning with: "


def test_an_error_repeats_no_more_than_128_bytes_of_the_arguments(session: ClientSession) -> None:
    reply = execute(session, b"F" * 500, b"a" * 100, b"b" * 100, b"c")
    assert isinstance(reply, ErrorReply)
    repeated = b"'%b', with args beginning with: '%b' '%b' " % (b"F" * 128, b"a" * 100, b"b" * 25)
    assert reply.text == b"ERR unknown command " + repeated


@pytest.mark.parametrize("name", ["get", "GET", "Get", "gEt"])
def test_a_command_is_found_in_any_case(session: ClientSession, name: str) -> None:
    assert send_line(session, f"{name} nothing") == "(nil)"


# ---------------------------------------------------------------- output in pieces


def drain(session: ClientSession) -> bytes:
    """Fetch the pending output."""
    output = b""
    while session.pending:
        output += session.feed(b"")
    return output


def fill(session: ClientSession, size: int) -> bytes:
    value = b"v" * size
    assert execute(session, b"SET", b"large", value) == OK
    return value


def test_backpressure_execs_reply_of_large_values_is_sent_in_bounded_pieces(session: ClientSession) -> None:
    value = fill(session, MIB)
    get = encode_request([b"GET", b"large"])
    assert session.feed(encode_request([b"MULTI"]) + get * 50) == b"+OK\r\n" + b"+QUEUED\r\n" * 50
    pieces = list(answers(session, encode_request([b"EXEC"])))
    assert max(map(len, pieces)) <= OUTPUT_SIZE + MIB + 100
    assert ReplyDecoder().feed(b"".join(pieces)) == [[value] * 50]


def test_backpressure_a_pipeline_executes_no_more_than_fits_into_one_output(
    session: ClientSession, store: Store
) -> None:
    fill(session, MIB)
    get = encode_request([b"GET", b"large"])
    first = session.feed(get + get + b"SET after 1\n")
    assert len(first) <= OUTPUT_SIZE + MIB + 100
    assert session.pending
    assert b"after" not in store
    rest = drain(session)
    assert rest.endswith(b"\r\nOK\n")
    assert store.get(b"after") == b"1"


def test_small_replies_are_sent_in_one_piece(session: ClientSession) -> None:
    assert session.feed(b"PING\n" * 1000) == b"PONG\n" * 1000
    assert not session.pending
    assert session.feed(b"") == b""


def test_backpressure_a_pipeline_of_small_replies_pauses_at_the_output_size(session: ClientSession) -> None:
    value = fill(session, 1000)
    pieces = list(answers(session, b"GET large\n" * 1000))
    assert [len(piece) <= OUTPUT_SIZE + 1001 for piece in pieces] == [True] * len(pieces)
    assert len(pieces) == 1000 * 1001 // OUTPUT_SIZE + 1
    assert b"".join(pieces) == (value + b"\n") * 1000


@pytest.mark.parametrize("request_", [b"COMPACT\n", encode_request([b"COMPACT"])], ids=["text", "RESP"])
def test_backpressure_compact_of_large_values_is_sent_in_bounded_pieces(
    session: ClientSession, store: Store, request_: bytes
) -> None:
    value = b"v" * 100_000
    for number in range(50):
        store.set(b"%d" % number, value)
    pieces = list(answers(session, request_))
    assert max(map(len, pieces)) <= OUTPUT_SIZE + len(value) + 100
    assert sum(map(len, pieces)) > 50 * len(value)


def test_backpressure_new_requests_wait_until_the_pending_output_is_fetched(session: ClientSession) -> None:
    fill(session, MIB)
    session.feed(b"GET large\n")
    assert session.pending
    with pytest.raises(RuntimeError):
        session.feed(b"PING\n")
    drain(session)
    assert session.feed(b"PING\n") == b"PONG\n"


def test_quit_after_a_large_reply_in_a_pipeline_is_replied_to_last(session: ClientSession) -> None:
    value = fill(session, MIB)
    output = session.feed(b"GET large\nQUIT\nPING\n")
    assert session.pending
    assert not session.closing
    assert output + drain(session) == value + b"\nOK\n"
    assert session.closing
    assert not session.pending


def test_compact_prints_the_store_of_its_execution_although_it_is_sent_later(
    engine: EmbeddedEngine, store: Store
) -> None:
    reader, writer = new_session(engine), new_session(engine)
    for number in range(10):
        store.set(b"%d" % number, b"v" * 100_000)
    printed = reader.feed(b"COMPACT\n")
    assert reader.pending
    assert send_line(writer, "FLUSHALL") == "OK"
    while reader.pending:
        printed += reader.feed(b"")
    assert printed.count(b"SET ") == 10


# ---------------------------------------------------------------- unexpected failures

faulty = CommandGroup("faulty")


@faulty.reads("BOOM", "Fail on the store.")
def boom(store: Store) -> Reply:
    raise ZeroDivisionError("the store's fault")


@faulty.control("BANG", "Fail on the session.")
def bang(session: Session) -> Reply:
    raise ZeroDivisionError("the session's fault")


FAULTY = CommandTable([faulty, connection.group, strings.group, transactions.group])


class BrokenDatabase(OwnedDatabase):
    """A database whose engine lost whatever it stood on."""

    def execute(self, command: Command, args: Args, call: CallContext) -> Reply:
        raise ConnectionError("no backing store")


class BrokenEngine(CustomEngine):
    """An engine that lost whatever it stood on."""

    database_class = BrokenDatabase

    def execute_all(
        self, parts: Sequence[TransactionPart], watches: Mapping[int, Watch], call: CallContext
    ) -> list[Reply | Exception] | None:
        raise ConnectionError("no backing store")


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the exceptions that the log has with their tracebacks."""
    return [
        str(record.exc_info[1])
        for record in caplog.records
        if record.levelno == logging.ERROR and record.exc_info and record.exc_info[2] is not None
    ]


@pytest.mark.parametrize(("line", "fault"), [("BOOM", "the store's fault"), ("BANG", "the session's fault")])
def test_an_unforeseen_failure_is_replied_to_and_logged_and_the_session_lives_on(
    engine: EmbeddedEngine, caplog: pytest.LogCaptureFixture, line: str, fault: str
) -> None:
    session = new_session(engine, FAULTY)
    assert feed(session, f"{line}\nPING\n".encode()).decode() == f"{INTERNAL}\nPONG\n"
    assert not session.closing
    assert failures(caplog) == [fault]
    assert send_line(new_session(engine, FAULTY), "SET a 1") == "OK", "the lock was given back"


def test_an_unforeseen_failure_within_exec_takes_its_place(
    engine: EmbeddedEngine, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    session = new_session(engine, FAULTY)
    replies = feed(session, b"MULTI\nSET a 1\nBOOM\nBANG\nSET b 2\nEXEC\nPING\n").decode().split("\n")
    assert replies[5:] == ["1) OK", f"2) {INTERNAL}", f"3) {INTERNAL}", "4) OK", "PONG", ""]
    assert sorted(failures(caplog)) == ["the session's fault", "the store's fault"]
    assert pairs(store) == [(b"a", b"1"), (b"b", b"2")]


def test_a_foreseen_refusal_is_not_logged(session: ClientSession, caplog: pytest.LogCaptureFixture) -> None:
    send_line(session, "SET a x")
    assert send_line(session, "INCR a").startswith("(error) ERR value")
    assert send_line(session, "EXEC").startswith("(error) ERR EXEC")
    assert caplog.records == []


@pytest.mark.uncompiled
def test_an_engine_that_fails_is_replied_to_and_logged_and_the_session_lives_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = new_session(BrokenEngine(new_store()))
    assert execute(session, b"GET", b"a") == INTERNAL_ERROR
    assert feed(session, b"MULTI\nGET a\nEXEC\nPING\nEXEC\n").decode().split("\n") == [
        "OK",
        "QUEUED",
        INTERNAL,
        "PONG",
        "(error) ERR EXEC without MULTI",
        "",
    ]
    assert failures(caplog) == ["no backing store"] * 2


# ---------------------------------------------------------------- sessions side by side


def test_sessions_share_the_store_and_nothing_else(engine: EmbeddedEngine) -> None:
    ours, theirs = new_session(engine), new_session(engine)
    assert ours.feed(b'MULTI\nSET k "ours') == b"OK\n"
    assert send_line(theirs, "SET k theirs") == "OK"
    assert execute(theirs, b"HELLO", b"3") != []
    assert ours.client.protocol_version == 2
    assert ours.feed(b'"\nEXEC\n') == b"QUEUED\n1) OK\n"
    assert send_line(theirs, "GET k") == "ours"
    assert send_line(theirs, "EXEC") == "(error) ERR EXEC without MULTI"


def test_lazy_lines_are_generated_while_they_are_sent(engine: EmbeddedEngine) -> None:
    lazy = CommandGroup("lazy")
    made: list[int] = []

    def lines() -> Iterator[bytes]:
        for number in range(10):
            made.append(number)
            yield b"x" * (OUTPUT_SIZE // 4)

    @lazy.reads("LAZY", "Reply lines that are made while they are sent.")
    def make(store: Store) -> Reply:
        return Lines(lines())

    session = new_session(engine, CommandTable([lazy]))
    session.feed(b"LAZY\n")
    assert session.pending
    assert len(made) == 4


def test_a_session_has_every_command_unless_it_is_given_others() -> None:
    assert new_session().context.commands is COMMANDS


# ---------------------------------------------------------------- lazy replies that fail


def failing_table(count: int) -> CommandTable:
    """Make a table with a command LINES whose lazy reply has this many lines and then fails."""
    group = CommandGroup("test")

    def lines() -> Iterator[bytes]:
        for number in range(count):
            yield b"line %d" % number
        raise CommandError(ErrorReply.from_text(b"ERR the source failed"))

    @group.reads("LINES", "Reply lines, then fail.")
    def make(store: Store) -> Reply:
        return Lines(lines())

    return CommandTable([group, connection.group, transactions.group])


def test_lazy_lines_that_fail_end_in_an_error_and_close_the_connection() -> None:
    session = new_session(commands=failing_table(2))
    sent = b"LINES\nPING\n"
    assert feed(session, sent) == b"line 0\nline 1\n(error) ERR the source failed\n"
    assert session.closing
    assert session.context.stats.errors == 1


def test_lazy_lines_that_fail_after_the_first_output_close_the_connection_too() -> None:
    session = new_session(commands=failing_table(50_000))
    pieces = list(answers(session, b"LINES\nPING\n"))
    assert len(pieces) > 1
    assert pieces[-1].endswith(b"line 49999\n(error) ERR the source failed\n")
    assert session.closing
    assert not session.pending


def test_lazy_lines_that_fail_are_an_error_instead_in_resp() -> None:
    session = new_session(commands=failing_table(2))
    assert feed(session, encode_request([b"LINES"])) == b"-ERR the source failed\r\n"
    assert session.closing
