"""`History`: the file, its length, and its failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.history import HISTORY_LENGTH, History, history_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history"


def test_lines_are_appended_as_they_are_typed(path: Path) -> None:
    history = History(path)
    assert history.lines == []
    history.add("SET a 1")
    history.add("SET ключ \u2028")
    history.add("SET \udcff 2")
    assert path.read_bytes() == "SET a 1\nSET ключ \u2028\n".encode() + b"SET \xff 2\n"
    assert History(path).lines == history.lines == ["SET a 1", "SET ключ \u2028", "SET \udcff 2"]


def test_empty_and_repeated_lines_are_not_stored(path: Path) -> None:
    for _ in range(2):
        history = History(path)
        for line in ("", "PING", "PING", ""):
            history.add(line)
    assert path.read_text() == "PING\n"
    history.add("GET a")
    history.add("PING")
    assert path.read_text() == "PING\nGET a\nPING\n"


def test_two_clients_with_one_file_lose_no_lines(path: Path) -> None:
    one, other = History(path), History(path)
    one.add("SET a 1")
    other.add("SET b 2")
    one.close()
    other.close()
    assert History(path).lines == ["SET a 1", "SET b 2"]


def test_close_cuts_the_file_to_the_latest_lines(path: Path) -> None:
    history = History(path)
    for number in range(HISTORY_LENGTH + 5):
        history.add(f"GET {number}")
    history.close()
    assert path.read_text().splitlines() == [f"GET {number}" for number in range(5, HISTORY_LENGTH + 5)]
    assert History(path).lines == path.read_text().splitlines()


def test_only_the_latest_lines_are_loaded(path: Path) -> None:
    path.write_text("".join(f"GET {number}\n" for number in range(HISTORY_LENGTH + 1)))
    assert History(path).lines[0] == "GET 1"
    assert len(History(path).lines) == HISTORY_LENGTH


def test_only_the_owner_can_read_the_file(path: Path) -> None:
    History(path).add("AUTH secret")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_failure_to_write_is_reported_on_close(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "no such folder" / "history"
    history = History(path)
    history.add("PING")
    assert capsys.readouterr().err == ""
    history.close()
    assert capsys.readouterr().err == f"the history could not be saved to {path}: No such file or directory\n"


def test_close_prints_nothing_without_a_failure(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = History(path)
    history.add("PING")
    history.close()
    assert capsys.readouterr() == ("", "")


def test_the_path_is_set_by_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/user")
    monkeypatch.setenv("KVLINE_HISTORY", "")
    assert history_file() == Path("/home/user/.kvline_history")
    monkeypatch.setenv("KVLINE_HISTORY", "~/other")
    assert history_file() == Path("/home/user/other")
