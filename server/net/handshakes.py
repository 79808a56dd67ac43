"""TLS handshakes: one thread performs those of all connections, before their scheduler serves them.

A handshake takes about a millisecond of the CPU, and as long as the client likes. So it takes place neither in the
accept thread nor in an I/O thread, and a connection gets a thread of its own only after it.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial

from common.errors import TLS_ONLY_HERE
from common.tls_socket import HANDSHAKE_RECORD, TLSSocket, describe
from server.net.io_thread import IOThread
from server.net.lingering import Lingering
from server.net.poller import READABLE, WRITABLE
from server.net.timers import Timer
from server.stderr_log import RepeatedMessage

HANDSHAKE_TIMEOUT = 10.0
"""Seconds from the accept of a connection to the end of its handshake."""

HANDSHAKE_FAILED = "the TLS handshake of %s failed: %s"
NO_TLS = "the client does not speak TLS"
TOO_LONG = "it takes too long"
"""What is logged, and two of the reasons."""

logger = logging.getLogger(__name__)


class Handshakes:
    """The thread that performs the handshakes."""

    def __init__(self) -> None:
        self._io = IOThread("TLS handshakes")
        self._failed = RepeatedMessage(logger, logging.WARNING, HANDSHAKE_FAILED)

    def start(self) -> None:
        """Start the thread."""
        self._io.start()

    def stop(self) -> None:
        """Stop it, after the listeners."""
        self._io.stop()

    def begin(self, sock: TLSSocket, address: str, succeed: Callable[[], None], close: Callable[[], None]) -> None:
        """Perform a handshake. Call ``succeed`` after it, or ``close`` if it fails. Any thread may call this.

        ``address`` is that of the peer. The thread of the handshakes makes the calls. They must not raise or wait.
        """
        log = partial(self._failed.log, address)
        self._io.call(_Handshake(self._io, sock, log, succeed, close).begin)


class _Handshake:
    __slots__ = ("_close", "_io", "_is_over", "_log", "_socket", "_succeed", "_timeout", "_timer")

    def __init__(
        self,
        io_thread: IOThread,
        sock: TLSSocket,
        log: Callable[[str], None],
        succeed: Callable[[], None],
        close: Callable[[], None],
    ) -> None:
        self._io = io_thread
        self._socket = sock
        self._log = log
        self._succeed = succeed
        self._close = close
        self._is_over = False
        self._timeout = sock.gettimeout()  # the scheduler has set it
        self._timer: Timer

    def begin(self) -> None:
        self._socket.setblocking(False)
        self._timer = self._io.call_later(HANDSHAKE_TIMEOUT, self._time_out)
        self._io.watch(self._socket.fileno(), READABLE, self._check_first_byte)

    def _check_first_byte(self) -> None:
        try:
            first = socket.socket.recv(self._socket, 1, socket.MSG_PEEK)
        except BlockingIOError:
            pass
        except OSError as problem:
            self._fail(problem)
        else:
            if first in (HANDSHAKE_RECORD, b""):
                self._proceed()
            else:
                self._refuse_plaintext()

    def _proceed(self) -> None:
        try:
            self._socket.handshake()
        except BlockingIOError:
            self._io.watch(self._socket.fileno(), WRITABLE if self._socket.has_unsent else READABLE, self._proceed)
        except OSError as problem:
            self._fail(problem)
        except Exception:
            logger.exception("a TLS handshake failed")
            self._end()
        else:
            self._finish()
            self._socket.settimeout(self._timeout)
            self._succeed()

    def _fail(self, problem: OSError) -> None:
        if isinstance(problem, ssl.SSLError):
            self._log(describe(problem))
        else:
            logger.debug("a client disconnected during the TLS handshake: %s", describe(problem))
        self._linger()

    def _refuse_plaintext(self) -> None:
        self._log(NO_TLS)
        with contextlib.suppress(OSError):
            # In RESP, as at the limit of clients. What the client has sent is not read to find its protocol.
            socket.socket.send(self._socket, b"-%b\r\n" % TLS_ONLY_HERE.text)
        self._linger()

    def _time_out(self) -> None:
        self._log(TOO_LONG)
        self._end()

    def _linger(self) -> None:
        """Close the connection after the peer has received why: an alert or an error."""
        self._timer.cancel()
        try:
            Lingering(self._io, self._socket, self._end)
        except OSError:
            self._end()

    def _end(self) -> None:
        if not self._is_over:
            self._finish()
            self._close()

    def _finish(self) -> None:
        self._is_over = True
        self._timer.cancel()
        self._io.unwatch(self._socket.fileno())
