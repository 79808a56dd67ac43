"""A Unix socket (``--unix-socket``): every protocol on it, its file from the start to the stop, and who may connect."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from server.app import Server, StartError
from server.net import unix_listener
from server.settings import Settings
from tests.harness.frame_client import framed, take_answer
from tests.harness.processes import Peer, ServerProcess, run_client
from tests.harness.redis_server import find_redis_cli
from tests.harness.waiting import TIMEOUT


class UnixPeer(Peer):
    """A connection to a Unix socket."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(str(path))
        self._replies = self.socket.makefile("rb")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"  # short, because the path of a socket is limited


@pytest.fixture(params=["0", "1"], ids=lambda count: f"io-threads={count}")
def listening(request: pytest.FixtureRequest, path: Path) -> Iterator[Server]:
    """A server in this process that listens on the socket alone, with each of the schedulers."""
    with Server(Settings(ports=(), unix_socket=str(path), io_threads=int(request.param))) as server:
        yield server


@pytest.fixture
def connect(path: Path) -> Iterator[Callable[[], UnixPeer]]:
    with ExitStack() as peers:

        def connect_once() -> UnixPeer:
            return peers.enter_context(closing(UnixPeer(path)))

        yield connect_once


def is_socket(path: Path) -> bool:
    return path.exists() and stat.S_ISSOCK(path.stat().st_mode)


# ---------------------------------------------------------------- requests


