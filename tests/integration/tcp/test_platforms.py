"""The server on a platform without the parts of Unix that it can do without."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.harness.processes import ROOT, Peer
from tests.harness.waiting import TIMEOUT, wait_until

BARE_PLATFORM = """
import functools, os, select, signal, socket, sys

# The standard library has a function of its own for Windows, which this Python does not define.
socket.socketpair = functools.partial(socket.socketpair, socket.AF_UNIX)

HIDDEN = {"fcntl", "grp", "pty", "pwd", "readline", "resource", "termios", "tty"}

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name in HIDDEN:
            raise ImportError(f"{name} is hidden")

sys.meta_path.insert(0, Hide())
for name in HIDDEN:
    sys.modules.pop(name, None)
for module, names in {
    os: ("sched_getaffinity", "sched_setaffinity", "sched_yield", "sysconf"),
    select: ("epoll", "poll"),
    signal: ("pthread_sigmask", "sigwait", "SIG_BLOCK", "SIGUSR1"),
    socket: ("MSG_DONTWAIT", "SO_REUSEPORT", "AF_UNIX"),
}.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
"""


class BareServer:
    """A server in a process in which these parts are hidden."""

    def __init__(self, *options: str) -> None:
        program = f"{BARE_PLATFORM}\nfrom server.__main__ import main\nsys.exit(main(sys.argv[1:]))"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *options], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        started = wait_until(
            lambda: re.search(r"listening on .*:(\d+)", self.log) or self.process.poll() is not None, "it listens"
        )
        assert isinstance(started, re.Match), self.log
        self.port = int(started[1])

    @property
    def log(self) -> str:
        return "".join(self._lines)

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr:
            self._lines.extend(self.process.stderr)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)


@pytest.fixture
def server() -> Iterator[BareServer]:
    started = BareServer("--port", "0", "--max-clients", "1")
    yield started
    started.close()
    assert "Traceback" not in started.log


def test_it_has_a_conversation(server: BareServer) -> None:
    peer = Peer(server.port)
    assert peer.ask(b"SET key value") == b"OK"
    assert peer.ask(b"GET key") == b"value"
    peer.send(b"*2\r\n$4\r\nINFO\r\n$6\r\nmemory\r\n")
    info = peer.receive(int(peer.line().removeprefix(b"$")) + 2)
    assert re.search(rb"used_memory:\d+\r\n", info)
    refused = Peer(server.port)
    assert refused.line() == b"-ERR max number of clients reached\r\n"
    refused.close()
    assert peer.ask(b"QUIT") == b"OK"
    peer.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_stops_it_with_status_0(server: BareServer, number: signal.Signals) -> None:
    peer = Peer(server.port)
    assert peer.ask(b"PING") == b"PONG"
    server.process.send_signal(number)
    assert server.process.wait(TIMEOUT) == 0
    assert peer.rest() == b""
    peer.close()


def test_shutdown_stops_it_with_status_0(server: BareServer) -> None:
    peer = Peer(server.port)
    peer.send(b"SHUTDOWN\n")
    assert peer.rest() == b""
    assert server.process.wait(TIMEOUT) == 0
    peer.close()


def test_the_client_sends_a_command(server: BareServer) -> None:
    program = f"{BARE_PLATFORM}\nfrom client.main import main\nsys.exit(main(sys.argv[1:]))"
    ended = subprocess.run(
        [sys.executable, "-c", program, "--port", str(server.port), "ECHO", "hello"],
        cwd=ROOT,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"hello\n", b"")


WINDOWS_SELECT = """
import stat

socket.AF_UNIX = 1  # for socketpair, which needs no such family on Windows
posix_select = select.select

def windows_select(*lists):
    for each in (each for group in lists[:3] for each in group):
        if not stat.S_ISSOCK(os.fstat(each if isinstance(each, int) else each.fileno()).st_mode):
            raise OSError(10038, "An operation was attempted on something that is not a socket")
    return posix_select(*lists)

select.select = windows_select
sys.platform = "win32"
"""


@pytest.mark.parametrize("lines", [b"", b"SET key 1\nGET key\n", b"SET key 1\nGET key", b"GET none\n" * 50_000])
def test_the_client_sends_lines_where_select_accepts_sockets_only(server: BareServer, lines: bytes) -> None:
    program = f"{BARE_PLATFORM}\nfrom client.main import main\n{WINDOWS_SELECT}\nsys.exit(main(sys.argv[1:]))"
    ended = subprocess.run(
        [sys.executable, "-c", program, "--port", str(server.port)],
        cwd=ROOT,
        input=lines,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    replies = b"OK\n1\n" if lines.startswith(b"SET") else b"(nil)\n" * lines.count(b"\n")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, replies, b"")


def test_what_is_hidden_is_hidden() -> None:
    program = f"{BARE_PLATFORM}\nimport resource"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=TIMEOUT, check=False)
    assert b"resource is hidden" in ended.stderr
