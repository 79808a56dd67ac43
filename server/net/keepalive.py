"""TCP keepalive: find out that a peer has vanished without closing its connection."""

from __future__ import annotations

import contextlib
import socket

PROBES = 3


def enable_keepalive(sock: socket.socket, seconds: int) -> None:
    """Probe a silent peer after this time. Close the connection after about twice the time without a reply.

    As in Redis 7 (``anetKeepAlive``): `PROBES` probes, a third of the time apart. A platform without these options uses
    its own times.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", seconds), ("TCP_KEEPINTVL", max(1, seconds // 3)), ("TCP_KEEPCNT", PROBES)):
        if hasattr(socket, name):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
