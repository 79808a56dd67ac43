"""I/O threads: many connections per thread, none of which delays another one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from common.codec import Args
from common.replies import Reply
from common.resp_client import encode_request
from server.app import Server, new_scheduler
from server.engines.base import CallContext
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.net.io_thread import IOThread
from server.net.io_threads import IOThreads
from server.net.nonblocking import TURN_SIZE
from server.net.threads import ThreadPerConnection
from server.registry import MAX_QUICK_ARGS, Command
from server.settings import Settings
from tests.harness.engines import CustomEngine, OwnedDatabase
from tests.harness.processes import Peer, StartServer, start_server
from tests.harness.waiting import TIMEOUT, wait_until

__all__ = ["start_server"]

pytestmark = pytest.mark.uncompiled  # the tests' engines are subclasses

MANY_KEYS = [b"key%d" % number for number in range(MAX_QUICK_ARGS)]


class GatedDatabase(OwnedDatabase):
    """A database whose commands pass the gate of its engine."""

    def execute(self, command: Command, args: Args, call: CallContext) -> Reply:
        self.engine.pass_gate(command, args)
        return super().execute(command, args, call)

    def execute_in_stages(self, command: Command, args: Args, call: CallContext) -> Reply:
        self.engine.pass_gate(command, args)
        return super().execute_in_stages(command, args, call)


class GatedEngine(CustomEngine):
    """An engine in which some commands wait for the test, and which records the order of execution."""

    database_class = GatedDatabase

    def __init__(self) -> None:
        super().__init__(Store())
        self.gated: set[bytes] = set()
        """The names of the commands that wait."""
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.executed: list[Args] = []

    def pass_gate(self, command: Command, args: Args) -> None:
        if command.name in self.gated:
            self.entered.set()
            assert self.gate.wait(TIMEOUT), "the test opens the gate"
        self.executed.append(args)


@pytest.fixture
def engine() -> Iterator[GatedEngine]:
    gated = GatedEngine()
    yield gated
    gated.gate.set()


@pytest.fixture
def server(engine: GatedEngine) -> Iterator[Server]:
    """A server with one I/O thread."""
    with Server(Settings(ports=(0,), io_threads=1), engine=engine) as running:
        yield running


@pytest.fixture
def connect(server: Server) -> Iterator[Callable[[], Peer]]:
    with ExitStack() as opened:

        def open_one() -> Peer:
            peer = Peer(server.port)
            opened.callback(peer.close)
            return peer

        yield open_one


Connect = Callable[[], Peer]


# ---------------------------------------------------------------- requests that may take long


@pytest.mark.parametrize(
    ("name", "request_", "reply"),
    [
        (b"KEYS", b"KEYS k*\n", b"1) key0\n"),
        (b"LCS", b"LCS key0 key0 LEN\n", b"1\n"),
        (b"COMPACT", b"COMPACT\n", b"SET key0 0\n"),
        (b"FLUSHALL", b"FLUSHALL\n", b"OK\n"),
        (b"DEL", encode_request([b"DEL", *MANY_KEYS]), b":1\r\n"),
    ],
)
def test_a_request_that_may_take_long_delays_no_other_connection(
    engine: GatedEngine, connect: Connect, name: bytes, request_: bytes, reply: bytes
) -> None:
    long, other = connect(), connect()
    assert other.ask(b"SET key0 0") == b"OK"
    engine.gated.add(name)
    long.send(request_ + b"ECHO after\n")
    assert engine.entered.wait(TIMEOUT)
    assert [other.ask(b"GET key0") for _ in range(10)] == [b"0"] * 10
    engine.gate.set()
    assert (long.line(), long.line()) == (reply, b"after\n"), "the replies are in the order of the requests"


def test_a_large_transaction_delays_no_other_connection(
    engine: GatedEngine, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, other = connect(), connect()
    queued = MAX_QUICK_ARGS + 1
    long.send(b"MULTI\n" + b"INCR n\n" * queued)
    assert long.receive(3 + 7 * queued) == b"OK\n" + b"QUEUED\n" * queued
    execute_all = engine.execute_all

    def gated(*arguments: object) -> object:
        engine.entered.set()
        assert engine.gate.wait(TIMEOUT)
        return execute_all(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "execute_all", gated)
    long.send(b"EXEC\nGET n\n")
    assert engine.entered.wait(TIMEOUT)
    assert other.ask(b"GET n") == b"(nil)"
    engine.gate.set()
    assert [long.line() for _ in range(queued)][-1] == b"%d) %d\n" % (queued, queued)
    assert long.line() == b"%d\n" % queued


def test_if_the_system_allows_no_further_thread_long_requests_wait_for_one_another_and_delay_no_other(
    engine: GatedEngine, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, next_long, other = connect(), connect(), connect()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    engine.gated.add(b"KEYS")
    for each in (long, next_long):
        each.send(b"KEYS *\n")
    assert engine.entered.wait(TIMEOUT)
    assert other.ask(b"PING") == b"PONG"
    engine.gate.set()
    assert (long.line(), next_long.line()) == (b"(empty)\n", b"(empty)\n")


def test_requests_after_a_long_one_are_executed_after_it(engine: GatedEngine, connect: Connect) -> None:
    peer = connect()
    engine.gated.add(b"KEYS")
    peer.send(b"SET a 1\nKEYS *\nSET a 2\n")
    assert engine.entered.wait(TIMEOUT)
    peer.send(b"GET a\n")
    assert peer.line() == b"OK\n", "the replies before it are sent at once"
    engine.gate.set()
    assert [peer.line() for _ in range(3)] == [b"1) a\n", b"OK\n", b"2\n"]


def test_monitor_shows_a_long_request_once(engine: GatedEngine, connect: Connect) -> None:
    monitor, peer = connect(), connect()
    assert monitor.ask(b"MONITOR") == b"OK"
    assert peer.ask(b"KEYS *") == b"(empty)"
    assert peer.ask(b"ECHO end") == b"end"
    assert [monitor.line().partition(b"] ")[2] for _ in range(2)] == [b'"KEYS" "*"\n', b'"ECHO" "end"\n']


def test_statistics_count_a_long_request_once(connect: Connect) -> None:
    peer = connect()
    peer.ask(b"KEYS *")
    peer.send(b"INFO commandstats\nQUIT\n")
    assert b"cmdstat_keys:calls=1," in peer.rest()


@pytest.mark.parametrize("mode", [b"SKIP", b"OFF"])
def test_client_reply_suppresses_the_reply_to_a_long_request(connect: Connect, mode: bytes) -> None:
    peer = connect()
    peer.send(b"CLIENT REPLY %b\nKEYS *\nCLIENT REPLY ON\nECHO end\n" % mode)
    assert [peer.line() for _ in range(2)] == [b"OK\n", b"end\n"]


@pytest.mark.parametrize("leave", [Peer.close, Peer.reset])
def test_a_client_that_disconnects_during_its_long_request_is_removed(
    server: Server, engine: GatedEngine, connect: Connect, leave: Callable[[Peer], None]
) -> None:
    peer = Peer(server.port)
    engine.gated.add(b"KEYS")
    peer.send(b"KEYS *\n")
    assert engine.entered.wait(TIMEOUT)
    leave(peer)
    engine.gate.set()
    wait_until(lambda: len(server.context.clients) == 0, "the connection is closed")
    assert connect().ask(b"PING") == b"PONG"


def test_client_kill_closes_a_connection_during_its_long_request(engine: GatedEngine, connect: Connect) -> None:
    long, other = connect(), connect()
    number = int(long.ask(b"CLIENT ID"))
    engine.gated.add(b"KEYS")
    long.send(b"KEYS *\nSET late 1\n")
    assert engine.entered.wait(TIMEOUT)
    assert other.ask(b"CLIENT KILL ID %d" % number) == b"1"
    engine.gate.set()
    assert long.rest() == b""
    assert [args for args in engine.executed if args[0] == b"SET"] == []


def test_a_long_request_is_replied_to_when_the_server_stops(engine: GatedEngine) -> None:
    server = Server(Settings(ports=(0,), io_threads=1), engine=engine)
    server.start()
    peer = Peer(server.port)
    assert peer.ask(b"SET a 1") == b"OK"
    engine.gated.add(b"KEYS")
    peer.send(b"KEYS *\n")
    assert engine.entered.wait(TIMEOUT)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    engine.gate.set()
    assert peer.rest() == b"1) a\n"
    stopping.join(TIMEOUT)
    peer.close()
    assert not stopping.is_alive()


# ---------------------------------------------------------------- turns


def test_a_long_pipeline_leaves_turns_to_other_connections(engine: GatedEngine, connect: Connect) -> None:
    """Both clients' requests wait when the thread begins. The short pipeline is executed before the long one ends."""
    first, long, short = connect(), connect(), connect()
    assert {peer.ask(b"PING") for peer in (first, long, short)} == {b"PONG"}
    engine.gated.add(b"GETDEL")
    first.send(b"GETDEL a\n")  # occupies the thread until both pipelines have arrived
    assert engine.entered.wait(TIMEOUT)
    pipeline = encode_request([b"GET", b"long"])
    count = 10 * TURN_SIZE // len(pipeline)
    long.send(pipeline * count)
    short.send(encode_request([b"GET", b"short"]))
    engine.gate.set()
    assert short.line() == b"$-1\r\n"
    assert long.receive(5 * count) == b"$-1\r\n" * count
    names = [args[1] for args in engine.executed]
    assert names.index(b"short") <= 1 + 2 * TURN_SIZE // len(pipeline), "one turn of the long pipeline came first"


