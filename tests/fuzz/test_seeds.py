"""Every fuzz target holds its properties for its seeds, and `make fuzz` reports an input that violates one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import properties, targets
from tests.fuzz.engines import HYPOTHESIS, dictionary_entry, search
from tests.fuzz.targets import SEEDS, Target
from tests.harness.cases import case
from tests.harness.processes import ROOT, environment
from tests.harness.waiting import TIMEOUT


def load(name: str) -> Target:
    try:
        return targets.load(name)
    except ModuleNotFoundError as missing:
        pytest.skip(f"an extra is not installed: {missing}")


def fuzz(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", *args]
    return subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=TIMEOUT, check=False
    )


@pytest.mark.parametrize("name", targets.NAMES)
def test_a_seed_violates_no_property(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(properties, "MEMORY_SAMPLE", 1)
    target = load(name)
    for path in sorted(SEEDS.glob(f"{name}/*")):
        with case(path.name):
            target.check(path.read_bytes())


def test_every_target_has_seeds_and_every_seed_has_a_target() -> None:
    assert {path.name for path in SEEDS.iterdir()} == set(targets.NAMES)
    assert all(any(folder.iterdir()) for folder in SEEDS.iterdir())


def refuse_ff(data: bytes) -> None:
    if b"\xff" in data:
        raise ValueError("ff")


def test_a_failing_input_is_shrunk_and_written_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = search(Target("resp", refuse_ff, [b"GET \xff\xff"]), TIMEOUT, tmp_path / "failures")
    assert path is not None
    assert path.read_bytes() == b"\xff"
    error = capsys.readouterr().err
    assert "ValueError: ff" in error
    assert error.endswith(f"resp: failing input written to {path}\n")


def test_a_search_without_a_failing_input_ends_after_its_time(tmp_path: Path) -> None:
    assert search(Target("resp", lambda data: None, [b"*1\r\n"]), 0.01, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_the_command_runs_targets_and_names_them() -> None:
    done = fuzz("--seconds", "2", "--engine", HYPOTHESIS, "resp", "json_values")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "resp: 1 s, no failure\njson_values: 1 s, no failure\n"


def test_the_command_replays_an_input(tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(b"*1\r\n$4\r\nPING\r\n")
    done = fuzz("--replay", file, "resp")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_unknown_target_is_one_sentence_and_exit_status_2() -> None:
    done = fuzz("telnet")
    assert done.returncode == 2
    assert done.stderr.endswith("error: no such target: telnet\n")


def test_a_token_is_written_as_an_entry_of_libfuzzers_dictionary() -> None:
    assert re.fullmatch(r'"\\x61\\x0a\\x00\\xff"\n', dictionary_entry(b"a\n\0\xff"))
