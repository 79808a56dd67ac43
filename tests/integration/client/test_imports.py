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

COMMAND_MODULES = {
    "client.command_line",
    "client.connection",
    "client.conversation",
    "client.main",
    "client.options",
    "client.protocol",
    "client.render.forms",
    "client.settings",
    "client.single_command",
    "common.passwords",
    "common.pieces",
    "common.replies",
    "common.resp",
    "common.resp_client",
    "common.set_reply",
    "common.text",
}
"""The modules of kvline that one command needs."""

MAX_COMMAND_MODULES = 48
"""One command imports 40 with Python 3.11, those of the standard library included."""

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


@pytest.mark.parametrize("options", [[], ["--raw"], ["--csv", "-h", "127.0.0.1", "-r", "2", "-i", "0"]], ids=str)
def test_one_command_imports_what_it_needs_alone(port: int, report: Path, options: list[str]) -> None:
    command = [sys.executable, "-c", PROGRAM, report, "-p", str(port), *options, "PING"]
    ended = subprocess.run(
        command, capture_output=True, cwd=ROOT, env=environment(), timeout=TIMEOUT, check=True, stdin=subprocess.DEVNULL
    )
    assert b"PONG" in ended.stdout
    modules = set(report.read_text().split())
    assert len(modules) <= MAX_COMMAND_MODULES
    own = {name for name in modules if name.startswith(("client.", "common.", "server"))}
    assert own - {"client.render"} <= COMMAND_MODULES
    slow = {"argparse", "asyncio", "contextlib", "dataclasses", "inspect", "json", "logging", "re", "runpy"}
    assert modules.isdisjoint(slow | {"shlex", "ssl", "subprocess", "textwrap", "threading", "typing", "urllib"})


def test_the_start_script_does_not_import_runpy(port: int) -> None:
    command = [ROOT / "run_client.sh", "-p", str(port), "PING"]
    variables = environment() | {"PYTHONPROFILEIMPORTTIME": "1"}
    ended = subprocess.run(command, capture_output=True, env=variables, timeout=TIMEOUT, check=True)
    assert ended.stdout == b"PONG\n"
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.decode().splitlines()}
    assert "client.main" in imported
    assert imported.isdisjoint({"contextlib", "importlib.util", "re", "runpy", "typing"})


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
