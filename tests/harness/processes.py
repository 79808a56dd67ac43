"""Start the server and the client as real processes, and talk to the server over real sockets."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from common.passwords import PASSWORD_VARIABLE
from tests.harness.fork_server import Fork, ForkServer
from tests.harness.waiting import TIMEOUT, wait_until

ROOT = Path(__file__).resolve().parents[2]
RUN_SERVER = ROOT / "run_server.sh"
RUN_CLIENT = ROOT / "run_client.sh"
MEASURES_COVERAGE = "COVERAGE_PROCESS_CONFIG" in os.environ
READ_AT_START = {"LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "1"}
"""Variables of the fork server that the C library and the interpreter read once, so that all forks have them."""


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which the start scripts find the Python that runs the tests.

    Compiled modules are stored, so that a server starts in half the time.
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONDONTWRITEBYTECODE": ""} | more


def send_signal(process: subprocess.Popen[bytes] | Fork, number: signal.Signals) -> None:
    """Send a signal. Return from SIGSTOP when every thread has stopped: until then the process may still reply."""
    process.send_signal(number)
    if number is signal.SIGSTOP:
        wait_until(lambda: set(_thread_states(process.pid)) == {"T"}, "the process has stopped")


def _thread_states(pid: int) -> Iterator[str]:
    """Return the state of each thread, as `ps` shows it. See proc(5)."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
            yield stat.read_text().rpartition(")")[2].split()[0]


class Peer:
    """One connection to a server: bytes out, bytes in."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._replies = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def receive(self, size: int) -> bytes:
        """Receive so many bytes; fewer only when the server closed the connection."""
        return self._replies.read(size)

    def line(self) -> bytes:
        """Receive one line, with its line break."""
        return self._replies.readline()

    def rest(self) -> bytes:
        """Receive everything until the server closes the connection in an orderly way."""
        return self._replies.read()

    def ask(self, command: bytes) -> bytes:
        """Send a command as a line of text; return its reply of one line, without the line break."""
        self.send(command + b"\n")
        return self.line().removesuffix(b"\n")

    def finish_sending(self) -> None:
        """Shut down the sending direction, so that the server reads the end of input."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close in an orderly way."""
        self._replies.close()
        self.socket.close()

    def reset(self) -> None:
        """Close with a reset, as a process that crashed does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


@functools.cache
def fork_server() -> ForkServer:
    """Return the fork server of this process of the test run. It ends with the test run."""
    return ForkServer(_script_environment(RUN_SERVER) | READ_AT_START)


def _script_environment(script: Path, **more: str) -> dict[str, str]:
    """Return the environment in which a start script runs its program."""
    return environment(**more) | {"PYTHONPATH": str(ROOT), "KVLINE_PROGRAM": script.name}


def can_be_forked(variables: Mapping[str, str]) -> bool:
    """Return whether a fork can have these variables: not if the interpreter reads them when it starts."""
    others = (name for name, value in variables.items() if READ_AT_START.get(name) != value)
    return not MEASURES_COVERAGE and not any(name.startswith(("LC_", "PATH", "PYTHON")) for name in others)


def fork(
    script: Path,
    options: Sequence[str],
    streams: Sequence[int],
    variables: Mapping[str, str],
    cwd: Path | None = None,
    *,
    at_terminal: bool = False,
) -> Fork:
    """Run a start script's program as a fork. ``streams`` are its stdin, stdout and stderr."""
    program = script.stem.removeprefix("run_")
    environ = _script_environment(script, **variables)
    return fork_server().start(program, options, environ, cwd or Path.cwd(), streams, at_terminal=at_terminal)


