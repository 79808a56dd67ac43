"""scripts/demo.sh runs to its end, and fails at the first unexpected response."""

from __future__ import annotations

import shutil
import socket
import subprocess

import pytest

from tests.harness.http_wire import start_with_http
from tests.harness.other_http_server import answering_always
from tests.harness.processes import ROOT, StartServer, environment
from tests.harness.waiting import TIMEOUT

DEMO = ROOT / "scripts" / "demo.sh"
PASSWORD = "a-password-of-the-test"


def demo(*args: str, password: str = "") -> subprocess.CompletedProcess[str]:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    return subprocess.run(
        [DEMO, *args],
        capture_output=True,
        text=True,
        env=environment(KVLINE_PASSWORD=password),
        timeout=TIMEOUT,
        check=False,
    )


def test_the_demo_runs_after_one_that_was_interrupted_and_leaves_other_keys_unchanged(
    start_server: StartServer,
) -> None:
    server = start_with_http(start_server)
    peer = server.connect()
    assert peer.ask(b"SET demo:greeting left") == b"OK"
    for key in (b"greeting", b"demo:of-another-user"):
        assert peer.ask(b"SET " + key + b" mine") == b"OK"
    completed = demo(server.http_url)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert completed.stderr == ""
    assert "responses were as expected" in completed.stdout
    assert peer.ask(b"MGET greeting demo:of-another-user") == b"1) mine"
    assert peer.line() == b"2) mine\n"
    assert peer.ask(b"DBSIZE") == b"2"


def test_the_demo_runs_on_an_empty_server_sends_the_password_and_does_not_print_it(start_server: StartServer) -> None:
    server = start_with_http(start_server, KVLINE_PASSWORD=PASSWORD)
    completed = demo(server.http_url, password=PASSWORD)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert "Bearer $KVLINE_PASSWORD" in completed.stdout
    assert PASSWORD not in completed.stdout


@pytest.mark.parametrize("password", ["", "a-wrong-one"], ids=["none", "wrong"])
def test_a_missing_or_wrong_password_is_reported(start_server: StartServer, password: str) -> None:
    server = start_with_http(start_server, KVLINE_PASSWORD=PASSWORD)
    completed = demo(server.http_url, password=password)
    assert completed.returncode == 1
    assert "KVLINE_PASSWORD" in completed.stderr


@pytest.mark.parametrize("status", [200, 204, 404, 500])
def test_a_server_that_is_not_kvline_is_reported(status: int) -> None:
    with answering_always(status) as url:
        completed = demo(url)
    assert completed.returncode == 1
    assert "unexpected response: the status should be 20" in completed.stderr


def test_a_port_without_a_listener_is_reported() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        completed = demo(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert completed.returncode == 1
    assert "no response from http://127.0.0.1:" in completed.stderr


@pytest.mark.parametrize("args", [["127.0.0.1:9780"], ["--help"], ["http://127.0.0.1:9780", "more"]])
def test_invalid_arguments_print_the_usage(args: list[str]) -> None:
    completed = demo(*args)
    assert completed.returncode == 2
    assert completed.stderr.startswith("usage: scripts/demo.sh [URL]")
