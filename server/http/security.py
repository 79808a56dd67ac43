"""Access control: the password, allowed host names, cross-site request forgery (CSRF), and CORS.

A web page can make a browser send requests to any address, this server's among them. Only the headers that browsers
add distinguish those requests from a program's: ``Sec-Fetch-Site`` and ``Origin``. A page whose own host name resolves
to this server's address (DNS rebinding) passes that check, so the name in ``Host`` is checked too. Such a page does not
know the password, so with a password other machines may use any host name.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address

from common.errors import (
    HTTP_CROSS_ORIGIN_WRITE,
    HTTP_HOST_NOT_ALLOWED,
    HTTP_PREFLIGHT_REJECTED,
    NOT_AUTHENTICATED,
    WRONG_PASSWORD,
)
from server.http.messages import TEXT, Headers, HTTPError, Response, command_failed
from server.http.routes import Route
from server.net.addresses import is_loopback
from server.session.auth import DEFAULT_USER, Authenticator

RequestHeaders = Mapping[bytes, bytes]

ANY_ORIGIN = b"*"


class AccessPolicy:
    """Decide whether a request may be executed. Raises `OSError` or `UnicodeError` for a host that has no address.

    ``host`` is the address to listen on, ``auth`` checks passwords, ``origins`` are those that CORS allows (``*`` for
    all), and ``names`` further host names of the server.
    """

    def __init__(self, host: str, auth: Authenticator, origins: Sequence[str], names: Sequence[str] = ()) -> None:
        # Host names and origins are compared without regard to case (RFC 9110, 4.2.3).
        self._names = {name.lower().encode() for name in ("localhost", host, *names)}
        self._auth = auth
        self._origins = {origin.lower().encode() for origin in origins}
        self._is_loopback = is_loopback(host)
        # Bounded, because clients choose the keys. Per instance, because the method reads `self`.
        self._is_allowed_host = lru_cache(128)(self._find_allowed_host)

    def check(self, route: Route, headers: RequestHeaders, address: str) -> None:
        """Raise `HTTPError` if the request may not be executed: 401 without the password, otherwise 403.

        ``address`` is that of the client, for the log.
        """
        host = headers.get(b"host", b"")
        has_password = self._auth.required
        if (self._is_loopback or not has_password) and not self._is_allowed_host(host):
            raise HTTPError(HTTP_HOST_NOT_ALLOWED)
        if has_password and not route.public:
            login = _login(headers)
            if login is None:
                raise command_failed(NOT_AUTHENTICATED)
            if not self._auth.accepts(*login, address):
                raise command_failed(WRONG_PASSWORD)
        # CORS does not prevent this: a browser sends a simple POST, and only keeps the response from the page.
        if not route.safe and self._is_cross_origin(host, headers):
            raise HTTPError(HTTP_CROSS_ORIGIN_WRITE)

    def csrf_possible(self, headers: RequestHeaders) -> bool:
        """Return whether any web page may have caused a GET with these headers, by an image's address for example.

        Browsers send ``Sec-Fetch-Site`` with every request to the local machine, but with none that they send by plain
        HTTP to another one.
        """
        return (
            not self._is_loopback
            and b"sec-fetch-site" not in headers
            and (not self._auth.required or _is_sent_by_browsers(headers))
        )

    def _find_allowed_host(self, host: bytes) -> bool:
        """Return whether a Host names this machine: by an address, or by a name that no other site can point here."""
        # The port does not matter: a proxy or a container may map another one. An IP address is allowed, because
        # rebinding needs a name. No browser omits Host, so an empty one is a program's.
        name, colon, port = host.lower().rpartition(b":")
        if not (colon and port.isdigit()):  # without a colon, digits are the name: a page can have the name `1234`
            name = host.lower()
        return not name or name in self._names or _is_address(name.strip(b"[]"))

    def _is_cross_origin(self, host: bytes, headers: RequestHeaders) -> bool:
        origin = headers.get(b"origin")
        # Browsers send Origin with each POST, PUT and DELETE, but not with every GET (Fetch standard). `none` is an
        # address that the user has typed. Programs send no such header. `same-site` is refused, because another port
        # of this host is another origin.
        if origin is None:
            return headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin")
        if self._origins & {ANY_ORIGIN, origin.lower()} and not _is_sent_by_browsers(headers):
            return False
        its_host = origin.lower().partition(b"://")[2]  # a TLS proxy in front of the server changes the scheme
        return not its_host or its_host != host.lower()  # no host: `null`, the origin of a sandboxed page or a file


def _login(headers: RequestHeaders) -> tuple[bytes, bytes] | None:
    """Return the user name and the password of a request: Bearer (RFC 6750) or Basic (RFC 7617). None without them."""
    scheme, _, credentials = headers.get(b"authorization", b"").partition(b" ")
    match scheme.lower():
        case b"bearer":
            return DEFAULT_USER, credentials.strip()
        case b"basic":
            try:
                user, _, password = b64decode(credentials.strip(), validate=True).partition(b":")
            except binascii.Error:
                return None
            return user or DEFAULT_USER, password
    return None


def _is_sent_by_browsers(headers: RequestHeaders) -> bool:
    """Return whether a browser may have added the password by itself, to a request that any web page has caused.

    Browsers store what a user has typed for Basic. A page can send a bearer token only if it knows it.
    """
    return headers.get(b"authorization", b"")[:6].lower() == b"basic "


def _is_address(name: bytes) -> bool:
    try:
        ip_address(name.decode())
    except ValueError:
        return False
    return True


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
        # Refused by an error rather than by missing headers, so that the developer of the page sees the reason.
        allowed = self._allowed_origin(headers)
        if (
            not allowed
            or headers[b"access-control-request-method"] not in ALLOWED_METHODS
            # Private Network Access: a page of the public network asks to reach this machine or its network. To list an
            # origin does not permit that.
            or b"access-control-request-private-network" in headers
        ):
            raise HTTPError(HTTP_PREFLIGHT_REJECTED)
        response = Response(200, b"OK", [(b"content-type", TEXT), *PREFLIGHT_HEADERS, *allowed])
        # The requested names instead of `*`, which does not cover Authorization (Fetch standard), so not the password.
        if (names := headers.get(b"access-control-request-headers")) is not None:
            response.headers.append((b"access-control-allow-headers", names))
        return response

    def complete(self, response: Response, headers: RequestHeaders) -> None:
        """Add to a response what allows a page of the request's origin to read it.

        ``headers`` are those of the request. Replaces ``response.headers``.
        """
        # Vary also if the origin is missing or not allowed. Otherwise a cache could give such a response, which lacks
        # the header, to a page of an allowed origin (Fetch standard, CORS protocol and HTTP caches).
        others = [(name, value) for name, value in response.headers if name != b"vary"]
        vary = [value for name, value in response.headers if name == b"vary"]
        response.headers = [*others, (b"vary", b", ".join([*vary, b"Origin"]))]
        if allowed := self._allowed_origin(headers):
            # Without this, scripts cannot read the tag that they need for If-Match.
            response.headers += [*allowed, (b"access-control-expose-headers", b"ETag, X-Cache, Age")]

    def _allowed_origin(self, headers: RequestHeaders) -> Headers:
        """Return the header that allows the request's origin, nothing if it is not allowed."""
        origin = headers.get(b"origin")
        if origin is None:
            return []
        # Access-Control-Allow-Credentials is never sent: a page proves itself by a bearer token, and not by what the
        # browser adds.
        if ANY_ORIGIN in self._origins:
            return [(b"access-control-allow-origin", ANY_ORIGIN)]
        return [(b"access-control-allow-origin", origin)] if origin.lower() in self._origins else []