def test_a_peer_that_does_not_read_costs_others_nothing(server: Server, connect: Connect) -> None:
    greedy, other = connect(), connect()
    other.send(encode_request([b"SET", b"big", b"x" * 1_000_000]))
    assert other.line() == b"+OK\r\n"
    greedy.send(b"GET big\n" * 100)
    assert greedy.receive(1) == b"x"
    assert [other.ask(b"ECHO %d" % number) for number in range(100)] == [b"%d" % number for number in range(100)]
    assert greedy.receive(100 * 1_000_001 - 1).count(b"\n") == 100


# ---------------------------------------------------------------- which scheduler


def test_connections_share_the_io_threads(start_server: StartServer) -> None:
    one, two = start_server("--port", "0", "--io-threads", "1"), start_server("--port", "0", "--io-threads", "2")
    assert two.threads() == one.threads() + 2, "an I/O thread and its first worker"
    threads = two.threads()
    peers = [two.connect() for _ in range(20)]
    assert {peer.ask(b"PING") for peer in peers} == {b"PONG"}
    assert two.threads() == threads


def test_with_0_io_threads_each_connection_has_a_thread(start_server: StartServer) -> None:
    server = start_server("--port", "0", "--io-threads", "0")
    threads = server.threads()
    peers = [server.connect() for _ in range(5)]
    assert {peer.ask(b"PING") for peer in peers} == {b"PONG"}
    assert server.threads() == threads + 5


