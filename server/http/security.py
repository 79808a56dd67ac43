"""Access control: the token, allowed host names, cross-site request forgery (CSRF), and CORS.

A web page can make a browser send requests to any address, this server's among them. Only the headers that browsers
add distinguish those requests from a program's: ``Sec-Fetch-Site`` and ``Origin``. A page whose own host name resolves
to this server's address (DNS rebinding) passes that check, so the name in ``Host`` is checked too. Such a page does not
know the token, so with a token other machines may use any host name.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address

from common.errors import (
    HTTP_CROSS_ORIGIN_WRITE,
    HTTP_HOST_NOT_ALLOWED,
    HTTP_PREFLIGHT_REJECTED,
    HTTP_TOKEN_REQUIRED,
)
from server.http.messages import TEXT, Headers, HTTPError, Response
from server.http.routes import Route
from server.net.addresses import resolve

RequestHeaders = Mapping[bytes, bytes]

ANY_ORIGIN = b"*"


class AccessPolicy:
    """Decide whether a request may be executed. Raises `OSError` or `UnicodeError` for a host that has no address."""

    def __init__(self, host: str, token: str | None, origins: Sequence[str], names: Sequence[str] = ()) -> None:
        is_loopback = _is_loopback(host)
        self._names = {name.lower().encode() for name in ("localhost", host, *names)}
        self._token = None if token is None else token.encode()
        self._origins = {origin.lower().encode() for origin in origins}
        self._checks_host = is_loopback or token is None
        self._reachable_without_token = token is None and not is_loopback
        self._is_allowed_host = lru_cache(128)(self._find_allowed_host)

    def check(self, route: Route, headers: RequestHeaders) -> None:
        """Raise `HTTPError` if the request may not be executed."""
        host = headers.get(b"host", b"")
        if self._checks_host and not self._is_allowed_host(host):
            raise HTTPError(HTTP_HOST_NOT_ALLOWED)
        if self._token is not None and not route.public:
            scheme, _, credentials = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(credentials.strip(), self._token):
                raise HTTPError(HTTP_TOKEN_REQUIRED, [(b"www-authenticate", b"Bearer")])
        if not route.safe and self._is_cross_origin(host, headers):
            raise HTTPError(HTTP_CROSS_ORIGIN_WRITE)

    def csrf_possible(self, headers: RequestHeaders) -> bool:
        """Return whether any web page may have caused a GET with these headers, by an image's address for example.

        Browsers send ``Sec-Fetch-Site`` with every request to the local machine, but with none that they send by plain
        HTTP to another one.
        """
        return self._reachable_without_token and b"sec-fetch-site" not in headers

    def _find_allowed_host(self, host: bytes) -> bool:
        """Return whether a Host names this machine: by an address, or by a name that no other site can point here."""
        name = host.lower().rpartition(b":")[0] if host.rpartition(b":")[2].isdigit() else host.lower()
        return not name or name in self._names or _is_address(name.strip(b"[]"))

    def _is_cross_origin(self, host: bytes, headers: RequestHeaders) -> bool:
        origin = headers.get(b"origin")
        if origin is None:
            return headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin")
        if self._origins & {ANY_ORIGIN, origin.lower()}:
            return False
        its_host = origin.lower().partition(b"://")[2]  # a TLS proxy in front of the server changes the scheme
        return not its_host or its_host != host.lower()


def _is_address(name: bytes) -> bool:
    try:
        ip_address(name.decode())
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    """Return whether only this machine can reach what listens there. Raises `OSError` and `UnicodeError`."""
    _, address = resolve(host, 0)
    return ip_address(address[0]).is_loopback


# ---------------------------------------------------------------- CORS

ALLOWED_METHODS = (b"GET", b"HEAD", b"PUT", b"POST", b"DELETE")

PREFLIGHT_MAX_AGE = 600
"""Seconds for which a browser may keep the response to a preflight."""

PREFLIGHT_HEADERS: Headers = [
    (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    (b"access-control-allow-methods", b", ".join(ALLOWED_METHODS)),
    (b"access-control-max-age", b"%d" % PREFLIGHT_MAX_AGE),
]


class CORSPolicy:
    """Let pages of these origins send requests and read the responses (Fetch standard, section 3.3)."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = {origin.lower().encode() for origin in origins}

    def preflight(self, method: bytes, headers: RequestHeaders) -> Response | None:
        """Return the response to a preflight request, None if the request is not one."""
        if method != b"OPTIONS" or b"origin" not in headers or b"access-control-request-method" not in headers:
            return None
        allowed = self._allowed_origin(headers)
        if (
            not allowed
            or headers[b"access-control-request-method"] not in ALLOWED_METHODS
            or b"access-control-request-private-network" in headers
        ):
            raise HTTPError(HTTP_PREFLIGHT_REJECTED)
        response = Response(200, b"OK", [(b"content-type", TEXT), *PREFLIGHT_HEADERS, *allowed])
        if (names := headers.get(b"access-control-request-headers")) is not None:
            response.headers.append((b"access-control-allow-headers", names))
        return response

    def complete(self, response: Response, headers: RequestHeaders) -> None:
        """Add to a response what allows a page of the request's origin to read it."""
        others = [(name, value) for name, value in response.headers if name != b"vary"]
        vary = [value for name, value in response.headers if name == b"vary"]
        response.headers = [*others, (b"vary", b", ".join([*vary, b"Origin"]))]
        if allowed := self._allowed_origin(headers):
            response.headers += [*allowed, (b"access-control-expose-headers", b"ETag")]

    def _allowed_origin(self, headers: RequestHeaders) -> Headers:
        """Return the header that allows the request's origin, nothing if it is not allowed."""
        origin = headers.get(b"origin")
        if origin is None:
            return []
        if ANY_ORIGIN in self._origins:
            return [(b"access-control-allow-origin", ANY_ORIGIN)]
        return [(b"access-control-allow-origin", origin)] if origin.lower() in self._origins else []
