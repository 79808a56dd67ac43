"""What a URL of a backing server says, and what may be shown of it."""

from __future__ import annotations

import pytest

from server.engines.redis.connection import TcpConnection, TlsConnection, UnixConnection
from server.engines.redis.url import parse_address


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("redis://", {}),
        ("redis://host", {"host": "host"}),
        ("redis://host/", {"host": "host"}),
        ("redis://host:7000/2", {"host": "host", "port": 7000, "db": 2}),
        ("redis://[::1]:7000", {"host": "::1", "port": 7000}),
        ("redis://user:p%40ss@host", {"host": "host", "username": "user", "password": "p@ss"}),
        ("redis://host?client_name=kvline", {"host": "host", "client_name": "kvline"}),
    ],
)
def test_a_url_of_one_server(url: str, settings: dict[str, object]) -> None:
    address = parse_address(url)
    assert address.settings == settings | {"connection_class": TcpConnection}
    assert address.nodes == ()


def test_the_scheme_says_how_to_connect() -> None:
    tls = parse_address("rediss://host?ssl_cert_reqs=none").settings
    assert (tls["connection_class"], tls["ssl_cert_reqs"]) == (TlsConnection, "none")
    unix = parse_address("unix:///run/redis.sock?db=1").settings
    assert unix == {"path": "/run/redis.sock", "db": 1, "connection_class": UnixConnection}


def test_a_url_of_a_cluster() -> None:
    address = parse_address("redis+cluster://user:pass@one:7000,[::1]:7001,three")
    assert address.nodes == (("one", 7000), ("::1", 7001), ("three", 6379))
    assert address.settings == {"username": "user", "password": "pass", "connection_class": TcpConnection}
    assert parse_address("rediss+cluster://one").settings == {"connection_class": TlsConnection}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:7000/2", "redis://host:7000/2"),
        ("redis://user:secret@host", "redis://user@host"),
        ("redis://:secret@host", "redis://host"),
        ("redis://user@host", "redis://user@host"),
        ("unix:///run/redis.sock?db=1&password=secret", "unix:///run/redis.sock?db=1"),
        ("rediss://host?ssl_password=secret", "rediss://host"),
        ("redis+cluster://user:secret@one:7000,two:7001", "redis+cluster://user@one:7000,two:7001"),
    ],
)
def test_a_password_is_not_shown(url: str, shown: str) -> None:
    address = parse_address(url)
    assert address.shown == shown
    assert "secret" not in repr(address)


@pytest.mark.parametrize(
    "url",
    ["", "redis", "redis:/", "http://host", "redis://a,b", "redis://[::1", "redis+cluster://", "redis+cluster://a,,b",
     "redis://host/a", "redis://host?db=x", "redis://host?protocol=3", "redis://host?decode_responses=yes",
     "redis://host?timeout=1", "redis://host?ssl_nonsense=1", "unix:", "redis+cluster://a?db=1"],
)  # fmt: skip
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_address(url)
