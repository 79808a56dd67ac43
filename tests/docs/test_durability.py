"""A newcomer can follow docs/durability.md: start with --data, kill -9, and it is all there."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.harness.processes import ROOT, ServerProcess, StartServer, environment
from tests.harness.waiting import TIMEOUT

DOCUMENT = (ROOT / "docs" / "durability.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    _, _, rest = DOCUMENT.partition(f"\n## {name}\n")
    assert rest, f"the document has a section {name!r}"
    return rest.partition("\n## ")[0]


def shell(command: str, folder: Path) -> str:
    """Run a command in a folder. Return what it prints."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment(), capture_output=True, timeout=TIMEOUT, check=True
    )
    return done.stdout.decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder that looks like the checkout but may be written to."""
    if shutil.which("nc") is None:
        pytest.skip("nc is not installed")
    (tmp_path / "run_server.sh").symlink_to(ROOT / "run_server.sh")
    return tmp_path


def test_a_newcomer_finds_everything_after_a_kill(folder: Path, start_server: StartServer) -> None:
    server: ServerProcess | None = None
    printed = ""
    for line in re.findall(r"^    (.+)$", section("Try it"), re.MULTILINE):
        if line == "./run_server.sh --data ./data &":
            server = start_server("--port", "0", "--data", "./data", cwd=folder)
            continue
        assert server is not None
        if line == "kill -9 %1":
            server.signal(signal.SIGKILL)
            server.exit_status()
        else:
            printed = shell(line.replace("9736", str(server.port)), folder)
    expected = re.findall(r"`(SET \w+ \w+)`", section("Try it"))
    assert printed.splitlines() == expected == ["SET greeting hello", "SET visits 2"]
    (shows_log,) = re.findall(r"`(cat .+?)`", section("Try it"))
    assert "SET greeting hello\n" in shell(shows_log, folder)


def test_a_backup_of_a_running_server_can_be_checked_restored_and_sent(folder: Path, start_server: StartServer) -> None:
    server = start_server("--port", "0", "--data", "./data", cwd=folder)
    assert server.connect().ask(b"MSET a 1 b 2") == b"OK"
    (back_up,) = re.findall(r"\*\*Back up\*\*: `(.+?)`", DOCUMENT)
    assert shell(back_up, folder).endswith("the log is undamaged\n")
    restored = start_server("--port", "0", "--data", "./backup", cwd=folder)
    receiver = start_server("--port", "0")
    (send,) = re.findall(r"\*\*Send it to another kvline\*\*: `(.+?)`", DOCUMENT)
    shell(send.replace("9736", str(receiver.port)), folder)
    for each in (restored, receiver):
        assert each.connect().ask(b"MGET a b") == b"1) 1"


def test_the_table_of_info_names_the_fields_that_the_server_has(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("--port", "0", "--data", str(tmp_path / "data"))
    peer = server.connect()
    peer.send(b"INFO persistence\nQUIT\n")
    fields = set(re.findall(r"^(\w+):", peer.rest().decode(), re.MULTILINE))
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section("Commands and figures"), re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    always_0 = {"async_loading"}
    assert fields - always_0 == documented
