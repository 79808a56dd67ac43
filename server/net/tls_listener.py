"""A listener whose connections use TLS."""

from __future__ import annotations

import socket
from functools import partial
from typing import Any

from common.tls_socket import TLSSocket
from server.net.certificates import Certificates
from server.net.connection import Connection
from server.net.handshakes import Handshakes
from server.net.listener import Listener, Scheduler
from server.session.context import ServerContext


class TLSListener(Listener):
    """Accepts the connections of one address, and has their handshakes performed before they are served.

    A connection counts as a client from its accept. Raises `OSError` if the address cannot be bound.
    """

    def __init__(
        self,
        family: socket.AddressFamily,
        address: Any,
        context: ServerContext,
        scheduler: Scheduler[Any],
        certificates: Certificates,
    ) -> None:
        self._certificates = certificates
        self._handshakes: Handshakes
        super().__init__(family, address, context, scheduler)

    @property
    def address(self) -> str:
        """The bound address, as a URL."""
        return f"rediss://{super().address}"

    def start(self) -> None:
        """Accept connections in a thread until `stop`, and perform their handshakes in another one."""
        self._handshakes = Handshakes()
        self._handshakes.start()
        super().start()

    def stop(self) -> None:
        """Accept no more connections, let running commands finish and be replied to, then close what is left."""
        super().stop()
        self._handshakes.stop()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        accepted, peer = super().get_request()
        return TLSSocket(accepted, self._certificates.context, server_side=True), peer

    def _schedule(self, connection: Connection, request: Any, client_address: Any) -> None:
        succeed = partial(super()._schedule, connection, request, client_address)
        self._handshakes.begin(request, connection.address, succeed, partial(self.shutdown_request, request))
