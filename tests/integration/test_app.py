"""`Server` in the process of the tests: several at once, each with its own settings, and none leaves anything open."""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from server.app import Server, StartError
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.settings import Settings, SettingsError
from tests.harness.clock import Clock
from tests.harness.processes import Peer
from tests.harness.waiting import wait_until

ANY_PORT = Settings(ports=(0,))


@pytest.fixture(autouse=True)
def _every_thread_and_every_socket_ends() -> Iterator[None]:
    threads = set(threading.enumerate())
    level = logging.getLogger().level
    yield
    wait_until(lambda: set(threading.enumerate()) <= threads, "every thread of the servers has ended")
    logging.getLogger().setLevel(level)


Connect = Callable[[int], Peer]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Open connections to a port; they are closed when the test is over."""
    with ExitStack() as opened:

        def connect_to(port: int) -> Peer:
            peer = Peer(port)
            opened.callback(peer.close)
            return peer

        yield connect_to


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_it_serves_from_start_to_stop_and_then_its_port_is_free(connect: Connect) -> None:
    server = Server(ANY_PORT)
    assert server.addresses == []
    server.start()
    peer = connect(server.port)
    assert peer.ask(b"SET key value") == b"OK"
    assert server.addresses == [f"127.0.0.1:{server.port}"]
    server.stop()
    assert peer.line() == b""
    assert is_free(server.port)
    with Server(Settings(ports=(server.port,))) as again:
        peer = connect(again.port)
        assert peer.ask(b"GET key") == b"(nil)"


def test_several_servers_at_once_share_nothing(connect: Connect) -> None:
    with Server(ANY_PORT) as one, Server(ANY_PORT) as other:
        first, second = connect(one.port), connect(other.port)
        assert first.ask(b"SET key one") == b"OK"
        assert second.ask(b"GET key") == b"(nil)"
        assert first.ask(b"CONFIG SET maxclients 7") == b"OK"
        assert [peer.ask(b"CONFIG GET maxclients") and peer.line() for peer in (first, second)] == [
            b"2) 7\n",
            b"2) 10000\n",
        ]


def test_every_port_is_one_store(connect: Connect) -> None:
    with Server(Settings(ports=(0, 0))) as server:
        one, other = map(connect, server.ports)
        assert one.ask(b"SET key value") == b"OK"
        assert other.ask(b"GET key") == b"value"


def test_config_and_info_show_the_port_that_was_really_bound(connect: Connect) -> None:
    with Server(ANY_PORT) as server:
        peer = connect(server.port)
        assert peer.ask(b"CONFIG GET port") == b"1) port"
        assert peer.line() == b"2) %d\n" % server.port


def test_the_clock_of_the_store_is_the_one_that_is_given(connect: Connect) -> None:
    clock = Clock()
    with Server(ANY_PORT, clock=clock) as server:
        peer = connect(server.port)
        assert peer.ask(b"SET key value PX 1000") == b"OK"
        assert peer.ask(b"PTTL key") == b"1000"
        clock.forward(999)
        assert peer.ask(b"PTTL key") == b"1"
        clock.forward(1)
        assert peer.ask(b"GET key") == b"(nil)"


def test_the_engine_may_be_given(connect: Connect) -> None:
    store = Store()
    store.set(b"key", b"value")
    with Server(ANY_PORT, engine=EmbeddedEngine(store)) as server:
        peer = connect(server.port)
        assert peer.ask(b"GET key") == b"value"


def test_the_limits_are_those_of_the_settings(connect: Connect) -> None:
    with Server(Settings(ports=(0,), max_line=20, max_clients=1)) as server:
        peer = connect(server.port)
        assert peer.ask(b"SET key " + b"x" * 20).startswith(b"(error) ERR Protocol error")
        refused = connect(server.port)
        assert refused.line() == b"-ERR max number of clients reached\r\n"


def test_http_is_served_beside_the_other_ports(connect: Connect) -> None:
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("httptools", reason="the extra http is not installed")
    with Server(Settings(ports=(0,), http_port=0, password="hush")) as server:
        assert server.http_url is not None
        assert server.addresses == [f"127.0.0.1:{server.port}", server.http_url]
        peer = connect(server.port)
        assert peer.ask(b"AUTH hush") == b"OK"
        assert peer.ask(b"SET key value") == b"OK"
        assert httpx.get(f"{server.http_url}/keys/key").status_code == 401
        authorized = {"Authorization": "Bearer hush"}
        assert httpx.get(f"{server.http_url}/keys/key", headers=authorized).content == b"value"
        pipeline = httpx.post(f"{server.http_url}/pipeline", headers=authorized, json=[["PING"], ["GET", "key"]])
        assert pipeline.json() == [{"result": "PONG"}, {"result": "value"}]


def test_the_ports_that_were_picked_are_in_the_settings(connect: Connect) -> None:
    pytest.importorskip("httptools", reason="the extra http is not installed")
    with Server(Settings(ports=(0,), resp_port=0, http_port=0)) as server:
        settings = server.context.settings
        assert server.addresses == [
            f"127.0.0.1:{server.port}",
            f"127.0.0.1:{settings.resp_port}",
            f"http://127.0.0.1:{settings.http_port}",
        ]
        assert server.http_url == server.addresses[2]
        peer = connect(server.port)
        peer.send(b"GET / HTTP/1.1\r\n\r\n")
        assert b"port %d does" % (settings.http_port or 0) in peer.rest()


def test_without_http_there_is_no_url() -> None:
    with Server(ANY_PORT) as server:
        assert server.http_url is None


# ---------------------------------------------------------------- start


def open_files() -> set[str]:
    return set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()


@pytest.mark.parametrize("http", [False, True])
def test_a_port_that_is_taken_is_one_sentence_and_nothing_stays_open(*, http: bool) -> None:
    if http:
        pytest.importorskip("httptools", reason="the extra http is not installed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(ports=(0,), http_port=port) if http else Settings(ports=(0, port))
        server = Server(settings)
        before = open_files()
        with pytest.raises(StartError, match=rf"^can't listen on 127\.0\.0\.1:{port}: Address already in use$"):
            server.start()
        assert open_files() - before <= {str(taken.fileno())}
    server.stop()


def test_settings_that_cannot_be_used_are_refused_before_anything_is_opened() -> None:
    with pytest.raises(SettingsError, match=r"^--cache-keys needs --backend$"):
        Server(Settings(cache_keys=5))


def test_it_starts_once() -> None:
    with Server(ANY_PORT) as server, pytest.raises(RuntimeError):
        server.start()


# ---------------------------------------------------------------- stop


def test_stop_without_start_and_a_second_stop_do_nothing() -> None:
    Server(ANY_PORT).stop()
    with Server(ANY_PORT) as server:
        server.stop()
        server.stop()


def test_stop_ends_connections_that_idle_that_do_not_read_and_that_monitor(connect: Connect) -> None:
    server = Server(ANY_PORT)
    server.start()
    peers = [connect(server.port) for _ in range(5)]
    stalled = connect(server.port)
    assert stalled.ask(b"SET big " + b"x" * 60_000) == b"OK"
    stalled.send(b"GET big\n" * 1000)
    assert stalled.receive(1) == b"x"
    assert peers[0].ask(b"MONITOR") == b"OK"
    assert peers[1].ask(b"PING") == b"PONG"
    server.stop()
    assert is_free(server.port)


def test_shutdown_stops_the_server_that_got_it(connect: Connect) -> None:
    with Server(ANY_PORT) as other, Server(ANY_PORT) as server:
        peer = connect(server.port)
        peer.send(b"SHUTDOWN\n")
        assert peer.rest() == b""
        wait_until(lambda: is_free(server.port), "the server does not listen any more")
        beside = connect(other.port)
        assert beside.ask(b"PING") == b"PONG"


def test_shutdown_calls_what_the_program_asked_for(connect: Connect) -> None:
    asked = threading.Event()
    with Server(ANY_PORT, shut_down=asked.set) as server:
        peer = connect(server.port)
        peer.send(b"SHUTDOWN\n")
        assert peer.rest() == b""
        assert asked.wait(20)


def test_config_set_of_the_largest_argument_applies_to_new_connections(connect: Connect) -> None:
    with Server(ANY_PORT) as server:
        before = connect(server.port)
        assert before.ask(b"CONFIG SET proto-max-bulk-len 5") == b"OK"
        after = connect(server.port)
        after.send(b"*2\r\n$4\r\nECHO\r\n$6\r\nsix by\r\n")
        assert re.match(rb"-ERR Protocol error", after.line())
