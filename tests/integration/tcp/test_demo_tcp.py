"""scripts/demo_tcp.sh and scripts/smoke.py run to their end, and fail at the first unexpected reply."""

from __future__ import annotations

import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import smoke
from scripts.demo_tcp import KvlineServer
from tests.harness.processes import ROOT, ServerProcess, environment
from tests.harness.waiting import TIMEOUT

PARTS = (
    "# Case 1: ",
    "# Case 2: ",
    "# Case 3: ",
    "# Case 4: ",
    "# Two clients at once",
    "# 8 clients at once",
    "# A client is killed inside MULTI",
    "# DISCONNECT closes the connection",
)


def demo(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    script = ROOT / "scripts" / "demo_tcp.sh"
    return subprocess.run(
        [script, *args], capture_output=True, text=True, cwd=cwd, env=environment(), timeout=TIMEOUT, check=False
    )


def test_the_demo_starts_a_server_and_runs_to_its_end(tmp_path: Path) -> None:
    ended = demo(cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [part for part in PARTS if part not in ended.stdout] == []
    assert ended.stdout.endswith("All replies were as expected.\n")


def test_the_demo_leaves_no_key_and_no_connection_on_a_running_server(server: ServerProcess) -> None:
    ended = demo(f"127.0.0.1:{server.port}")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert server.connect().ask(b"DBSIZE") == b"0"


def test_the_demo_refuses_a_server_that_has_keys(server: ServerProcess) -> None:
    peer = server.connect()
    assert peer.ask(b"SET key mine") == b"OK"
    ended = demo(str(server.port))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "\ndemo_tcp: the demonstration needs an empty server; DBSIZE replied '1\\n'\n"
    assert peer.ask(b"GET key") == b"mine"


@pytest.fixture
def wrong_server() -> Iterator[int]:
    """A server that replies 0 to everything. Yield its port."""

    class Zero(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for _ in self.rfile:
                self.wfile.write(b"0\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Zero) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(TIMEOUT)


def test_the_demo_fails_at_the_first_unexpected_reply(wrong_server: int) -> None:
    ended = demo(str(wrong_server))
    assert ended.returncode == 1
    assert ended.stderr == "\ndemo_tcp: the reply to 'SET key1 value1' should be 'OK', not '0\\n'\n"


def test_without_a_server_the_demo_fails_with_one_sentence() -> None:
    ended = demo("127.0.0.1:1")
    assert ended.returncode == 1
    assert ended.stderr.strip().startswith("demo_tcp: ")
    assert "Connection refused" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_smoke_test_succeeds_in_every_protocol() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "scripts.smoke"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        timeout=TIMEOUT,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    *parts, last = ended.stdout.splitlines()
    assert last == "Everything works."
    assert [part for part in parts if not part.endswith(" ok") and " skipped: " not in part] == []
    assert len(parts) == len(smoke.PARTS)


def test_the_smoke_test_fails_if_a_part_fails_and_runs_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(server: KvlineServer) -> None:
        smoke.check(b"-ERR", b"+OK")

    monkeypatch.setattr(smoke, "PARTS", {"broken": fail, "RESP": smoke.resp})
    assert smoke.main() == 1
    assert capsys.readouterr().out == (
        "broken       FAILED: AssertionError: expected b'+OK', got b'-ERR'\nRESP         ok\n1 of 2 parts failed.\n"
    )