def _start(
    options: Sequence[str], program: Path | None, cwd: Path | None, shell: str, stderr: int, variables: dict[str, str]
) -> subprocess.Popen[bytes] | Fork:
    """Start a server: as a fork, unless something is asked for that only a new program has."""
    if not program and not shell and can_be_forked(variables):
        with open(os.devnull, "rb") as stdin:
            return fork(RUN_SERVER, options, [stdin.fileno(), 1, stderr], variables, cwd)
    return subprocess.Popen(
        ["bash", "-c", f'{shell}\nexec "$0" "$@"', program or RUN_SERVER, *options],
        stdin=subprocess.DEVNULL,
        stderr=stderr,
        cwd=cwd,
        env=environment(**variables),
    )


class ServerProcess:
    """A running server.

    ``program`` starts it instead of ``run_server.sh``. ``shell`` is run by the shell that becomes the server, to set
    limits and traps. Without either the server is a fork of a process that has imported the modules (`fork_server`).
    """

    def __init__(
        self,
        *options: str,
        program: Path | None = None,
        cwd: Path | None = None,
        shell: str = "",
        ports: int = 1,
        **variables: str,
    ) -> None:
        stderr, remote = os.pipe()
        try:
            self.process = _start(options or ("--port", "0"), program, cwd, shell, remote, variables)
        except BaseException:
            os.close(stderr)
            raise
        finally:
            os.close(remote)
        self._password = variables.get(PASSWORD_VARIABLE, "")
        self._peers = ExitStack()
        self._log = bytearray()
        self._log_reader = threading.Thread(target=self._collect, args=(stderr,))
        self._log_reader.start()
        try:
            wait_until(lambda: len(self.addresses) == ports or self.exited, "the server listens")
            assert len(self.addresses) == ports, f"the server did not start: {self.log}"
        except BaseException:
            self.close()
            raise

    def _collect(self, stderr: int) -> None:
        with open(stderr, "rb", buffering=0) as file:
            while data := file.read(65536):
                self._log += data

    @property
    def log(self) -> str:
        """What the server has written on stderr so far."""
        return self._log.decode()

    @property
    def addresses(self) -> list[str]:
        """The addresses that it says it listens on."""
        return re.findall(r"^listening on (\S+)$", self.log, re.MULTILINE)

    @property
    def port(self) -> int:
        """The first port that it listens on."""
        return int(self.addresses[0].rpartition(":")[2])

    @property
    def http_url(self) -> str:
        """The address of its HTTP listener, if it was started with ``--http-port``."""
        return next(address for address in self.addresses if address.startswith("http://"))

    @property
    def exited(self) -> bool:
        return self.process.poll() is not None

    def connect(self, port: int | None = None, *, authenticated: bool = True) -> Peer:
        """Open a connection, to the first port if none is given; it is closed with the server at the latest.

        It has sent the password if the server has one, unless it is not to be authenticated.
        """
        peer = Peer(self.port if port is None else port)
        self._peers.callback(peer.close)
        if authenticated:
            self._authenticate(peer)
        return peer

    def _authenticate(self, peer: Peer) -> None:
        if self._password:
            assert peer.ask(f"AUTH {self._password}".encode()) == b"OK"

    def resident_bytes(self) -> int:
        """Return how much memory the process has."""
        return self._status("VmRSS") * 1024

    def clients(self) -> int:
        """Return how many connections CLIENT LIST shows, without those that called this."""
        with contextlib.closing(Peer(self.port)) as peer:
            self._authenticate(peer)
            assert peer.ask(b"CLIENT SETNAME counting") == b"OK"  # the server may still list an earlier one
            peer.send(b"*2\r\n$6\r\nCLIENT\r\n$4\r\nLIST\r\n")
            lines = peer.receive(int(peer.line()[1:]) + 2).strip().splitlines()
            return sum(b" name=counting " not in line for line in lines)

    def threads(self) -> int:
        """Return how many threads the process has."""
        return self._status("Threads")

    def _status(self, field: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(rf"^{field}:\s*(\d+)", status, re.MULTILINE)[0])

    def cpu_seconds(self) -> float:
        """Return how much CPU time the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def signal(self, number: signal.Signals) -> None:
        send_signal(self.process, number)

    def exit_status(self) -> int:
        """Wait until the process has ended."""
        status = self.process.wait(TIMEOUT)
        self._log_reader.join(TIMEOUT)
        return status

    def close_peers(self) -> None:
        self._peers.close()

    def check(self) -> None:
        """Fail unless the server still runs, replies, and has logged no bug."""
        assert not self.exited, f"the server has ended: {self.log}"
        assert "Traceback" not in self.log, self.log
        assert self.connect().ask(b"PING") == b"PONG"

    def close(self) -> None:
        """End the process, whatever state it is in."""
        self.close_peers()
        if MEASURES_COVERAGE and not self.exited:
            self.process.terminate()  # a killed process does not write down what it has covered
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        if not self.exited:
            self.process.kill()
        self.exit_status()


StartServer = Callable[..., ServerProcess]


@pytest.fixture
def start_server(scheduler: dict[str, str]) -> Iterator[StartServer]:
    """Start servers of the test's own; in the end none may have logged a bug."""
    started: list[ServerProcess] = []

    def start(*options: str, **keywords: object) -> ServerProcess:
        server = ServerProcess(*options, **scheduler, **keywords)  # type: ignore[arg-type]
        started.append(server)
        return server

    yield start
    for server in started:
        server.close()
    for server in started:
        assert "Traceback" not in server.log, server.log


