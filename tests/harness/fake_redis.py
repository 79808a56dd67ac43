"""A fake Redis that replies from a script, for failures that a real Redis does not produce on demand.

    fake = FakeRedis({b"GET": [b"$1\\r\\n", CLOSE]})           half a reply, then the end of the connection
    fake = FakeRedis({b"GET": SILENT})                        no reply at all
    fake = FakeRedis({b"GET": lambda request: ...})           a reply that depends on the request

A script maps the name of a command to a step or a list of steps. A step is bytes to send, `SILENT`, `CLOSE`, or a
function that gets the `FakeRequest` and returns a step or a list of steps. The commands of a login have replies without
a script.
"""

from __future__ import annotations

import fcntl
import socket
import termios
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from typing import IO, NamedTuple, TypeAlias

from tests.harness.waiting import wait_until

HOST = "127.0.0.1"

OK = b"+OK\r\n"

TCP_CLOSE = 7
"""The state of a socket without a connection, in ``TCP_INFO`` of tcp(7)."""


class _Step(Enum):
    SILENT = "send nothing"
    CLOSE = "close the connection"


SILENT = _Step.SILENT
CLOSE = _Step.CLOSE


class FakeRequest(NamedTuple):
    """A request, and the connection that it arrived on."""

    args: list[bytes]
    connection: FakeConnection


Step: TypeAlias = "bytes | _Step | Callable[[FakeRequest], Step | Sequence[Step]]"
Script: TypeAlias = Mapping[bytes, "Step | Sequence[Step]"]

LOGIN: Script = {
    b"AUTH": OK,
    b"CLIENT": OK,
    b"HELLO": b"-ERR unknown command 'HELLO'\r\n",
    b"PING": b"+PONG\r\n",
    b"SELECT": OK,
}


def bulk(value: bytes) -> bytes:
    """Encode a bulk string."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def array(*items: bytes) -> bytes:
    """Encode an array of encoded items."""
    return b"*%d\r\n%b" % (len(items), b"".join(items))


class FakeRedis:
    """A server on a free port of the loopback interface. Close it at the end of the test."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = dict(script or {})
        self.requests: list[list[bytes]] = []
        """All requests, in the order in which they arrived."""

        self.closed_connections = 0

        self._connections: list[FakeConnection] = []
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name=f"fake Redis {self.port}", daemon=True).start()

    @property
    def url(self) -> str:
        """The URL for ``--backend``."""
        return f"redis://{HOST}:{self.port}"

    @property
    def connections(self) -> int:
        """The number of connections that were ever accepted."""
        return len(self._connections)

    def count(self, name: bytes) -> int:
        """Return the number of requests with this command name."""
        return sum(request[0].upper() == name for request in self.requests)

    def close(self) -> None:
        """Close the listener and all connections. Later connections are refused."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                connection = FakeConnection(self, accepted)
                self._connections.append(connection)
                threading.Thread(target=connection.run, name="fake Redis connection", daemon=True).start()


class FakeConnection:
    """One connection to a fake Redis."""

    def __init__(self, server: FakeRedis, accepted: socket.socket) -> None:
        self._server = server
        self._socket = accepted

    def send(self, data: bytes) -> None:
        """Send bytes, also without a request. They have arrived when this returns."""
        self._socket.sendall(data)
        self._wait_until_received()

    def close(self) -> None:
        """Close the connection. The other end can see that when this returns."""
        with suppress(OSError, ValueError):  # if the other end reacts first, `run` has closed the socket already
            self._socket.shutdown(socket.SHUT_WR)
            self._wait_until_received()
            self._socket.shutdown(socket.SHUT_RD)
        self._socket.close()

    def _wait_until_received(self) -> None:
        """Wait until the kernel of the other end has acknowledged everything: even loopback is asynchronous.

        The other end may have reset the connection instead. Then the bytes stay unacknowledged.
        """
        unacknowledged = bytearray(4)

        def received() -> bool:
            fcntl.ioctl(self._socket, termios.TIOCOUTQ, unacknowledged)
            state = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            return state == TCP_CLOSE or not any(unacknowledged)

        wait_until(received, "the other end has received everything")

    def run(self) -> None:
        """Reply to requests until the connection ends."""
        with suppress(OSError, ValueError), self._socket.makefile("rb") as stream:
            while (args := _read_request(stream)) is not None:
                self._server.requests.append(args)
                name = args[0].upper()
                script = self._server.script
                steps = script[name] if name in script else LOGIN.get(name, b"-ERR unknown command\r\n")
                self._perform(steps, FakeRequest(args, self))
        self._socket.close()
        self._server.closed_connections += 1

    def _perform(self, steps: Step | Sequence[Step], request: FakeRequest) -> None:
        if callable(steps):
            self._perform(steps(request), request)
        elif isinstance(steps, bytes):
            self.send(steps)
        elif steps is CLOSE:
            self.close()
        elif isinstance(steps, Sequence):
            for step in steps:
                self._perform(step, request)


def _read_request(stream: IO[bytes]) -> list[bytes] | None:
    """Read one request. Returns None at the end of the stream."""
    header = stream.readline()
    if not header:
        return None
    args: list[bytes] = []
    for _ in range(int(header[1:])):
        length = int(stream.readline()[1:])
        args.append(stream.read(length))
        stream.readline()
    return args
