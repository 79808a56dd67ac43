"""Connections: the interface, and the socket to a server. `client.local` has the one without a server."""

from __future__ import annotations

import select
import socket
import sys
from abc import ABC, abstractmethod
from collections import deque

TYPE_CHECKING = False  # not from `typing`, as in `common.replies`
if TYPE_CHECKING:
    from client.settings import ConnectionSettings

RECEIVE_SIZE = 256 * 1024

HIGH_WATER = 1024 * 1024
"""Bytes of unsent requests at which no more input is read, until the server has taken some of them."""

CONNECT_TIMEOUT = 10.0
"""Seconds to wait until a server accepts the connection."""


class ConnectionLost(Exception):
    """Raised if the connection is closed or fails. The text is shown to the user."""


class Pipeline(ABC):
    """What `Connection.stream` sends, and what happens to the replies."""

    input_ended: bool
    """Whether there are no more requests."""

    @abstractmethod
    def fileno(self) -> int:
        """Return the descriptor of the input, which `select` can wait for."""
        ...

    @abstractmethod
    def read_requests(self) -> bytes:
        """Read the next piece of input, and return the requests that it completes. Blocks if there is no input yet."""
        ...

    @abstractmethod
    def consume(self, data: bytes) -> None:
        """Take what the server has sent."""
        ...

    @abstractmethod
    def is_complete(self) -> bool:
        """Return whether all replies to what was sent have arrived."""
        ...


class Connection(ABC):
    """Carries bytes to a server and back."""

    name: str
    """What the prompt shows: the server's address, or ``local``."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send all of it. Raises `ConnectionLost`."""
        ...

    @abstractmethod
    def receive(self) -> bytes:
        """Return the next bytes, at least one. Waits for them. Raises `ConnectionLost`."""
        ...

    @abstractmethod
    def is_closed(self) -> bool:
        """Return whether the other end has closed the connection, without waiting."""
        ...

    @abstractmethod
    def stream(self, pipeline: Pipeline) -> None:
        """Send the requests of a pipeline while its replies arrive, until it is complete. Raises `ConnectionLost`."""
        ...

    @abstractmethod
    def set_timeout(self, seconds: float | None) -> None:
        """Let later operations fail after so many seconds. None: a command may take as long as it needs."""
        ...

    @abstractmethod
    def another(self) -> Connection:
        """Return a new connection to the same server. Raises `OSError` or UnicodeError if it cannot connect."""
        ...

    @abstractmethod
    def close(self) -> None: ...


def open_socket(settings: ConnectionSettings) -> socket.socket:
    """Connect a socket. Raises `OSError`, and UnicodeError for a host name that IDNA cannot encode."""
    if settings.socket_path:
        if sys.platform == "win32":
            raise OSError("Python has no Unix sockets on Windows")
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.settimeout(CONNECT_TIMEOUT)
            connected.connect(settings.socket_path)
        except BaseException:
            connected.close()
            raise
    else:
        # As bytes, because to encode a text by IDNA takes 2 ms for the import.
        host: str | bytes = settings.host.encode() if settings.host.isascii() else settings.host
        connected = socket.create_connection((host, settings.port), CONNECT_TIMEOUT)  # type: ignore[arg-type]
        # A request is sent at once, even if the previous one is not acknowledged yet (Nagle's algorithm, RFC 896).
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if settings.tls:
            from client.tls import start_tls  # noqa: PLC0415  # imports ssl, which takes long

            connected = start_tls(connected, settings.host, settings.tls_settings)
    return connected


class SocketConnection(Connection):
    """A connection over a socket. Raises `OSError` or UnicodeError if it cannot connect."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._timeout: float | None = CONNECT_TIMEOUT
        self._socket = open_socket(settings)
        self._early = b""  # received by `is_closed`

    def send(self, data: bytes) -> None:
        """See `Connection`."""
        try:
            self._socket.sendall(data)
        except OSError as problem:
            raise self._failed(problem) from None

    def receive(self) -> bytes:
        """See `Connection`."""
        if self._early:
            data, self._early = self._early, b""
            return data
        try:
            data = self._socket.recv(RECEIVE_SIZE)
        except BlockingIOError:  # in `stream` alone
            raise
        except TimeoutError:
            raise ConnectionLost(f"the server at {self.name} does not reply") from None
        except OSError as problem:
            raise self._failed(problem) from None
        if not data:
            raise ConnectionLost(f"the server at {self.name} closed the connection")
        return data

    def is_closed(self) -> bool:
        """See `Connection`."""
        self._socket.setblocking(False)
        try:
            # Received and not peeked at, because a push may precede the end. One read is enough: data means "open".
            data = self._socket.recv(RECEIVE_SIZE)
            self._early += data
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self._socket.settimeout(self._timeout)
        return not data

    def stream(self, pipeline: Pipeline) -> None:
        """Send and receive at the same time. See `Connection`.

        If all requests were sent before the first reply is read, client and server could both wait for the other to
        read, with full socket buffers.
        """
        outgoing = _Outgoing()
        server, standard_input = self._socket.fileno(), pipeline.fileno()
        self._socket.setblocking(False)
        try:
            while outgoing.size or not pipeline.input_ended or not pipeline.is_complete():
                # The server is always among them: it may close the connection, or send an error, without a request.
                waits = pipeline.input_ended or outgoing.size >= HIGH_WATER
                sources = [server] if waits else [server, standard_input]
                readable, writable, _ = select.select(sources, [server] if outgoing.size else [], [])
                if server in readable:
                    try:  # noqa: SIM105  # contextlib takes a millisecond to import
                        pipeline.consume(self.receive())
                    except BlockingIOError:  # a record of TLS is not complete
                        pass
                # After the replies: if the server has closed the connection, the reason that it sent is shown first.
                if writable:
                    self._send_some(outgoing)
                if standard_input in readable:
                    outgoing.add(pipeline.read_requests())
        finally:
            self._socket.settimeout(self._timeout)

    def set_timeout(self, seconds: float | None) -> None:
        """See `Connection`."""
        self._timeout = seconds
        self._socket.settimeout(seconds)

    def another(self) -> SocketConnection:
        """See `Connection`."""
        return SocketConnection(self._settings)

    def close(self) -> None:
        """Close the connection. The server reads the end of the stream."""
        try:  # noqa: SIM105  # as above
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:  # the server has closed it already
            pass
        self._socket.close()

    def _send_some(self, outgoing: _Outgoing) -> None:
        """Send as much as the socket accepts."""
        try:
            while outgoing.size:
                outgoing.remove(self._socket.send(outgoing.first()))
        except BlockingIOError:
            pass
        except OSError as problem:
            raise self._failed(problem) from None

    def _failed(self, problem: OSError) -> ConnectionLost:
        reason = problem.strerror or str(problem)
        if self._settings.tls:
            from common.tls_socket import describe  # noqa: PLC0415  # imported already

            reason = describe(problem)
        return ConnectionLost(f"the connection to the server at {self.name} failed: {reason}")


class _Outgoing:
    """Bytes to send. A queue of pieces, because removing the beginning of one buffer would move the rest each time."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: deque[memoryview] = deque()

    def add(self, data: bytes) -> None:
        if data:
            self._pieces.append(memoryview(data))
            self.size += len(data)

    def first(self) -> memoryview:
        return self._pieces[0]

    def remove(self, count: int) -> None:
        """Remove bytes from the beginning of the first piece."""
        self.size -= count
        if count == len(self._pieces[0]):
            self._pieces.popleft()
        else:
            self._pieces[0] = self._pieces[0][count:]
