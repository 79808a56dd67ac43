"""Everything that kvline uses of redis-py: the reading of URLs, and the opening of sockets (TCP, TLS, Unix).

redis-py resolves the host name, connects, sets keepalive and does TLS with all of its ``ssl_…`` options. The login,
requests and replies on the open socket are the work of `server.engines.redis.connection`, for three reasons:

- redis-py's parsers do not distinguish ``+OK`` from ``$2 OK``, and they remove the code from an error's text.
- Each of its waits has a timeout of its own. Here all waits of a request share one deadline (`time_limit`).
- Its clients send a command again after some failures. Here nothing is sent twice.

Undocumented behaviour of redis-py is relied upon in this module only, in two places: the attribute ``_sock``, and the
fact that ``socket_timeout`` and ``socket_connect_timeout`` are read at each wait, so that a subclass can compute them.
The tests run against the lowest and the highest version that ``pyproject.toml`` allows.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from server.engines.redis.time_limit import seconds_left

SocketSettings = Mapping[str, Any]
"""Arguments of `RedisSocket`: ``host`` and ``port`` or ``path``, ``socket_keepalive``, ``ssl_…``, and the class."""

_CLASS = "connection_class"


def _with_deadline(base: type) -> type:
    """Return a subclass whose timeouts are what the current request has left, computed at each wait.

    A constant would apply again to each address of the host and to the TLS handshake.
    """
    timeout = property(lambda _: seconds_left(), lambda *_: None)  # redis-py's constructor sets constants
    return type(f"Deadline{base.__name__}", (base,), {"socket_timeout": timeout, "socket_connect_timeout": timeout})


# Keyed by the class that `parse_url` names: TCP without `connection_class`, TLS or Unix with it.
_CLASSES = {each: _with_deadline(each) for each in (Connection, SSLConnection, UnixDomainSocketConnection)}


class RedisSocket:
    """A socket to a Redis server that can be opened, closed and opened again. Nothing is sent on it here.

    Raises ValueError if redis-py does not accept the settings.
    """

    def __init__(self, settings: SocketSettings) -> None:
        options = {name: value for name, value in settings.items() if name != _CLASS}
        connection_class = _CLASSES[settings.get(_CLASS, Connection)]
        try:
            # `redis_connect_func` replaces all that redis-py would send on a new connection. RESP2 keeps it from
            # setting up anything that only RESP3 needs. It never reads a reply.
            self._connection = connection_class(**options, redis_connect_func=_no_login, protocol=2)
        except (RedisError, TypeError, ValueError) as problem:
            raise ValueError(f"is refused by redis-py: {problem}") from None

    def open(self) -> socket.socket:
        """Connect within `seconds_left`, TLS handshake included. Raises TimeoutError or ConnectionError."""
        try:
            self._connection.connect()
        except (RedisTimeoutError, TimeoutError):
            raise TimeoutError from None
        # redis-py's own exceptions are no OSErrors. UnicodeError: a host name that IDNA cannot encode, such as "a..b".
        except (RedisConnectionError, OSError, UnicodeError) as problem:
            raise ConnectionError(str(problem)) from problem
        except RedisError as problem:  # such as a certificate that OCSP reports as revoked
            raise ConnectionError(str(problem)) from problem
        # Set by `connect`, and not available by a public name.
        opened: socket.socket = self._connection._sock
        return opened

    def close(self) -> None:
        """Shut down and close the socket. May be called from any thread, and wakes a thread that waits on it."""
        self._connection.disconnect()


def _no_login(_: object) -> None:
    """Replace redis-py's login, which takes up to five round trips and a parser that loses error codes."""


def parse_redis_url(url: str) -> dict[str, Any]:
    """Return the settings in a ``redis://``, ``rediss://`` or ``unix://`` URL, with the names that redis-py uses.

    Raises ValueError if redis-py does not accept the URL.
    """
    try:
        settings: dict[str, Any] = parse_url(url)
    except ValueError as problem:
        raise ValueError(f"is refused by redis-py: {problem}") from None
    return settings
