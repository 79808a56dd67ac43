"""The URL of a backing server: what it means, and what of it may be displayed."""

from __future__ import annotations

import pytest
from redis.connection import SSLConnection, UnixDomainSocketConnection

from server.engines.redis.connection import Login
from server.engines.redis.url import parse_backend_url


@pytest.mark.parametrize(
    ("url", "socket", "login"),
    [
        ("redis://", {}, Login()),
        ("redis://host", {"host": "host"}, Login()),
        ("REDIS://host/", {"host": "host"}, Login()),
        ("redis://host:7000/2", {"host": "host", "port": 7000}, Login(database=2)),
        ("redis://[::1]:7000", {"host": "::1", "port": 7000}, Login()),
        ("redis://user:p%40ss@host", {"host": "host"}, Login("user", "p@ss")),
        ("redis://:pass@[::1]/1", {"host": "::1"}, Login(None, "pass", database=1)),
        ("redis://host?client_name=kvline", {"host": "host"}, Login(client_name="kvline")),
        ("redis://host?socket_keepalive=yes", {"host": "host", "socket_keepalive": True}, Login()),
        (
            "rediss://host?ssl_cert_reqs=none&ssl_check_hostname=no",
            {"host": "host", "ssl_cert_reqs": "none", "ssl_check_hostname": False, "connection_class": SSLConnection},
            Login(),
        ),
        (
            "unix:///run/redis.sock?db=1",
            {"path": "/run/redis.sock", "connection_class": UnixDomainSocketConnection},
            Login(database=1),
        ),
    ],
)
def test_a_url_of_one_server(url: str, socket: dict[str, object], login: Login) -> None:
    parsed = parse_backend_url(url)
    assert (parsed.settings.socket, parsed.settings.login, parsed.nodes) == (socket, login, ())


def test_a_url_of_a_cluster() -> None:
    parsed = parse_backend_url("redis+cluster://user:pass@one:7000,two:7001,three")
    assert parsed.nodes == (("one", 7000), ("two", 7001), ("three", 6379))
    assert (parsed.settings.socket, parsed.settings.login) == ({}, Login("user", "pass"))
    assert parse_backend_url("rediss+cluster://one").settings.socket == {"connection_class": SSLConnection}


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://one:7000,[::1]:7001,[fe80::1]",
        "redis+cluster://[::1]:7001,one:7000,[fe80::1]/0",
        "redis+cluster://user:pass@[fe80::1],one:7000,[::1]:7001?client_name=x",
    ],
)
def test_an_ipv6_address_may_be_anywhere_in_the_list_of_a_cluster(url: str) -> None:
    """`urlsplit` of a Python with the fix for CVE-2025-0938 refuses such a list, so it must not see it."""
    parsed = parse_backend_url(url)
    assert set(parsed.nodes) == {("one", 7000), ("::1", 7001), ("fe80::1", 6379)}
    assert "[::1]:7001" in parsed.shown


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
    parsed = parse_backend_url(url)
    assert parsed.shown == shown
    assert "secret" not in repr(parsed)


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("redis://host", Login(password="other")),
        ("redis://user@host", Login("user", "other")),
        ("redis://user:own@host", Login("user", "own")),
        ("redis+cluster://one,two", Login(password="other")),
        ("unix:///run/redis.sock", Login(password="other")),
    ],
)
def test_a_password_from_elsewhere_is_used_if_the_url_has_none(url: str, login: Login) -> None:
    parsed = parse_backend_url(url, "other")
    assert parsed.settings.login == login
    assert "other" not in repr(parsed)


@pytest.mark.parametrize(
    "url",
    ["", "redis", "redis:/", "http://host", "redis://a,b", "redis://[::1", "redis+cluster://", "redis+cluster://a,,b",
     "redis+cluster://a,[::1", "redis+cluster://[a],b", "redis+cluster://a:b@,c",
     "redis://host/a", "redis://host?db=x", "redis://host?protocol=3", "redis://host?decode_responses=yes",
     "redis://host?timeout=1", "redis://host?ssl_nonsense=1", "rediss://host?ssl_cert_reqs=perhaps", "unix:", "unix://",
     "redis+cluster://a?db=1", "redis://host#x"],
)  # fmt: skip
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_backend_url(url)


@pytest.mark.parametrize(
    "url",
    ["redis://:secret", "redis://user:secret", "redis+cluster://:secret,two", "redis://user:12?secret@host",
     "redis://:p@sec/ret@host", "redis://host?password=a&secret", "redis://host?password=a&sec=ret", "redis://host/secret",
     "unix://:sec/ret@/path", "redis://:sec/ret@host", "redis://user:sec/ret@host", "redis://:sec?ret@host", "redis://user:12/secret@host",
     "redis+cluster://:sec/ret@one,two", "redis://:secret@host/one", "redis://:secret@ho st:x", "redis://:sec[ret@host"],
)  # fmt: skip
def test_the_error_about_a_bad_url_never_shows_a_part_of_the_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as raised:
        parse_backend_url(url)
    assert "sec" not in str(raised.value).replace("second", "")


@pytest.mark.parametrize("url", ["redis://:sec/ret@host", "redis://:p@sec/ret@host", "redis://:sec?ret@host"])
def test_a_password_that_is_not_percent_encoded_is_named_as_the_cause(url: str) -> None:
    with pytest.raises(ValueError, match="must be written %2F and %3F"):
        parse_backend_url(url)
