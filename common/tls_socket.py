"""TLS over a TCP socket, in the form of a socket, so that the code above it is the same with and without TLS.

    recv: socket -> incoming -> SSLObject -> data
    send: data -> SSLObject -> outgoing -> socket

`ssl.SSLSocket` measured about as fast with short requests, and slower with large replies. It was not chosen because it
differs from a socket in what a poller depends on. It may contain decrypted data while the socket is not readable, a
receive may have to wait until the socket is writable, and a send until it is readable. Here each receive decrypts all
that it has brought, and the memory BIOs take what a receive has to send.
"""

from __future__ import annotations

import contextlib
import socket
import ssl

MAX_RECORD_SIZE = 16 * 1024
"""Bytes of data in a record of TLS (RFC 8446, 5.1), so a read of this size leaves nothing of a record."""

HANDSHAKE_RECORD = b"\x16"
"""The first byte of every TLS connection (RFC 8446, 5.1)."""

TRUNCATED = "the TLS connection ended without close_notify"

# Unbound, because a bound method in an attribute would be a reference cycle.
_receive, _send = socket.socket.recv, socket.socket.send


class TLSSocket(socket.socket):
    """A TCP socket whose data is encrypted. Takes the place of ``sock``, which must not be used after that.

    Call `handshake` before anything is received or sent. One thread at a time may receive, send, and shut down the
    sending direction. Any thread may call ``shutdown`` with ``SHUT_RD`` or ``SHUT_RDWR``. All methods raise `OSError`,
    of which `ssl.SSLError` is a subclass.
    """

    __slots__ = ("_accepted", "_has_ended", "_incoming", "_outgoing", "_tls", "_unsent")

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        timeout = sock.gettimeout()
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.settimeout(timeout)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        self._unsent: bytes | memoryview = b""  # encrypted
        self._accepted = 0  # the size of the data that was encrypted, and whose `send` has not returned
        self._has_ended = False  # the peer has sent close_notify

    @property
    def has_unsent(self) -> bool:
        """Whether the last call has failed because the peer did not take all encrypted bytes."""
        return bool(self._unsent)

    def handshake(self) -> None:
        """Perform the handshake, or continue it.

        On a socket that does not block it raises BlockingIOError if it has to wait, for the peer to take more if
        `has_unsent`, otherwise for input. Then call it again.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._receive_records(MAX_RECORD_SIZE)
            except ssl.SSLError:
                self._send_alert()
                raise
            else:
                self._flush()
                return

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Receive up to ``size`` encrypted bytes and return their data, which is less. Empty after close_notify.

        A socket that does not block raises BlockingIOError, too, if a record is not complete. So does one that blocks
        with MSG_DONTWAIT, the only flag that may be given. Raises ConnectionAbortedError if the connection ends without
        close_notify, because an attacker can end it so.
        """
        if self._incoming.pending and (data := self._decrypt()):  # it has arrived with the end of the handshake
            return data
        while not self._has_ended:
            self._receive_records(size, flags)
            if data := self._decrypt():
                return data
            if not self._has_ended and (flags or not self.getblocking()):
                raise BlockingIOError
        return b""

    def send(self, data: bytes | memoryview, flags: int = 0, /) -> int:  # type: ignore[override]  # bytes only
        """Encrypt all data, and send it. Return its size.

        A socket that does not block raises BlockingIOError if the peer does not take all of it at once. Then the same
        data must be passed again, as to OpenSSL's ``SSL_write``.
        """
        if not self._accepted:
            self._accepted = self._encrypt(data)
        self._flush()
        accepted, self._accepted = self._accepted, 0
        return accepted

    def sendall(self, data: bytes | memoryview, flags: int = 0, /) -> None:  # type: ignore[override]  # bytes only
        """Encrypt all data, and wait until it is sent. For a socket that blocks."""
        self.send(data)

    def shutdown(self, how: int, /) -> None:
        """Shut down one direction or both. The end of the sending direction is announced to the peer (close_notify)."""
        # Not with SHUT_RDWR, by which other threads abort the connection.
        if how == socket.SHUT_WR:
            self._send_close_notify()
        super().shutdown(how)

    # ---------------------------------------------------------------- records

    def _receive_records(self, size: int, flags: int = 0) -> None:
        received = _receive(self, size, flags)
        if not received:
            raise ConnectionAbortedError(TRUNCATED)
        self._incoming.write(received)

    def _decrypt(self) -> bytes:
        """Return the data of all complete records. Empty if there is none. Sets `_has_ended`."""
        read, incoming = self._tls.read, self._incoming
        data = b""
        try:
            data = last = read(MAX_RECORD_SIZE)
            while last and incoming.pending:
                last = read(MAX_RECORD_SIZE)
                data += last
            self._has_ended = not last
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:  # the end, after the end of the own direction
            self._has_ended = True
        except ssl.SSLError:
            self._send_alert()
            raise
        if self._has_ended and data:
            # A poller does not report the end, which was received with the data. After this it does.
            with contextlib.suppress(OSError):
                super().shutdown(socket.SHUT_RD)
        return data

    def _encrypt(self, data: bytes | memoryview) -> int:
        write, size = self._tls.write, len(data)
        encrypted = write(data)  # one record at most
        while encrypted < size:
            encrypted += write(memoryview(data)[encrypted:])
        return size

    def _flush(self) -> None:
        """Send all encrypted bytes."""
        unsent = self._unsent or self._outgoing.read()
        while unsent:
            self._unsent = unsent
            sent = _send(self, unsent)
            unsent = self._unsent = memoryview(unsent)[sent:] if sent < len(unsent) else self._outgoing.read()

    def _send_alert(self) -> None:
        """Send the alert that OpenSSL has written, if the peer takes it at once."""
        with contextlib.suppress(OSError):
            timeout = self.gettimeout()
            self.setblocking(False)
            try:
                self._flush()
            finally:
                self.settimeout(timeout)

    def _send_close_notify(self) -> None:
        if self._unsent:  # inside a record: to the peer the data must look incomplete
            return
        with contextlib.suppress(OSError):  # the handshake is not complete, or the peer's close_notify has not arrived
            self._tls.unwrap()
        self._send_alert()


def describe(problem: OSError) -> str:
    """Return what went wrong as a phrase: the reason of OpenSSL, or the text of the system."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {problem.verify_message}"
    if isinstance(problem, ssl.SSLError) and problem.reason:
        return problem.reason.replace("_", " ").lower()
    return problem.strerror or str(problem)
