"""The settings of the password: the environment, a file, and the names that must agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.passwords import MAX_PASSWORD_SIZE, read_password_file
from server.settings import Settings, SettingsError, SettingsReader, with_password

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"hunter2", "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (b"hunter2\nsecond line\n", "hunter2"),
        (b"  two words \n", "  two words "),
        (b"\xef\xbb\xbfhunter2\r\n", "hunter2"),
        ("pässwörd\n".encode(), "pässwörd"),
        (b"\xff\xfe\n", "\udcff\udcfe"),
        (b"x" * MAX_PASSWORD_SIZE + b"\n", "x" * MAX_PASSWORD_SIZE),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_the_first_line_of_a_password_file_is_the_password(tmp_path: Path, content: bytes, password: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    assert read_password_file(str(path)) == password


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "has no password in its first line"),
        (b"\n", "has no password in its first line"),
        (b"\r\nhunter2\n", "has no password in its first line"),
        (b"hunter2" * 1000, "has a password of more than 2048 bytes in its first line"),
    ],
    ids=["empty", "an empty line", "an empty first line", "too long"],
)
def test_a_password_file_without_a_usable_password_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        with_password(Settings(password_file=str(path)))
    assert str(caught.value) == f"--password-file {path} {problem}"


def test_a_password_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path, problem in [(tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")]:
        with pytest.raises(SettingsError, match=f"can't be read: {problem}"):
            with_password(Settings(password_file=str(path)))
    with pytest.raises(SettingsError, match="can't be read: embedded null byte"):
        with_password(Settings(password_file="a\0b"))


def test_a_file_that_never_ends_is_not_read_to_its_end() -> None:
    with pytest.raises(SettingsError, match="more than 2048 bytes"):
        with_password(Settings(password_file="/dev/zero"))


def test_every_name_of_the_password_sets_it(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(f"{SECRET}\n")
    for settings in (Settings(password=SECRET), Settings(password_file=str(path)), Settings(http_token=SECRET)):
        assert with_password(settings).password == SECRET
    assert with_password(Settings(password=SECRET, password_file=str(path), http_token=SECRET)).password == SECRET
    assert with_password(Settings()).password == ""


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"password": "a", "http_token": "b"}, "--http-token is not the password of KVLINE_PASSWORD"),
        ({"password_file": "file", "http_token": "b"}, "--http-token is not the password of --password-file"),
        ({"password": "a", "password_file": "file"}, "--password-file is not the password of KVLINE_PASSWORD"),
    ],
    ids=str,
)
def test_two_passwords_that_differ_are_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, str], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("hunter2\n")
    with pytest.raises(SettingsError) as caught:
        with_password(Settings(**values))  # type: ignore[arg-type]
    assert str(caught.value) == f"{problem}; the server has one password for all protocols"


def test_the_environment_and_the_config_file_are_read(tmp_path: Path) -> None:
    config = tmp_path / "kvline.toml"
    config.write_text(f'password-file = "{tmp_path}/password"\n')
    settings = SettingsReader({"KVLINE_PASSWORD": SECRET, "KVLINE_CONFIG": str(config)}).read([])
    assert (settings.password, settings.password_file) == (SECRET, f"{tmp_path}/password")


def test_the_password_is_no_option_and_no_key_of_the_config_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "kvline.toml"
    config.write_text(f'password = "{SECRET}"\n')
    for arguments in (["--password", SECRET], [f"--password={SECRET}"], ["--config", str(config)]):
        with pytest.raises(SystemExit):
            SettingsReader({}).read(arguments)
    assert SECRET not in capsys.readouterr().err


def test_a_password_in_the_environment_that_is_too_long_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        SettingsReader({"KVLINE_PASSWORD": SECRET * 1000}).read([])
    assert "KVLINE_PASSWORD: a password has at most 2048 bytes" in (error := capsys.readouterr().err)
    assert SECRET not in error
