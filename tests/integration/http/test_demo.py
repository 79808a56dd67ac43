"""The walk of scripts/demo.sh goes to its end, and ends where an answer is not as it should be."""

from __future__ import annotations

import shutil
import socket
import subprocess

import pytest

from tests.harness.other_http_server import answering_always
from tests.harness.processes import ROOT, ServerProcess, StartServer, environment
from tests.harness.waiting import TIMEOUT

DEMO = ROOT / "scripts" / "demo.sh"
TOKEN = "a-token-of-the-test"


def demo(*args: str, token: str = "") -> subprocess.CompletedProcess[str]:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    return subprocess.run(
        [DEMO, *args],
        capture_output=True,
        text=True,
        env=environment(KVLINE_HTTP_TOKEN=token),
        timeout=TIMEOUT,
        check=False,
    )


def start_with_http(start_server: StartServer, *options: str) -> ServerProcess:
    pytest.importorskip("httptools", reason="the extra http is not installed")
    return start_server("--port", "0", "--http-port", "0", *options, ports=2)


def test_the_walk_goes_to_its_end_and_leaves_the_store_as_it_was(start_server: StartServer) -> None:
    server = start_with_http(start_server)
    person = server.connect()
    for key in (b"greeting", b"demo:of-somebody-else"):
        assert person.ask(b"SET " + key + b" mine") == b"OK"
    walked = demo(server.http_url)
    assert walked.returncode == 0, walked.stdout + walked.stderr
    assert walked.stderr == ""
    assert "responses were as expected" in walked.stdout
    assert person.ask(b"MGET greeting demo:of-somebody-else") == b"1) mine"
    assert person.line() == b"2) mine\n"
    assert person.ask(b"DBSIZE") == b"2"


def test_what_an_earlier_walk_left_is_in_nobodys_way(start_server: StartServer) -> None:
    server = start_with_http(start_server)
    assert server.connect().ask(b"SET demo:greeting left") == b"OK"
    walked = demo(server.http_url)
    assert walked.returncode == 0, walked.stdout + walked.stderr


def test_the_walk_sends_the_token_and_does_not_show_it(start_server: StartServer) -> None:
    server = start_with_http(start_server, "--http-token", TOKEN)
    walked = demo(server.http_url, token=TOKEN)
    assert walked.returncode == 0, walked.stdout + walked.stderr
    assert "Bearer $KVLINE_HTTP_TOKEN" in walked.stdout
    assert TOKEN not in walked.stdout


@pytest.mark.parametrize("token", ["", "a-wrong-one"], ids=["none", "wrong"])
def test_a_token_that_is_missing_or_wrong_is_told_so(start_server: StartServer, token: str) -> None:
    server = start_with_http(start_server, "--http-token", TOKEN)
    walked = demo(server.http_url, token=token)
    assert walked.returncode == 1
    assert "KVLINE_HTTP_TOKEN" in walked.stderr


@pytest.mark.parametrize("status", [200, 204, 404, 500])
def test_a_server_that_is_not_kvline_is_noticed(status: int) -> None:
    with answering_always(status) as url:
        walked = demo(url)
    assert walked.returncode == 1
    assert "unexpected response: the status should be 20" in walked.stderr


def test_a_port_where_nothing_listens_is_noticed() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        walked = demo(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert walked.returncode == 1
    assert "no response from http://127.0.0.1:" in walked.stderr


@pytest.mark.parametrize("args", [["127.0.0.1:9780"], ["--help"], ["http://127.0.0.1:9780", "more"]])
def test_other_words_are_answered_with_the_usage(args: list[str]) -> None:
    walked = demo(*args)
    assert walked.returncode == 2
    assert walked.stderr.startswith("usage: scripts/demo.sh [URL]")
