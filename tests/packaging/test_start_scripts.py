"""run_server.sh, run_client.sh and make find a Python that is new enough, in every POSIX shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common import __version__
from tests.harness.processes import ROOT
from tests.harness.waiting import TIMEOUT

TOOLS = ("readlink",)
"""The programs besides a shell and Python that the scripts run."""

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"], "sh": ["sh"]}

FAKE = """\
#!/bin/sh
exec {real} -c 'import sys
sys.version_info, sys.executable = {version}, "{path}"
exec(sys.argv[-1])' "$@"
"""
"""A Python that reports another version to the code that is its last argument."""


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    """Return the command line of a shell, with its full path."""
    name, *options = SHELLS[request.param]
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return [path, *options]


class Checkout:
    """A copy of the project without a .venv, and a PATH that has the Pythons of a test and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "kvline"
        self._path = folder / "bin"
        self._path.mkdir()
        (self.root / "scripts").mkdir(parents=True)
        for name in ("client", "common", "server"):
            (self.root / name).symlink_to(ROOT / name)
        for name in ("run_server.sh", "run_client.sh", "scripts/find_python.sh", "Makefile"):
            shutil.copy(ROOT / name, self.root / name)
        for path in ROOT.glob("requirements*.txt"):
            shutil.copy(path, self.root)
        for tool in TOOLS:
            (self._path / tool).symlink_to(shutil.which(tool) or tool)

    def add_python(self, name: str, version: tuple[int, int, int] | None = None) -> Path:
        """Put a Python on the PATH: the real one, or one that reports a version."""
        path = self._path / name
        if version is None:
            path.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        else:
            path.write_text(FAKE.format(real=sys.executable, version=version, path=path))
        path.chmod(0o755)
        return path

    def add_broken_python(self, name: str) -> None:
        """Put a program on the PATH that does not run, like a shim of pyenv for a Python that is not active."""
        path = self._path / name
        path.write_text(f"#!/bin/sh\necho 'pyenv: {name}: command not found'\nexit 127\n")
        path.chmod(0o755)

    def add_link(self, name: str, target: Path) -> Path:
        """Put a link on the PATH to a Python that notes the arguments of each start. Return the path of the notes."""
        notes = target.with_suffix(".starts")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f'#!/bin/sh\necho "$*" >>{notes}\nexec {sys.executable} "$@"\n')
        target.chmod(0o755)
        (self._path / name).symlink_to(target)
        return notes

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder of the project with that PATH."""
        return subprocess.run(
            command,
            cwd=self.root,
            env={"PATH": str(self._path)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.mark.parametrize("script", ["./run_server.sh", "./run_client.sh"])
def test_a_python_that_is_too_old_is_reported_in_one_sentence(
    checkout: Checkout, shell: list[str], script: str
) -> None:
    old = checkout.add_python("python3", (3, 9, 2))
    ended = checkout.run(*shell, script, "--version")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"kvline needs Python 3.11 or later; this is 3.9.2 at {old}\n"


@pytest.mark.parametrize("script", ["./run_server.sh", "./run_client.sh"])
def test_a_missing_python_is_reported_in_one_sentence(checkout: Checkout, shell: list[str], script: str) -> None:
    ended = checkout.run(*shell, script, "--version")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "kvline needs Python 3.11 or later, and there is no Python on the PATH\n"


@pytest.mark.parametrize("shell", [["/bin/sh"]], ids=["sh"])
@pytest.mark.parametrize("name", ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python"])
def test_a_new_python_is_found_under_each_of_its_names(checkout: Checkout, shell: list[str], name: str) -> None:
    checkout.add_python("python3", (3, 9, 2))
    checkout.add_broken_python("python3.12")
    checkout.add_python(name)
    ended = checkout.run(*shell, "./run_server.sh", "--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"kvline {__version__}\n", "")


@pytest.mark.parametrize("script", ["./run_server.sh", "./run_client.sh"])
def test_a_link_to_a_file_with_a_version_in_its_name_is_not_started_to_ask_for_it(
    checkout: Checkout, shell: list[str], script: str, tmp_path: Path
) -> None:
    starts = checkout.add_link("python3", tmp_path / "elsewhere" / "python3.11")
    ended = checkout.run(*shell, script, "--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"kvline {__version__}\n", "")
    assert "sys.version_info" not in starts.read_text()


@pytest.mark.parametrize("target", ["python3.9", "python3.1", "python3", "shims/python3.12"])
def test_any_other_link_is_started_to_ask_for_its_version(checkout: Checkout, tmp_path: Path, target: str) -> None:
    starts = checkout.add_link("python3", tmp_path / "elsewhere" / target)
    assert checkout.run("/bin/sh", "./run_client.sh", "--version").returncode == 0
    assert "sys.version_info" in starts.read_text()


def test_a_script_that_is_started_by_a_link_finds_its_folder(checkout: Checkout, tmp_path: Path) -> None:
    checkout.add_python("python3")
    (tmp_path / "kv").symlink_to(checkout.root / "run_client.sh")
    ended = checkout.run("/bin/sh", str(tmp_path / "kv"), "--help")
    assert ended.stdout.startswith("usage: kv [OPTION ...]")


def test_both_programs_start_in_every_shell(checkout: Checkout, shell: list[str]) -> None:
    checkout.add_python("python3")
    ended = checkout.run(*shell, "./run_client.sh", "--local", "ECHO", "two words")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, '"two words"\n', "")
    assert checkout.run(*shell, "./run_server.sh", "--help").returncode == 0


def test_the_python_of_the_virtual_environment_comes_first(checkout: Checkout) -> None:
    checkout.add_python("python3", (3, 9, 2))
    folder = checkout.root / ".venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(checkout.add_python("its-own"))
    assert checkout.run("/bin/sh", "./run_server.sh", "--version").returncode == 0


def test_a_virtual_environment_whose_python_was_removed_is_ignored(checkout: Checkout) -> None:
    checkout.add_python("python3")
    folder = checkout.root / ".venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to("/nowhere/python3")
    assert checkout.run("/bin/sh", "./run_server.sh", "--version").returncode == 0


@pytest.mark.parametrize("options", [[], ["PYTHON=./old-python"]], ids=["from the PATH", "named"])
def test_make_reports_a_python_that_is_too_old_in_one_sentence(checkout: Checkout, options: list[str]) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    old = checkout.add_python("python3", (3, 9, 2))
    (checkout.root / "old-python").symlink_to(old)
    ended = checkout.run(make, "SHELL=/bin/sh", "lint", *options)
    assert ended.returncode == 2
    assert f"kvline needs Python 3.11 or later; this is 3.9.2 at {old}\n" in ended.stderr
    assert not (checkout.root / ".venv").exists()


def test_the_scripts_are_executable_and_name_the_posix_shell() -> None:
    for name in ("run_server.sh", "run_client.sh", "scripts/find_python.sh"):
        assert os.access(ROOT / name, os.X_OK)
        assert (ROOT / name).read_text().startswith("#!/bin/sh\n")


@pytest.mark.parametrize("module", ["server", "client"])
def test_a_module_that_an_old_python_starts_ends_with_one_sentence(module: str) -> None:
    code = (
        "import runpy, sys, typing; sys.version_info = (3, 9, 2, 'final', 0); sys.executable = 'here'; del typing.Self;"
        f"runpy.run_module({module!r}, run_name='__main__')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "kvline needs Python 3.11 or later; this is 3.9.2 at here\n"
