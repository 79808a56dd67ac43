"""The HTTP application in this process, with commands that fail and engines that block."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from common.codec import Args
from common.limits import Limits
from common.replies import Lines, Reply
from server.commands import COMMANDS
from server.engines.base import WOULD_BLOCK, CallContext, WouldBlock
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.registry import Command, CommandGroup, CommandTable
from server.session.context import ServerContext
from server.session.session import Session
from tests.harness.engines import CustomEngine, OwnedDatabase
from tests.harness.http_wire import Wire, request
from tests.harness.waiting import TIMEOUT, wait_until

failing = CommandGroup("string")


@failing.control("BUG", "Raise an unexpected exception.")
def bug(session: Session) -> Reply:
    raise RuntimeError("a secret of the server's own")


@failing.control("LATEBUG", "Raise an exception while the reply is sent.")
def late_bug(session: Session) -> Reply:
    def lines() -> Iterator[bytes]:
        yield b"x" * 1_000_000
        raise RuntimeError("a secret of the server's own")

    return Lines(lines())


class WaitingDatabase(OwnedDatabase):
    """A database whose commands block, as those of a backing Redis do."""

    def may_block(self, command: Command, args: Args) -> bool:
        return command.targets_keyspace

    def try_execute(self, command: Command, args: Args, call: CallContext) -> Reply | WouldBlock:
        return WOULD_BLOCK

    def execute(self, command: Command, args: Args, call: CallContext) -> Reply:
        assert self.engine.may_run.wait(TIMEOUT)
        return super().execute(command, args, call)


class WaitingEngine(CustomEngine):
    database_class = WaitingDatabase

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.may_run = threading.Event()
        self.may_run.set()


@contextmanager
def serving(context: ServerContext) -> Iterator[str]:
    """Serve HTTP in this process. Yield the URL."""
    pytest.importorskip("httptools", reason="the extra http is not installed")
    from server.http.listener import create_http_listener

    listener = create_http_listener("127.0.0.1", 0, context, max_body=10_000_000)
    listener.start()
    try:
        yield listener.address
    finally:
        listener.stop()


Serve = Callable[[ServerContext], Wire]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that serves a context and connects to it."""
    with ExitStack() as stack:
        yield lambda context: stack.enter_context(Wire(stack.enter_context(serving(context))))


@pytest.fixture
def buggy(engine: EmbeddedEngine) -> ServerContext:
    return ServerContext(engine, CommandTable([failing, *groups_of_commands()]))


def groups_of_commands() -> list[CommandGroup]:
    group = CommandGroup("all")
    group.commands = list(COMMANDS)
    return [group]


def test_a_bug_in_a_command_is_500_and_only_the_log_has_the_details(
    buggy: ServerContext, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    wire = serve(buggy)
    sentence = "ERR internal error, the server's log has the details"
    answer = wire.ask(b"POST", b"/", b'["BUG"]')
    assert (answer.status, json.loads(answer.body)) == (500, {"error": sentence})
    assert "a secret of the server's own" in caplog.text
    assert json.loads(wire.ask(b"POST", b"/pipeline", b'[["PING"],["BUG"]]').body)[1] == {"error": sentence}
    assert wire.ask(b"GET", b"/healthz").status == 200, "the connection stays open"


@pytest.mark.parametrize("path", [b"/", b"/pipeline", b"/multi-exec"])
def test_too_many_arguments_are_refused_as_over_resp(engine: EmbeddedEngine, serve: Serve, path: bytes) -> None:
    wire = serve(ServerContext(engine, COMMANDS, Limits(max_args=3)))
    for args, status in ((["EXISTS", "a", "b"], 200), (["EXISTS", "a", "b", "c"], 400)):
        answer = wire.ask(b"POST", path, json.dumps(args if path == b"/" else [args]).encode())
        assert answer.status == status
    assert json.loads(answer.body) == {"error": "ERR too many arguments in request"}


def test_a_bug_in_a_handler_is_500_and_only_the_log_has_the_details(
    context: ServerContext, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wire = serve(context)
    monkeypatch.setattr("server.http.metrics.resident_bytes", lambda: 1 // 0)
    answer = wire.ask(b"GET", b"/metrics")
    assert (answer.status, list(json.loads(answer.body))) == (500, ["error"])
    assert b"ZeroDivision" not in answer.body
    assert "ZeroDivisionError" in caplog.text
    assert wire.ask(b"GET", b"/healthz").status == 200


def test_an_exception_while_a_response_is_streamed_leaves_its_body_incomplete(
    buggy: ServerContext, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    wire = serve(buggy)
    with caplog.at_level(logging.CRITICAL, "server.http"):
        wire.send(request(b"POST", b"/", b'["LATEBUG"]'))
        everything = wire.rest()
    assert everything.startswith(b"HTTP/1.1 200 ")
    assert not everything.endswith(b"0\r\n\r\n")
    assert b"secret" not in everything
    wait_until(lambda: len(buggy.clients) == 0, "the connection is not registered any more")


def test_a_write_that_is_too_large_to_be_queued_leaves_no_transaction(engine: EmbeddedEngine, serve: Serve) -> None:
    wire = serve(ServerContext(engine, COMMANDS, Limits(max_request=1000)))
    assert wire.ask(b"PUT", b"/keys/k", b"x" * 2000).status == 400
    assert wire.ask(b"PUT", b"/keys/k", b"v").status == 201
    assert wire.ask(b"GET", b"/keys/k").body == b"v"


@pytest.mark.uncompiled
def test_requests_of_one_connection_run_in_order_if_the_engine_blocks(store: Store, serve: Serve) -> None:
    wire = serve(ServerContext(WaitingEngine(store), COMMANDS))
    both = request(b"POST", b"/", b'["WATCH", "n"]') + request(b"POST", b"/keys/n/incr", headers=b"If-Match: *\r\n")
    assert wire.ask(b"PUT", b"/keys/n", b"0").status == 201
    wire.send(both * 100)
    answers = [wire.answer() for _ in range(200)]
    assert [answer.body for answer in answers[1::2]] == [b"%d" % number for number in range(1, 101)]


@pytest.mark.uncompiled
def test_backpressure_limits_what_is_read_while_the_engine_blocks(store: Store, serve: Serve) -> None:
    context = ServerContext(WaitingEngine(store), COMMANDS)
    wire = serve(context)
    ping = request(b"POST", b"/", b'["PING"]')
    wire.send(ping * 40_000)
    kept: list[int] = []
    for _ in range(300):
        assert wire.answer().status == 200
        (client,) = context.clients.all()
        kept.append(len(client.transport.unparsed))  # type: ignore[union-attr]
    assert max(kept) < len(ping) * 40_000 / 2


@pytest.mark.uncompiled
def test_an_engine_that_blocks_delays_no_other_connection(store: Store) -> None:
    engine = WaitingEngine(store)
    with serving(ServerContext(engine, COMMANDS)) as url, Wire(url) as slow, Wire(url) as quick:
        engine.may_run.clear()
        slow.send(request(b"GET", b"/keys/k"))
        assert quick.ask(b"GET", b"/healthz").status == 200
        engine.may_run.set()
        assert slow.answer().status == 404
