"""redis-py and redis-cli on a server with a password. test_ioredis.py does the same with ioredis."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.clients.conftest import Connect
from tests.harness.processes import ServerProcess
from tests.harness.redis_server import find_redis_cli
from tests.harness.waiting import TIMEOUT

PASSWORD = "correct-horse"


@pytest.fixture(scope="module")
def guarded() -> Iterator[ServerProcess]:
    """A server with a password."""
    server = ServerProcess(KVLINE_PASSWORD=PASSWORD)
    yield server
    server.check()
    server.close()


@pytest.mark.parametrize("login", [{}, {"username": "default"}], ids=["password", "user and password"])
def test_redis_py_with_the_password_executes_commands(
    guarded: ServerProcess, connect: Connect, login: dict[str, Any]
) -> None:
    client = connect(guarded.port, password=PASSWORD, **login)
    assert client.set("k", "v") is True
    assert client.get("k") == b"v"
    assert client.client_info()["user"] == "default"


def test_redis_py_with_the_password_in_a_url_executes_pipelines(guarded: ServerProcess) -> None:
    with (
        redis.Redis.from_url(f"redis://:{PASSWORD}@127.0.0.1:{guarded.port}/0") as client,
        client.pipeline() as pipeline,
    ):
        assert pipeline.set("n", 1).incr("n").execute() == [True, 2]


def test_redis_py_without_the_password_or_with_a_wrong_one_raises_its_errors(
    guarded: ServerProcess, connect: Connect
) -> None:
    with pytest.raises(redis.AuthenticationError, match=r"(?i)authenticat"):
        connect(guarded.port).get("k")
    with pytest.raises(redis.AuthenticationError, match="invalid username-password pair"):
        connect(guarded.port, password="wrong").get("k")
    with pytest.raises(redis.AuthenticationError, match="invalid username-password pair"):
        connect(guarded.port, username="root", password=PASSWORD).get("k")


def run_redis_cli(server: ServerProcess, *args: str, **variables: str) -> str:
    program = find_redis_cli()
    if program is None:
        pytest.skip("there is no redis-cli here")
    command = [program, "-p", str(server.port), *args]
    environ = os.environ | variables
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False, env=environ)
    return done.stdout + done.stderr


def test_redis_cli_with_the_password_executes_commands(guarded: ServerProcess) -> None:
    assert run_redis_cli(guarded, "PING", REDISCLI_AUTH=PASSWORD) == "PONG\n"
    assert run_redis_cli(guarded, "-3", "PING", REDISCLI_AUTH=PASSWORD) == "PONG\n"
    assert run_redis_cli(guarded, "--user", "default", "--pass", PASSWORD, "--no-auth-warning", "PING") == "PONG\n"


def test_redis_cli_without_the_password_shows_the_error(guarded: ServerProcess) -> None:
    assert run_redis_cli(guarded, "PING") == "NOAUTH Authentication required.\n\n"
    assert "AUTH failed: WRONGPASS" in run_redis_cli(guarded, "PING", REDISCLI_AUTH="wrong")
