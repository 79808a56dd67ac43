"""Socket addresses: how they are written, and how a host and a port are resolved. That of a Unix socket is its path."""

from __future__ import annotations

import socket
from typing import Any


def format_address(address: Any) -> str:
    """Format a socket address: ``127.0.0.1:9736``, ``[::1]:9736``, and as in Redis ``/run/kvline.sock:0``."""
    if is_path(address):
        return f"{address}:{port_of(address)}"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_path(address: Any) -> bool:
    """Return whether an address is that of a Unix socket."""
    return isinstance(address, str)


def port_of(address: Any) -> int:
    """Return the port of an address; 0 for a Unix socket."""
    return 0 if is_path(address) else int(address[1])


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """Return the family and the address to listen on. Raises `OSError` or `UnicodeError` if there is none."""
    # As bytes, because to encode a text by IDNA takes 2 ms for the import.
    name = host.encode() if host.isascii() else host
    family, *_, address = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return family, address


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach what listens there. Raises `OSError` and `UnicodeError`."""
    # Resolved, because `localhost` is a name, and another name may resolve to a loopback address too.
    _, address = resolve(host, 0)
    # Every start asks this, and the import of `ipaddress` takes 2 ms.
    return str(address[0]) == "::1" or str(address[0]).startswith("127.")
