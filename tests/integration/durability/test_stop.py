"""A server with a durable log that is stopped, or whose directory is taken away."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.processes import ROOT, RUN_SERVER, environment
from tests.harness.waiting import TIMEOUT, wait_until
from tests.integration.durability.conftest import Start, ask_anew, compact, kill

MANY = 20_000


# ---------------------------------------------------------------- stop


@pytest.mark.parametrize("how", ["SHUTDOWN", "SHUTDOWN NOSAVE", "SHUTDOWN SAVE", "SIGTERM"])
@pytest.mark.parametrize("level", ["everysec", "no"])
def test_a_stopped_server_has_synced_everything(start: Start, tmp_path: Path, how: str, level: str) -> None:
    server = start("--fsync", level)
    peer = server.connect()
    assert peer.ask(b"MSET a 1 b 2") == b"OK"
    if how == "SIGTERM":
        server.signal(signal.SIGTERM)
    else:
        peer.send(how.encode() + b"\n")
        assert peer.rest() == b""
    assert server.exit_status() == 0
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert ("00000002.base" in names) == (how == "SHUTDOWN SAVE")
    log = max((tmp_path / "data").glob("*.log")).read_bytes()
    assert int(log.splitlines()[-1].split()[2]) >= log.rindex(b"# synced\n"), (
        "the last trailer says that everything before it is synced"
    )
    assert compact(start()) == b"SET a 1\nSET b 2\n"


def test_a_rewrite_is_abandoned_when_the_server_stops(start: Start, tmp_path: Path) -> None:
    server = start()
    peer = server.connect()
    peer.send(b"".join(b"SET key:%d x\n" % number for number in range(MANY)) + b"BGREWRITEAOF\nSET last 1\n")
    for _ in range(MANY + 2):
        peer.line()
    server.signal(signal.SIGTERM)
    assert server.exit_status() == 0
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert names in ({"lock", "00000001.log", "00000002.log"}, {"lock", "00000002.base", "00000002.log"})
    again = start().connect()
    assert [again.ask(each) for each in (b"DBSIZE", b"GET last")] == [b"20001", b"1"]


def test_a_signal_during_the_replay_stops_the_server_before_it_has_started(start: Start, tmp_path: Path) -> None:
    server = start()
    server.connect().ask(b"SET a 1")
    kill(server)
    # The signal is pending when the server sets up its handling, so it comes before the first record.
    program = (
        "import os, signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "from server.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    stopped = subprocess.run(
        [sys.executable, "-c", program, "--port", "0", "--data", str(tmp_path / "data")],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (stopped.returncode, stopped.stdout) == (0, "")
    assert stopped.stderr.endswith(" INFO SIGTERM: the server stops before it has started\n")
    assert stopped.stderr.count("\n") == 1
    assert compact(start()) == b"SET a 1\n"


# ---------------------------------------------------------------- the directory


@pytest.mark.parametrize("is_renamed", [True, False], ids=["renamed", "removed"])
def test_writes_are_refused_after_the_directory_was_taken_away(start: Start, tmp_path: Path, is_renamed: bool) -> None:
    server = start()
    assert ask_anew(server, b"SET a 1") == b"OK"
    if is_renamed:
        (tmp_path / "data").rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(tmp_path / "data")
    refused = b"(error) MISCONF Errors writing to the AOF file: No such file or directory"
    wait_until(lambda: ask_anew(server, b"SET b 2") == refused, "writes are refused")
    peer = server.connect()
    assert peer.ask(b"GET a") == b"1"
    if not is_renamed:
        (tmp_path / "data").mkdir()  # another server may lock it, so this one does not write there
        assert peer.ask(b"SET b 2") == refused
        return
    (tmp_path / "elsewhere").rename(tmp_path / "data")
    wait_until(lambda: peer.ask(b"SET b 3") == b"OK", "writes are accepted")
    kill(server)
    again = start().connect()
    assert again.ask(b"MGET a b") == b"1) 1"
    assert again.line() == b"2) 3\n"


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system, where that is allowed."""
    path = tmp_path / "data"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(path)], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def remount(path: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(path)], check=True)


def test_a_file_system_that_is_read_only_is_one_sentence_at_the_start(start: Start, mounted: Path) -> None:
    server = start()
    server.connect().ask(b"SET a 1")
    kill(server)
    remount(mounted, "ro")
    refused = subprocess.run(
        [RUN_SERVER, "--port", "0", "--data", str(mounted)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=TIMEOUT,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stderr == f"kvline can't start: can't use {mounted}: Read-only file system\n"
    checked = subprocess.run([RUN_SERVER, "--check", str(mounted)], env=environment(), timeout=TIMEOUT, check=False)
    assert checked.returncode == 0, "--check changes nothing"


# ---------------------------------------------------------------- damage


def test_the_advice_about_damage_has_a_line_of_its_own_for_each_command(start: Start, tmp_path: Path) -> None:
    server = start("--fsync", "always")
    peer = server.connect()
    peer.ask(b"SET a 1")
    peer.ask(b"SET b 2")
    kill(server)
    path = tmp_path / "data" / "00000001.log"
    path.write_bytes(path.read_bytes().replace(b"SET a 1", b"SET a 9"))
    refused = subprocess.run(
        [RUN_SERVER, "--port", "0", "--data", str(tmp_path / "data"), "--log-format", "json"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=TIMEOUT,
        check=False,
    )
    lines = [json.loads(line)["message"] for line in refused.stderr.splitlines()]
    assert lines[0].startswith(f"kvline can't start: {path} is damaged at byte ")
    commands = [line.strip() for line in lines if line.startswith(" ")]
    assert [command.partition(".sh ")[2] for command in commands] == [
        f"--check {tmp_path}/data",
        f"--data {tmp_path}/data --repair",
    ]
    for command in commands[:1]:
        checked = subprocess.run(command, shell=True, cwd=ROOT, env=environment(), timeout=TIMEOUT, check=False)
        assert checked.returncode == 1
