"""Where the backing Redis is: the URL of the command line, read strictly, and what may be shown of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from redis.connection import Connection, parse_url

from server.engines.redis.connection import KINDS

CLUSTER = "+cluster"
SCHEMES = ("redis", "rediss", "unix", "redis" + CLUSTER, "rediss" + CLUSTER)

OPTIONS = {"client_name", "db", "password", "socket_keepalive", "username"}
"""What a URL may say behind its question mark, besides ``ssl_…``. All else would undo what the backend relies on."""

DEFAULT_PORT = 6379


@dataclass(frozen=True, slots=True)
class Address:
    """A backing server or cluster."""

    shown: str
    """The URL without the password."""

    settings: dict[str, Any] = field(repr=False)
    """What redis-py makes a connection from, the password included; of a cluster, without host and port."""

    nodes: tuple[tuple[str, int], ...] = ()
    """Host and port of the nodes that a cluster's URL names; empty for a single server."""


def parse_address(url: str) -> Address:
    """Read a URL. Raises ValueError with one sentence, which never shows a password."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not url.lower().startswith(f"{parts.scheme}://"):
        raise ValueError(f"it begins with one of {', '.join(f'{each}://' for each in SCHEMES)}")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if name not in OPTIONS and not name.startswith("ssl_"):
            raise ValueError(f"there is no option {name!r}")
    if parts.fragment:
        raise ValueError("a # in it is written %23")
    user, at, hosts = parts.netloc.rpartition("@")
    nodes: tuple[tuple[str, int], ...] = ()
    if parts.scheme.endswith(CLUSTER):
        nodes = tuple(_host_and_port(each) for each in hosts.split(","))
        # What is common to all nodes is read off a URL that redis-py knows.
        parts = parts._replace(scheme=parts.scheme.removesuffix(CLUSTER), netloc=f"{user}{at}localhost")
    elif parts.scheme != "unix" and hosts:
        _host_and_port(hosts)
    return Address(_shown(urlsplit(url)), _settings(parts, is_cluster=bool(nodes)), nodes)


def _host_and_port(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0 or "," in text:
        raise ValueError(f"{text!r} is no host and port")
    return host, port or DEFAULT_PORT


def _settings(parts: SplitResult, *, is_cluster: bool) -> dict[str, Any]:
    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError("unix:// needs the path of a socket")
    elif not (parts.path.removeprefix("/") or "0").isdecimal():
        raise ValueError(f"a database is a number, not {parts.path[1:]!r}")
    settings: dict[str, Any] = parse_url(_url(parts))
    settings["connection_class"] = KINDS[settings.get("connection_class", Connection)]
    if is_cluster:
        del settings["host"]
        if settings.pop("db", 0):
            raise ValueError("a cluster has no database but 0")
    kind = settings["connection_class"]
    try:
        kind(**{name: value for name, value in settings.items() if name != "connection_class"})
    except Exception as problem:  # whatever redis-py raises for an option that it can't use
        raise ValueError(str(problem)) from None
    return settings


def _shown(parts: SplitResult) -> str:
    user, at, hosts = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    options = [(each, value) for each, value in parse_qsl(parts.query) if "password" not in each]
    return _url(parts._replace(netloc=f"{name}{at if name else ''}{hosts}", query=urlencode(options)))


def _url(parts: SplitResult) -> str:
    """Join a URL's parts; the standard library would leave two slashes out of ``unix:///path``."""
    return f"{parts.scheme}://{parts.netloc}{parts.path}{'?' if parts.query else ''}{parts.query}"
