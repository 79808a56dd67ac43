"""Who may ask: a token where one is set, and no page of another site that makes a browser ask in a user's name.

Browsers send requests to any address, this server's among them, for any page. They can't be told from the user's own
programs but by the headers that browsers add: ``Sec-Fetch-Site`` and ``Origin``. A page that has bent its own name to
this address (DNS rebinding) passes that test; it is known by the name in ``Host``, which is not one of ours. It can't
know the token; so where there is one, other machines may call the server what they like.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address

from server.http.exchange import Problem
from server.http.routes import Resource
from server.net.addresses import resolve

ANY = b"*"


class Guard:
    """Decide whether a request may be answered."""

    def __init__(self, host: str, token: str | None, origins: Sequence[str], names: Sequence[str] = ()) -> None:
        self._is_local = _is_loopback(host)
        self._names = {name.lower().encode() for name in ("localhost", host, *names)}
        self._token = None if token is None else token.encode()
        self._origins = {origin.lower().encode() for origin in origins}
        self._is_ours = lru_cache(128)(self._is_our_name)

    def check(self, resource: Resource, headers: dict[bytes, bytes]) -> None:
        """Raise `Problem` where the request may not be answered."""
        host = headers.get(b"host", b"")
        if (self._is_local or self._token is None) and not self._is_ours(host):
            raise Problem(403, "this server is not known by that name; use its address, or --http-host")
        if self._token is not None and not resource.is_open:
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
                raise Problem(401, "this needs the server's bearer token", [(b"www-authenticate", b"Bearer")])
        if not resource.reads and self._is_foreign(host, headers):
            raise Problem(403, "pages of other origins may change nothing here")

    def is_forgeable(self, headers: dict[bytes, bytes]) -> bool:
        """Tell whether a GET with these headers may come from any page, an image's address in it, for all we know.

        Browsers say where a request comes from in every one that they send to this machine itself, and in none that
        they send by plain HTTP to another one.
        """
        return self._token is None and not self._is_local and b"sec-fetch-site" not in headers

    def _is_our_name(self, host: bytes) -> bool:
        """Tell whether a Host names this machine: by an address, or by a name that no one else can give it."""
        name = host.lower().rpartition(b":")[0] if host.rpartition(b":")[2].isdigit() else host.lower()
        return not name or name in self._names or _is_address(name.strip(b"[]"))

    def _is_foreign(self, host: bytes, headers: dict[bytes, bytes]) -> bool:
        origin = headers.get(b"origin")
        if origin is None:
            return headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin")
        if self._origins & {ANY, origin.lower()}:
            return False
        its_host = origin.lower().partition(b"://")[2]  # the scheme may differ behind a proxy
        return not its_host or its_host != host.lower()


def _is_address(name: bytes) -> bool:
    try:
        ip_address(name.decode())
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach what listens there. Raises `OSError` and `UnicodeError`."""
    _, address = resolve(host, 0)
    return ip_address(address[0]).is_loopback