@pytest.fixture(scope="session")
def shared_server(scheduler: dict[str, str]) -> Iterator[ServerProcess]:
    """One server for all tests that leave it running."""
    server = ServerProcess(**scheduler)
    yield server
    server.close()


@pytest.fixture
def server(shared_server: ServerProcess) -> Iterator[ServerProcess]:
    """The shared server, empty and without other clients. It must be healthy after the test."""
    assert shared_server.connect().ask(b"FLUSHALL") == b"OK"
    yield shared_server
    shared_server.check()
    shared_server.close_peers()
    wait_until(lambda: shared_server.clients() == 0, "every connection is closed")


def _run_fork(
    script: Path, args: Sequence[str], lines: bytes, cwd: Path | None, variables: dict[str, str]
) -> subprocess.CompletedProcess[bytes]:
    """Run a start script's program as a fork to its end."""
    stdin, ours = os.pipe()
    with TemporaryFile() as stdout, TemporaryFile() as stderr:
        try:
            process = fork(script, args, [stdin, stdout.fileno(), stderr.fileno()], variables, cwd)
        finally:
            os.close(stdin)
            writer = threading.Thread(target=_write, args=(ours, lines))
            writer.start()
        try:
            status = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            writer.join()
        for file in (stdout, stderr):
            file.seek(0)
        return subprocess.CompletedProcess([script, *args], status, stdout.read(), stderr.read())


def _write(pipe: int, data: bytes) -> None:
    """Write data to a pipe and close it, also if nothing reads it."""
    with contextlib.suppress(BrokenPipeError), open(pipe, "wb") as file:
        file.write(data)


def run_server(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the server with these options to its end, for a server that does not start."""
    if can_be_forked(variables):
        ended = _run_fork(RUN_SERVER, options, b"", None, variables)
    else:
        ended = subprocess.run(
            [RUN_SERVER, *options], capture_output=True, env=environment(**variables), timeout=TIMEOUT, check=False
        )
    return subprocess.CompletedProcess(ended.args, ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def run_client(
    *args: str | bytes, lines: bytes = b"", program: Path | None = None, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the client with these arguments on its command line and these lines on its stdin, to its end.

    ``program`` starts it instead of ``run_client.sh``. Without it the client is a fork, as far as possible.
    """
    if not program and can_be_forked(variables):
        return _run_fork(RUN_CLIENT, [os.fsdecode(each) for each in args], lines, cwd, variables)
    command = [program or RUN_CLIENT, *args]
    environ = environment(**variables)
    return subprocess.run(command, input=lines, capture_output=True, cwd=cwd, env=environ, timeout=TIMEOUT, check=False)
