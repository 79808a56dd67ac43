"""The URL of the backing Redis: strict parsing, and a form without the password that may be displayed.

The errors of this module repeat no part of the URL: if a character is not percent-encoded, or if the @ is missing, any
part of it may be a part of the password.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from server.engines.redis.connection import ConnectionSettings, Login
from server.engines.redis.redis_py_adapter import RedisSocket, parse_redis_url

CLUSTER = "+cluster"
SCHEMES = ("redis", "rediss", "unix", "redis" + CLUSTER, "rediss" + CLUSTER)

OPTIONS = {"client_name", "db", "password", "socket_keepalive", "username"}
"""Options that a URL may have after its question mark, besides ``ssl_…``. Others would change timeouts or replies."""

DEFAULT_PORT = 6379

NodeAddress = tuple[str, int]
"""Host and port."""


@dataclass(frozen=True, slots=True)
class BackendUrl:
    """A parsed URL of a backing server or cluster."""

    shown: str
    """The URL without passwords."""

    settings: ConnectionSettings
    """How to connect and log in. For a cluster, without host and port."""

    nodes: tuple[NodeAddress, ...] = ()
    """The nodes that a cluster's URL lists. Empty for a single server."""


def parse_backend_url(url: str, password: str | None = None) -> BackendUrl:
    """Parse a URL. ``password`` is used if the URL has none.

    Raises ValueError with one sentence, which never contains a password. It lacks its subject, which is the name of the
    setting.
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme not in SCHEMES or not separator:
        raise ValueError(f"must begin with one of {', '.join(f'{each}://' for each in SCHEMES)}")
    # The list of hosts is split before urlsplit sees it. urlsplit refuses a host part with brackets in the middle,
    # such as one:7000,[::1]:7001, on every Python with the fix for CVE-2025-0938.
    authority, tail = _split_authority(rest)
    # The last @, because a password may contain one.
    user, at, hosts = authority.rpartition("@")
    is_cluster = scheme.endswith(CLUSTER)
    if scheme == "unix":
        _check_socket_path(hosts, tail)
    else:
        _check_password_encoding(at, hosts, tail)
    nodes = tuple(_host_and_port(each) for each in hosts.split(",")) if is_cluster else ()
    if scheme != "unix" and not is_cluster and hosts:
        _host_and_port(hosts)
    # A cluster's settings have no host, so any valid one will do for urlsplit and redis-py. `_settings` removes it.
    first = "localhost" if is_cluster else hosts
    parts = _split(f"{scheme.removesuffix(CLUSTER)}://{user}{at}{first}{tail}")
    _check_options(parts)
    # The user name is no secret. A password without a user name leaves nothing to show.
    shown_user = user.partition(":")[0]
    shown = f"{scheme}://{shown_user}{at if shown_user else ''}{hosts}{parts.path}{_shown_options(parts)}"
    settings = _settings(parts, is_cluster=is_cluster)
    if settings.login.password is None:
        settings = replace(settings, login=replace(settings.login, password=password))
    return BackendUrl(shown, settings, nodes)


def _split_authority(rest: str) -> tuple[str, str]:
    """Split what follows ``://`` at the end of the host part (RFC 3986, section 3.2)."""
    end = min((place for place in map(rest.find, "/?#") if place >= 0), default=len(rest))
    return rest[:end], rest[end:]


def _check_socket_path(hosts: str, tail: str) -> None:
    if hosts or not tail.startswith("/"):
        raise ValueError("needs the path of a socket after unix://")


def _check_password_encoding(at: str, hosts: str, tail: str) -> None:
    """Raise ValueError if a / or ? in a password has cut the host part short."""
    path, _, query = tail.partition("?")
    in_query = "@" in query and not at and ":" in hosts and not hosts.rpartition(":")[2].isdecimal()
    if "@" in path or in_query:
        raise ValueError("contains a user or password with / or ?, which must be written %2F and %3F")


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # its text may quote the URL, and the URL may contain a password
        raise ValueError("is not a valid URL") from None


def _host_and_port(text: str) -> NodeAddress:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0 or "," in text:
        raise ValueError("must have hosts as host:port, and an @ after a password")
    return host, port or DEFAULT_PORT


def _check_options(parts: SplitResult) -> None:
    # redis-py takes any option, and would pass a misspelt one to a constructor, whose error names Python's arguments.
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if name not in OPTIONS and not name.startswith("ssl_"):
            raise ValueError(f"has an unknown option; known are {', '.join(sorted(OPTIONS))} and ssl_…")
    if parts.fragment:  # most likely a password with a #, whose rest urlsplit has cut off
        raise ValueError("contains a #, which must be written %23")
    if parts.scheme != "unix" and not (parts.path.removeprefix("/") or "0").isdecimal():
        raise ValueError("has a database that is not a number")


def _settings(parts: SplitResult, *, is_cluster: bool) -> ConnectionSettings:
    settings = parse_redis_url(_join(parts))
    # The login is taken out, because `BackendConnection` sends it, and not redis-py.
    login = Login(
        username=settings.pop("username", None),
        password=settings.pop("password", None),
        client_name=settings.pop("client_name", None),
        database=settings.pop("db", 0),
    )
    if is_cluster:
        del settings["host"]
        if login.database:
            raise ValueError("must not select a database, because a cluster has database 0 only")
    RedisSocket(settings)  # raises ValueError for a wrong ssl_ option
    return ConnectionSettings(settings, login)


def _shown_options(parts: SplitResult) -> str:
    # `password` and `ssl_password`.
    options = [(name, value) for name, value in parse_qsl(parts.query) if "password" not in name]
    return f"?{urlencode(options)}" if options else ""


def _join(parts: SplitResult) -> str:
    """Join the parts of a URL. `urlunsplit` would remove two slashes of ``unix:///path``."""
    return f"{parts.scheme}://{parts.netloc}{parts.path}{'?' if parts.query else ''}{parts.query}"
