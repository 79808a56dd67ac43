"""What a start of the client imports, because imports are most of it. `benchmarks/client.py` measures the time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.app import Server
from server.settings import Settings
from tests.harness.processes import ROOT, environment
from tests.harness.terminal import ENTER, Terminal
from tests.harness.waiting import TIMEOUT

MAX_COMMAND_MODULES = 100
"""One command imports 75 with Python 3.11."""

MAX_PROMPT_MODULES = 420
"""A prompt imports 348 with prompt_toolkit, and 116 without."""

PROGRAM = """
import sys
before = set(sys.modules)
from client.main import main
path = sys.argv.pop(1)
try:
    sys.exit(main())
finally:
    with open(path, "w") as file:
        print(*set(sys.modules) - before, file=file)
"""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with Server(Settings(ports=(0,))) as server:
        yield server.port


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "modules"


def test_one_command_imports_what_it_needs_alone(port: int, report: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, report, "-p", str(port), "PING"]
    ended = subprocess.run(
        command, capture_output=True, cwd=ROOT, env=environment(), timeout=TIMEOUT, check=True, stdin=subprocess.DEVNULL
    )
    assert ended.stdout == b"PONG\n"
    modules = set(report.read_text().split())
    assert len(modules) <= MAX_COMMAND_MODULES
    parts = {
        "client.batch.run",
        "client.editors",
        "client.history",
        "client.render.pretty",
        "client.shell",
        "client.tools",
    }
    optional = {"prompt_toolkit", "readline", "rich", "server", "textual"}
    slow = {"asyncio", "difflib", "json", "shlex", "ssl", "subprocess", "textwrap", "urllib"}
    assert modules.isdisjoint(parts | optional | slow)


@pytest.mark.parametrize("term", ["dumb", "xterm-256color"])
def test_a_prompt_imports_no_more_than_its_line_editor_needs(
    port: int, report: Path, tmp_path: Path, term: str
) -> None:
    pytest.importorskip("readline", reason="this Python has no readline module")
    variables = {"TERM": term, "PYTHONPATH": str(ROOT), "KVLINE_HISTORY": str(tmp_path / "history")}
    with Terminal(sys.executable, "-c", PROGRAM, str(report), "-p", str(port), **variables) as terminal:
        terminal.expect(f"127.0.0.1:{port}>")
        terminal.type("exit" + ENTER)
        assert terminal.exit_status() == 0
    modules = set(report.read_text().split())
    assert len(modules) <= MAX_PROMPT_MODULES
    assert modules.isdisjoint({"client.batch.run", "client.tools.run", "rich", "server", "textual"})
    assert ("prompt_toolkit" in modules) <= (term != "dumb")
