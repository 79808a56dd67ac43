"""Listen for HTTP: uvicorn, in a thread of the process that serves the other ports."""

from __future__ import annotations

import os
import socket
import sys
import threading
from functools import partial

import uvicorn

from server.http.asgi import ASGIApplication
from server.http.connection import Connection
from server.net.addresses import format_address, resolve
from server.net.listener import BACKLOG, GRACE
from server.session.context import ServerContext

SWITCH_INTERVAL = 0.0001
"""Seconds after which Python asks a busy thread to let another one run, where it is 5 milliseconds otherwise.

All HTTP is one thread's work, and that thread rests only when nobody asks. A connection of another port that has a
request to answer waits up to this long for it each time.
"""


class HTTPServer:
    """Serve HTTP on one address. Raises `OSError` or `UnicodeError` where the address can't be listened on."""

    def __init__(self, host: str, port: int, context: ServerContext, application: ASGIApplication) -> None:
        family, address = resolve(host, port)
        try:
            self._socket = socket.create_server(address[:2], family=family, backlog=BACKLOG)
        except OSError as problem:
            if problem.errno is None:
                raise
            raise OSError(problem.errno, os.strerror(problem.errno)) from None  # Python's own names the address again
        config = uvicorn.Config(
            application,
            http=partial(Connection, context),  # type: ignore[arg-type]  # whatever makes a protocol
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,  # whoever connects may write there what they like
            server_header=False,
            timeout_graceful_shutdown=int(GRACE) + 1,  # by then each connection has ended itself
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name=f"http {self.address}", daemon=True)

    @property
    def address(self) -> str:
        """The address as people write it, with the port that was really bound."""
        return "http://" + format_address(self._socket.getsockname())

    def start(self) -> None:
        """Accept connections in a thread of the server's own until ``stop``."""
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._thread.start()

    def stop(self) -> None:
        """Take no more connections, let running requests be answered for a moment, then close what is left."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def close(self) -> None:
        """Give up the address of a server that was never started."""
        self._socket.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])