class WaitingEngine(EmbeddedEngine):
    waits_for_io = True


@pytest.mark.parametrize(
    ("count", "engine", "scheduler"),
    [
        (None, EmbeddedEngine, IOThreads),
        (2, EmbeddedEngine, IOThreads),
        (0, EmbeddedEngine, ThreadPerConnection),
        (None, WaitingEngine, ThreadPerConnection),
        (2, WaitingEngine, ThreadPerConnection),
    ],
)
def test_an_engine_that_waits_for_io_gets_a_thread_per_connection(
    count: int | None, engine: type[EmbeddedEngine], scheduler: type
) -> None:
    assert type(new_scheduler(Settings(io_threads=count), engine(Store()))) is scheduler


# ---------------------------------------------------------------- the thread itself


def test_calls_of_other_threads_are_made_in_order_in_the_io_thread(io_thread: IOThread) -> None:
    calls: list[tuple[int, int]] = []
    for number in range(1000):
        io_thread.call(lambda number=number: calls.append((number, threading.get_ident())))  # type: ignore[misc]
    wait_until(lambda: len(calls) == 1000, "every call is made")
    assert [number for number, _ in calls] == list(range(1000))
    assert len({thread for _, thread in calls}) == 1
    assert calls[0][1] != threading.get_ident()


def test_timers_fire_in_the_order_of_their_times(io_thread: IOThread) -> None:
    fired: list[str] = []
    done = threading.Event()

    def start() -> None:
        io_thread.call_later(0.02, done.set)
        io_thread.call_later(0.01, lambda: fired.append("second"))
        io_thread.call_later(0, lambda: fired.append("first"))

    io_thread.call(start)
    assert done.wait(TIMEOUT)
    assert fired == ["first", "second"]


def test_a_call_after_the_thread_has_ended_is_ignored() -> None:
    thread = IOThread("test")
    thread.start()
    thread.stop()
    calls: list[int] = []
    for number in range(10):
        thread.call(lambda number=number: calls.append(number))  # type: ignore[misc]
    assert calls == []