def test_each_protocol_of_the_tcp_port_is_served(listening: Server, connect: Callable[[], UnixPeer]) -> None:
    text, resp, frames = connect(), connect(), connect()
    assert text.ask(b"SET key value") == b"OK"
    resp.send(b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n")
    assert resp.receive(11) == b"$5\r\nvalue\r\n"
    frames.send(framed(b'{"command": "GET", "key": "key"}'))
    header = frames.receive(4)
    reply, rest = take_answer(header + frames.receive(int.from_bytes(header)))
    assert (reply["value"], rest) == ("value", b"")


def test_pipelined_requests_larger_than_the_buffers_of_the_socket_are_replied_to(
    listening: Server, connect: Callable[[], UnixPeer]
) -> None:
    peer = connect()
    peer.ask(b"SET key " + b"v" * 50_000)
    sending = threading.Thread(target=lambda: (peer.send(b"GET key\n" * 200), peer.finish_sending()))
    sending.start()
    assert peer.rest() == (b"v" * 50_000 + b"\n") * 200
    sending.join(TIMEOUT)


def test_the_last_reply_arrives_although_input_is_unread(listening: Server, connect: Callable[[], UnixPeer]) -> None:
    peer = connect()
    peer.send(b"QUIT\n" + b"PING\n" * 1000)
    assert peer.rest() == b"OK\n"


def test_client_list_and_monitor_show_the_path_as_redis_does(
    listening: Server, connect: Callable[[], UnixPeer], path: Path
) -> None:
    monitor, peer = connect(), connect()
    assert monitor.ask(b"MONITOR") == b"OK"
    fields = dict(field.split("=", 1) for field in peer.ask(b"CLIENT INFO").decode().split(" "))
    assert (fields["addr"], fields["laddr"], fields["flags"]) == (f"{path}:0", f"{path}:0", "U")
    assert f' [0 unix:{path}] "CLIENT" "INFO"\n' in monitor.line().decode()


def test_info_and_config_report_the_socket(listening: Server, connect: Callable[[], UnixPeer], path: Path) -> None:
    peer = connect()
    assert [peer.ask(b"CONFIG GET unixsocket*"), *(peer.line() for _ in range(3))] == [
        b"1) unixsocket",
        f"2) {path}\n".encode(),
        b"3) unixsocketperm\n",
        b"4) 0\n",
    ]
    peer.send(b"INFO server\nQUIT\n")
    assert f"\nlistener0:name=unix,bind={path}\n".encode() in peer.rest()


def test_a_client_without_the_password_is_refused(path: Path, connect: Callable[[], UnixPeer]) -> None:
    with Server(Settings(ports=(), unix_socket=str(path), password="secret")):
        peer = connect()
        assert peer.ask(b"GET key") == b"(error) NOAUTH Authentication required."
        assert peer.ask(b"AUTH secret") == b"OK"
        assert peer.ask(b"GET key") == b"(nil)"


def test_connections_count_toward_the_limit_of_clients(path: Path, connect: Callable[[], UnixPeer]) -> None:
    with Server(Settings(ports=(), unix_socket=str(path), max_clients=1)):
        assert connect().ask(b"PING") == b"PONG"
        assert connect().rest() == b"-ERR max number of clients reached\r\n"


# ---------------------------------------------------------------- the file


def test_the_file_exists_from_the_start_to_the_stop(path: Path) -> None:
    with Server(Settings(ports=(0,), unix_socket=str(path))) as server:
        assert is_socket(path)
        assert server.addresses == [f"127.0.0.1:{server.port}", str(path)]
    assert not path.exists()


def test_the_file_has_the_permissions_of_the_setting_and_otherwise_those_of_the_umask(path: Path) -> None:
    before = os.umask(0o027)
    try:
        for mode, expected in ((None, 0o750), (0, 0o750), (0o770, 0o770), (0o600, 0o600)):
            with Server(Settings(ports=(), unix_socket=str(path), unix_socket_mode=mode)):
                assert stat.S_IMODE(path.stat().st_mode) == expected
    finally:
        os.umask(before)


def test_the_file_of_a_killed_server_is_replaced(path: Path) -> None:
    killed = ServerProcess("--port", "0", "--unix-socket", str(path), ports=2)
    assert killed.addresses[1] == str(path)
    killed.signal(signal.SIGKILL)
    killed.exit_status()
    killed.close()
    assert is_socket(path)
    with Server(Settings(ports=(), unix_socket=str(path))), closing(UnixPeer(path)) as peer:
        assert peer.ask(b"PING") == b"PONG"


def test_the_socket_of_a_live_server_is_not_replaced(listening: Server, path: Path) -> None:
    with pytest.raises(StartError, match=f"can't listen on {path}: another process listens there"):
        Server(Settings(ports=(), unix_socket=str(path))).start()
    with closing(UnixPeer(path)) as peer:
        assert peer.ask(b"PING") == b"PONG"


def test_a_live_socket_whose_backlog_is_full_is_not_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as live, ExitStack() as waiting:
        live.bind(str(path))
        live.listen(0)
        for _ in range(4):  # more than the backlog of 0 holds
            peer = waiting.enter_context(socket.socket(socket.AF_UNIX))
            peer.setblocking(False)
            peer.connect_ex(str(path))
        with pytest.raises(StartError, match="another process listens there"):
            Server(Settings(ports=(), unix_socket=str(path))).start()
        assert is_socket(path)


def test_of_servers_that_start_at_once_beside_a_stale_file_one_listens(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    servers = [Server(Settings(ports=(), unix_socket=str(path))) for _ in range(4)]
    failed: list[StartError] = []
    ready = threading.Barrier(len(servers))

    def start(server: Server) -> None:
        ready.wait(TIMEOUT)
        try:
            server.start()
        except StartError as problem:
            failed.append(problem)

    threads = [threading.Thread(target=start, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    try:
        assert len(failed) == 3
        with closing(UnixPeer(path)) as peer:
            assert peer.ask(b"PING") == b"PONG"
    finally:
        for server in servers:
            server.stop()
    assert not path.exists()


def test_a_start_waits_for_another_one_in_the_same_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    monkeypatch.setattr(unix_listener, "LOCK_ATTEMPTS", 2)
    folder = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with pytest.raises(StartError, match="another process has locked the folder"):
        Server(Settings(ports=(), unix_socket=str(path))).start()
    assert is_socket(path), "it is not replaced without the lock"
    os.close(folder)
    with Server(Settings(ports=(), unix_socket=str(path))), closing(UnixPeer(path)) as peer:
        assert peer.ask(b"PING") == b"PONG"


def test_a_file_that_is_no_socket_is_neither_replaced_nor_removed(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(StartError, match="there is a file that is no socket"):
        Server(Settings(ports=(), unix_socket=str(path))).start()
    assert path.read_text() == "precious"


def test_the_stop_removes_no_file_that_another_server_has_made_in_its_place(path: Path) -> None:
    first = Server(Settings(ports=(), unix_socket=str(path)))
    first.start()
    path.unlink()
    with Server(Settings(ports=(), unix_socket=str(path))), closing(UnixPeer(path)) as peer:
        first.stop()
        assert peer.ask(b"PING") == b"PONG"
        assert is_socket(path)


def test_a_start_that_fails_leaves_no_file(path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StartError, match="can't listen on 127"):
            Server(Settings(ports=(), unix_socket=str(path), http_port=taken.getsockname()[1])).start()
    assert not path.exists()


def test_a_folder_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"can't listen on .*/missing/s: No such file or directory"):
        Server(Settings(ports=(), unix_socket=str(tmp_path / "missing" / "s"))).start()


def test_a_relative_path_of_one_character_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Server(Settings(ports=(), unix_socket="s")), closing(UnixPeer(Path("s"))) as peer:
        assert b" addr=s:0 " in peer.ask(b"CLIENT INFO")


# ---------------------------------------------------------------- clients


@pytest.mark.parametrize("url", [False, True])
def test_the_client_connects_by_path_and_by_url(listening: Server, path: Path, url: bool) -> None:
    for options in (["-u", f"unix://{path}"], ["-u", f"redis+unix://{path}"]) if url else (["-s", str(path)],):
        ended = run_client(*options, "PING")
        assert (ended.returncode, ended.stdout) == (0, b"PONG\n")


def test_redis_cli_connects(listening: Server, path: Path) -> None:
    redis_cli = find_redis_cli()
    if redis_cli is None:
        pytest.skip("redis-cli is not installed")
    ended = subprocess.run([redis_cli, "-s", path, "PING"], capture_output=True, timeout=TIMEOUT, check=True)
    assert ended.stdout == b"PONG\n"


def test_redis_py_connects_by_url(listening: Server, path: Path) -> None:
    redis = pytest.importorskip("redis")
    with redis.Redis.from_url(f"unix://{path}?db=0") as client:
        assert client.set("key", "value")
        assert client.get("key") == b"value"


def test_the_backend_of_a_proxy_can_be_the_socket_of_kvline(listening: Server, path: Path) -> None:
    pytest.importorskip("redis")
    with Server(Settings(ports=(0,), backend=f"unix://{path}")) as proxy, closing(Peer(proxy.port)) as peer:
        assert peer.ask(b"SET key value") == b"OK"
        assert peer.ask(b"GET key") == b"value"
