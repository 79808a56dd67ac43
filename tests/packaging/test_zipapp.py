"""kvline.pyz: one file that contains both programs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common import __version__
from tests.harness.installation import copy_sources, run, succeed
from tests.harness.processes import ROOT
from tests.harness.waiting import TIMEOUT, wait_until


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the archive, in a folder of its own."""
    path = tmp_path_factory.mktemp("archive") / "kvline.pyz"
    succeed(sys.executable, ROOT / "packaging" / "archive.py", path)
    return path


def test_make_zipapp_writes_one_executable_file(tmp_path: Path) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    source = copy_sources(tmp_path)
    (source / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "find_python.sh", source / "scripts")
    shutil.copy(ROOT / "Makefile", source)
    before = {path.name for path in source.iterdir()}
    succeed(make, "zipapp", cwd=source)
    assert {path.name for path in source.iterdir()} - before == {"kvline.pyz"}
    assert os.access(source / "kvline.pyz", os.X_OK)
    assert succeed(source / "kvline.pyz", "--version") == f"kvline {__version__}\n"


def test_the_archive_serves_and_its_client_connects(archive: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, archive, "server", "--port", "0"]
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr) as process:
        try:
            wait_until(lambda: "listening on" in log.read_text(), "the server listens")
            (port,) = re.findall(r"^listening on 127\.0\.0\.1:(\d+)$", log.read_text(), re.MULTILINE)
            assert succeed(sys.executable, archive, "client", "--port", port, "SET", "k", "v") == "OK\n"
        finally:
            process.terminate()
            process.wait(TIMEOUT)
    assert process.returncode == 0


def test_the_archive_names_itself_and_gives_advice_that_works_there(archive: Path) -> None:
    assert succeed(sys.executable, archive, "client", "--help").startswith("usage: kvline.pyz client ")
    assert succeed(sys.executable, archive, "--help").startswith("usage: kvline.pyz server ")
    ended = run(sys.executable, archive, "client", "--port", "1", "PING")
    assert ended.stderr.endswith(f"Start one with {Path(sys.executable).name} {archive} server --port 1\n")
    ended = run(sys.executable, "-S", archive, "server", "--port", "0", "--http-port", "0")
    assert ended.returncode == 1
    assert re.search(r'install it with .+ "kvline\[http\]"\n$', ended.stderr)


def test_scripts_run_with_the_lua_files_of_the_archive(archive: Path) -> None:
    pytest.importorskip("lupa", reason="the extra scripts is not installed")
    script = "return cjson.encode({redis.call('PING').ok})"
    assert succeed(sys.executable, archive, "client", "--local", "--raw", "EVAL", script, "0") == '["PONG"]\n'


def test_exit_statuses_reach_the_shell(archive: Path) -> None:
    assert run(sys.executable, archive, "client", "--local", "GET").returncode == 1
    assert run(sys.executable, archive, "server", "--port", "x").returncode == 2
