"""The pytest plugin: fixtures with a real server for tests that use a Redis client, HTTP or a socket.

    def test_counter(kvline):
        client = redis.Redis.from_url(kvline.url)
        assert client.incr("visits") == 1

Every process of pytest-xdist has a server of its own, because each runs its own session.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from kvline.testing import KvlineServer


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("kvline")
    group.addoption(
        "--kvline-args",
        default="",
        metavar="OPTIONS",
        help='options of the server of the fixtures "kvline" and "kvline_server", such as "--max-clients 10"',
    )
    group.addoption(
        "--kvline-password",
        default="",
        metavar="PASSWORD",
        help="the password of this server, for programs that must send one (default: none)",
    )


@pytest.fixture(scope="session")
def kvline_server(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KvlineServer]:
    """A kvline server on free ports: host, port, url, http_url; start(), stop(), kill(), flush()."""
    args = shlex.split(pytestconfig.getoption("kvline_args"))
    log = tmp_path_factory.mktemp("kvline") / "server.log"
    with KvlineServer(args, log=log, password=pytestconfig.getoption("kvline_password")) as server:
        yield server


@pytest.fixture
def kvline(kvline_server: KvlineServer) -> KvlineServer:
    """The kvline server of the session, running and without keys."""
    kvline_server.start()
    kvline_server.flush()
    return kvline_server
