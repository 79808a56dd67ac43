"""`ConnectionSettings`: URLs, the environment, and the options that replace them."""

from __future__ import annotations

import pytest

from client.command_line import parse
from client.settings import ConnectionSettings, InvalidAddress, parse_url, settings_from_environment


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://host", ConnectionSettings("host", 6379)),
        ("redis://", ConnectionSettings("127.0.0.1", 6379)),
        ("redis://host:1", ConnectionSettings("host", 1)),
        ("redis://[::1]:77/3", ConnectionSettings("::1", 77, database=3)),
        ("redis://host?db=4", ConnectionSettings("host", 6379, database=4)),
        ("rediss://host", ConnectionSettings("host", 6379, tls=True)),
        ("redis://ada:p%40ss@host/1", ConnectionSettings("host", 6379, user="ada", password="p@ss", database=1)),
        ("redis://:secret@host", ConnectionSettings("host", 6379, password="secret")),
        ("redis://secret@host", ConnectionSettings("host", 6379, password="secret")),
        ("unix:///tmp/a%20b?db=2", ConnectionSettings(socket_path="/tmp/a b", database=2)),
        ("redis+unix://:pw@/tmp/s", ConnectionSettings(socket_path="/tmp/s", password="pw")),
        ("unix://ada@/s?password=p%40", ConnectionSettings(socket_path="/s", user="ada", password="p@")),
    ],
)
def test_a_url_has_address_login_and_database(url: str, expected: ConnectionSettings) -> None:
    assert parse_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "host",
        "http://host",
        "redis://h:0",
        "redis://h:x",
        "redis://h/x",
        "redis://[::1",
        "unix://",
        "unix://tmp/s",
        "redis://h:65536",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidAddress) as problem:
        parse_url(url.replace("//", "//user:secret@"))
    assert "secret" not in str(problem.value)


def test_the_password_is_not_in_the_representation_and_the_name() -> None:
    settings = parse_url("redis://user:secret@[::1]:1")
    assert "secret" not in repr(settings)
    assert settings.name == "[::1]:1"


def test_the_first_url_in_the_environment_counts() -> None:
    assert settings_from_environment({}) == ConnectionSettings()
    assert settings_from_environment({"KVLINE_URL": "", "REDIS_URL": "redis://r"}).host == "r"
    assert settings_from_environment({"KVLINE_URL": "redis://k", "REDIS_URL": "redis://r"}).host == "k"
    with pytest.raises(InvalidAddress, match="REDIS_URL: a URL begins with"):
        settings_from_environment({"REDIS_URL": "x"})


def test_options_replace_parts_of_a_url_and_all_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVLINE_URL", "redis://:secret@environment/9")
    assert parse([]).connection == ConnectionSettings("environment", 6379, password="secret", database=9)
    assert parse(["-n", "2"]).connection.host == "environment"
    assert parse(["-p", "1"]).connection == ConnectionSettings(port=1)
    assert parse(["-h", "h"]).connection == ConnectionSettings("h")
    assert parse(["-s", "/tmp/s"]).connection == ConnectionSettings(socket_path="/tmp/s")
    url = "redis://:pw@url:5/7"
    assert parse(["-u", url, "-p", "6", "-n", "0"]).connection == ConnectionSettings("url", 6, password="pw")


def test_an_interval_alone_repeats_without_end() -> None:
    assert parse(["PING"]).runs == 1
    assert parse(["-i", "1", "PING"]).runs == 0
    assert parse(["-i", "1", "-r", "5", "PING"]).runs == 5
