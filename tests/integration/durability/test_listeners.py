"""The commit barrier of every listener: what is sent before a sync, after it, and when it fails."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.app import Server
from server.engines.log.engine import DurableEngine, LogSettings
from server.engines.log.log import ALWAYS
from server.keyspace.store import Store
from server.settings import Settings
from tests.harness.frame_client import frame
from tests.harness.http_wire import Wire
from tests.harness.logs import new_disk
from tests.harness.processes import Peer, StartServer
from tests.harness.simulated_disk import SimulatedDisk
from tests.harness.waiting import TIMEOUT, wait_until
from tests.integration.durability.conftest import ask_anew

MISCONF = b"(error) MISCONF Errors writing to the AOF file: Input/output error"


class SlowDisk:
    """Lets a test hold syncs, count them, and make them fail."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self.disk = disk
        self.syncs = 0
        self.holds = False
        self.fails = False
        self.waiting = threading.Event()
        self.may_go_on = threading.Event()
        disk.on_call = self._on_call

    def _on_call(self, what: str) -> None:
        if what != "sync":
            return
        self.syncs += 1
        if self.holds:
            self.waiting.set()
            assert self.may_go_on.wait(TIMEOUT)
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


Start = Callable[..., tuple[Server, SlowDisk]]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start servers in this process, on a simulated disk, whose log recovers only when a test calls `tick`."""
    monkeypatch.setattr("server.engines.log.service.TICK_INTERVAL", 1e6)
    started: list[tuple[Server, SlowDisk]] = []

    def start_server(**settings: object) -> tuple[Server, SlowDisk]:
        disk = new_disk()
        engine = DurableEngine(Store(), LogSettings("simulated", lambda: disk, ALWAYS))
        server = Server(Settings(ports=(0,), data="simulated", fsync=ALWAYS, **settings), engine=engine)  # type: ignore[arg-type]
        server.start()
        slow = SlowDisk(disk)
        started.append((server, slow))
        return server, slow

    yield start_server
    for server, slow in started:
        slow.may_go_on.set()
        server.stop()


threads = pytest.mark.parametrize("io_threads", [1, 2, 0], ids=["one I/O thread", "two I/O threads", "a thread each"])


@threads
def test_no_reply_is_sent_before_the_sync_and_reads_wait_too(start: Start, io_threads: int) -> None:
    server, disk = start(io_threads=io_threads)
    writer, reader = Peer(server.port), Peer(server.port)
    writer.ask(b"SET a 1")
    disk.holds = True
    writer.send(b"SET a 2\n")
    assert disk.waiting.wait(TIMEOUT)
    reader.send(b"GET a\n")
    for peer in (writer, reader):
        peer.socket.settimeout(0.1)
        with pytest.raises(TimeoutError):
            peer.socket.recv(1)
        peer.socket.settimeout(TIMEOUT)
    disk.may_go_on.set()
    received = b""
    while len(received) < 3:
        received += writer.socket.recv(3)
    assert received == b"OK\n"
    assert reader.socket.recv(2) == b"2\n"
    writer.socket.close()
    reader.socket.close()


READS = {
    "a pipeline": b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n" * 8,
    "a transaction": b"MULTI\nGET a\nEXEC\n",
    "a request that may take long": b"KEYS *\n",
    "a JSON frame": frame({"command": "GET", "args": ["a"]}),
    "a count of the keys": b"INFO keyspace\n",
    "a watch": b"WATCH a\nMULTI\nPING\nEXEC\n",
}


@threads
@pytest.mark.parametrize("request_", READS.values(), ids=READS)
def test_every_kind_of_read_waits_for_the_sync_of_what_it_may_have_read(
    start: Start, io_threads: int, request_: bytes
) -> None:
    server, disk = start(io_threads=io_threads)
    writer, reader = Peer(server.port), Peer(server.port)
    assert (writer.ask(b"PING"), reader.ask(b"PING")) == (b"PONG", b"PONG")
    disk.holds = True
    writer.send(b"SET a 2\n")
    assert disk.waiting.wait(TIMEOUT)
    reader.send(request_)
    reader.socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        reader.socket.recv(1)
    reader.socket.settimeout(TIMEOUT)
    disk.may_go_on.set()
    assert reader.socket.recv(1)
    writer.close()
    reader.close()


@threads
def test_requests_of_many_connections_share_syncs(start: Start, io_threads: int) -> None:
    server, disk = start(io_threads=io_threads)
    peers = [Peer(server.port) for _ in range(50)]
    for peer in peers:
        assert peer.ask(b"PING") == b"PONG"
    disk.holds = True
    peers[0].send(b"SET key:0 x\n")
    assert disk.waiting.wait(TIMEOUT)
    syncs = disk.syncs
    for number, peer in enumerate(peers[1:], 1):
        peer.send(b"SET key:%d x\n" % number)
    if not io_threads:  # otherwise the thread that waits for the sync has not read them yet
        wait_until(lambda: server.context.engine.key_counts().keys == 50, "all are executed")  # type: ignore[union-attr]
    disk.may_go_on.set()
    for peer in peers:
        assert peer.line() == b"OK\n"
        peer.close()
    assert disk.syncs - syncs <= 5


@threads
def test_after_a_failed_sync_connections_that_wait_for_it_are_closed_and_others_are_served(
    start: Start, io_threads: int
) -> None:
    server, disk = start(io_threads=io_threads)
    writer, other = Peer(server.port), Peer(server.port)
    assert (writer.ask(b"SET a 1"), other.ask(b"PING")) == (b"OK", b"PONG")
    disk.fails = True
    writer.send(b"SET a 2\n")
    assert writer.rest() == b""
    assert other.ask(b"GET a") == b"1"
    assert other.ask(b"SET a 3") == MISCONF
    new = Peer(server.port)
    assert new.ask(b"PING") == b"PONG"
    assert new.ask(b"DEL a") == MISCONF
    disk.fails = False
    server.context.engine.persistence.tick()  # type: ignore[union-attr]
    assert (other.ask(b"SET a 4"), new.ask(b"GET a")) == (b"OK", b"4")
    for peer in (writer, other, new):
        peer.close()


def test_a_long_request_is_committed_in_its_thread(start: Start) -> None:
    server, disk = start(io_threads=1)
    peer = Peer(server.port)
    assert peer.ask(b"MSET a 1 b 2") == b"OK"
    syncs = disk.syncs
    assert peer.ask(b"FLUSHALL") == b"OK"
    assert disk.syncs == syncs + 1
    assert peer.ask(b"SAVE") == b"OK"
    peer.close()


# ---------------------------------------------------------------- HTTP


@pytest.fixture
def http(start: Start) -> tuple[Server, SlowDisk]:
    pytest.importorskip("httptools", reason="the extra http is not installed")
    return start(http_port=0)


def url_of(server: Server) -> str:
    assert server.http_url is not None
    return server.http_url


def test_over_http_no_response_is_sent_before_the_sync_and_the_event_loop_goes_on(
    http: tuple[Server, SlowDisk],
) -> None:
    server, disk = http
    with Wire(url_of(server)) as writer, Wire(url_of(server)) as reader, Wire(url_of(server)) as other:
        disk.holds = True
        writer.send(b"PUT /keys/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1")
        assert disk.waiting.wait(TIMEOUT)
        reader.send(b"GET /keys/a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert other.ask(b"PATCH", b"/keys").status == 405  # needs no session, so it does not wait
        for wire in (writer, reader):
            wire.socket.settimeout(0.1)
            with pytest.raises(TimeoutError):
                wire.socket.recv(1, 2)  # MSG_PEEK
            wire.socket.settimeout(TIMEOUT)
        disk.may_go_on.set()
        assert writer.answer().status in (201, 204)
        assert reader.answer().body == b"1"


def test_over_http_a_failing_log_is_503_for_writes_and_shown_by_healthz_and_metrics(
    http: tuple[Server, SlowDisk],
) -> None:
    server, disk = http
    with Wire(url_of(server)) as wire:
        assert json.loads(wire.ask(b"GET", b"/healthz").body)["log"] == "ok"
        assert wire.ask(b"PUT", b"/keys/a", b"1").status in (201, 204)
        disk.fails = True
        failed = wire.ask(b"PUT", b"/keys/a", b"2")
        assert failed.status == 503
        assert b"the log could not be written" in failed.body
        refused = wire.ask(b"PUT", b"/keys/a", b"3")
        assert (refused.status, b"MISCONF" in refused.body) == (503, True)
        assert wire.ask(b"POST", b"/", b'["SET", "a", "4"]').status == 503
        assert wire.ask(b"GET", b"/keys/a").body == b"1"
        health = wire.ask(b"GET", b"/healthz")
        assert (health.status, json.loads(health.body)["log"]) == (200, "writes are refused: Input/output error")
        assert b"kvline_log_failing 1.0" in wire.ask(b"GET", b"/metrics").body


def test_over_http_the_parts_of_a_pipeline_are_committed(http: tuple[Server, SlowDisk]) -> None:
    server, disk = http
    value = "x" * 100_000
    commands = [["SET", f"key:{number}", value] for number in range(10)] + [["GET", "key:0"]] * 10
    with Wire(url_of(server)) as wire:
        syncs = disk.syncs
        answer = wire.ask(b"POST", b"/pipeline", json.dumps(commands).encode())
        assert len(json.loads(answer.body)) == 20
        assert disk.syncs > syncs


# ---------------------------------------------------------------- a full file system


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 16 MiB, where that is allowed."""
    path = tmp_path / "small"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_a_full_file_system_refuses_writes_and_they_resume_when_there_is_space(
    start_server: StartServer, small_disk: Path
) -> None:
    server = start_server("--port", "0", "--data", str(small_disk / "data"))
    assert ask_anew(server, b"SET a 1") == b"OK"
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 13 * 1024 * 1024)
    wait_until(lambda: ask_anew(server, b"SET b 2").startswith(b"(error) MISCONF"), "writes are refused")
    peer = server.connect()
    assert peer.ask(b"GET a") == b"1"
    filler.unlink()
    wait_until(lambda: peer.ask(b"SET b 3") == b"OK", "writes are accepted")
    server.process.kill()
    server.exit_status()
    again = start_server("--port", "0", "--data", str(small_disk / "data"))
    assert again.connect().ask(b"MGET a b") == b"1) 1"
    again.close()
