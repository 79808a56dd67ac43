"""Start servers and clients as forks of a process that has imported their modules, with a tenth of the CPU time.

A fork is a process with an environment, a working directory and standard streams of its own. Unlike one that
``run_server.sh`` starts, it does not import the modules again. The idea is that of `multiprocessing.forkserver`, whose
processes cannot be given standard streams.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

PROGRAMS = {"client": "client.main", "server": "server.__main__"}
"""The modules whose function ``main`` is the program."""

PRELOADED = (
    *PROGRAMS.values(),
    "client.batch.run",
    "client.editors.prompt_toolkit_editor",
    "client.local",
    "client.render.pretty",
    "client.shell.documentation",
    "client.shell.screen",
    "client.single_command",
    "server.engines.log.engine",
    "server.engines.redis.factory",
    "server.http.listener",
    "server.net.tls_listener",
)
"""What a fork need not import. Modules whose packages are not installed are left out.

Without ``readline``, which reads ``TERM`` when it is imported.
"""

MAX_REQUEST_BYTES = 1024 * 1024


class Fork:
    """A forked process, with those methods of `subprocess.Popen` that tests use."""

    def __init__(self, pid: int, args: Sequence[str], status: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._args = args
        self._status = status

    def poll(self) -> int | None:
        """Return the exit status, or None while the process runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status, negative for a signal. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            self._status.settimeout(timeout)
            try:
                self.returncode = int(self._status.recv(32))
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired(self._args, timeout or 0) from None
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The process that has imported the modules, and starts the programs for this process of the test run."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._socket, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()  # tests start servers from several threads
        with remote:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(remote.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # so that the programs buffer their output as in a pipe
                env=environment,
                pass_fds=[remote.fileno()],
            )

    def start(
        self,
        program: str,
        args: Sequence[str],
        environment: Mapping[str, str],
        cwd: Path,
        streams: Sequence[int],
        *,
        at_terminal: bool = False,
    ) -> Fork:
        """Start the program ``server`` or ``client``.

        ``streams`` are the file descriptors of its stdin, stdout and stderr. ``at_terminal``: stdin becomes its
        controlling terminal, as by ``setsid --ctty``.
        """
        request = {"program": program, "args": args, "environment": environment, "cwd": str(cwd)}
        request["at_terminal"] = at_terminal
        status, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with remote, self._lock:
            socket.send_fds(self._socket, [json.dumps(request).encode()], [*streams, remote.fileno()])
            return Fork(int(self._socket.recv(32)), args, status)

    def close(self) -> None:
        """End the process. What it has started keeps running."""
        self._socket.close()
        self._process.wait()


# ---------------------------------------------------------------- in the process that forks


class _Forking:
    """The main loop of the process that forks."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._woken, self._wake = socket.socketpair()  # a signal sends a byte
        self._running: dict[int, socket.socket] = {}

    def run(self) -> int:
        """Fork a process for each request until the tests end. Return the exit status."""
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the tests, and that ends this
        while True:
            readable, _, _ = select.select([self._requests, self._woken], [], [])
            if self._woken in readable:
                self._woken.recv(4096)
                self._report_ended()
            if self._requests in readable:
                data, files, _, _ = socket.recv_fds(self._requests, MAX_REQUEST_BYTES, 4)
                if not data:
                    return 0
                *streams, status = files
                pid = os.fork()
                if pid == 0:
                    os.close(status)
                    self._release()
                    _end(_become(streams, **json.loads(data)))
                self._running[pid] = socket.socket(fileno=status)
                for stream in streams:
                    os.close(stream)
                self._requests.send(str(pid).encode())

    def _report_ended(self) -> None:
        """Send the exit status of each process that has ended."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                with self._running.pop(ended[0]) as status, suppress(BrokenPipeError):
                    status.send(str(os.waitstatus_to_exitcode(ended[1])).encode())

    def _release(self) -> None:
        """Close what a fork has of this process, and handle signals as a new process does."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for each in (self._requests, self._woken, self._wake, *self._running.values()):
            each.close()


def _become(
    streams: Sequence[int],
    program: str,
    args: Sequence[str],
    environment: Mapping[str, str],
    cwd: str,
    *,
    at_terminal: bool,
) -> int:
    """Run a program in this process. Return its exit status. Raises what the program raises."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if at_terminal:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115  # as Python does at a terminal
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [program, *args]
    try:
        status: int = importlib.import_module(PROGRAMS[program]).main()
    except SystemExit as exit_:
        if not isinstance(exit_.code, int):
            raise
        return exit_.code
    return status


def _end(status: int) -> NoReturn:
    """End a fork as the interpreter ends, but free nothing: that would copy what the fork shares, which takes long."""
    threading._shutdown()  # waits for the threads that are no daemons, as `multiprocessing` does in a fork
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except OSError:
        sys.exit(status)  # the interpreter reports it, and has a status for that
    os._exit(status)


if __name__ == "__main__":
    for module in PRELOADED:
        with suppress(ModuleNotFoundError):
            importlib.import_module(module)
    gc.freeze()  # a fork need not examine, and so copy, the objects that it shares with this process
    sys.exit(_Forking(socket.socket(fileno=int(sys.argv[1]))).run())
