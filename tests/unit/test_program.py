"""The program's name, and advice that can be typed, for every way of starting and installing kvline."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

import common.program
from common.program import install_command, program_name, start_command

ROOT = Path(common.program.__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _started_by_a_plain_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test as ``/usr/bin/python3`` outside a virtual environment that pip may install into."""
    monkeypatch.delenv("KVLINE_PROGRAM", raising=False)
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    monkeypatch.setattr(os, "__file__", "/nowhere/os.py")
    monkeypatch.chdir(ROOT)


@pytest.fixture
def externally_managed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Mark the Python as one that its operating system manages."""
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    monkeypatch.setattr(os, "__file__", str(tmp_path / "os.py"))


@pytest.fixture
def installed(tmp_path: Path) -> ModuleType:
    """Return the module as a wheel carries it."""
    folder = tmp_path / "site-packages" / "kvline" / "common"
    folder.mkdir(parents=True)
    path = shutil.copy(ROOT / "common" / "program.py", folder)
    return load(path)


def load(path: str) -> ModuleType:
    """Load a copy of the module under its name in a wheel."""
    spec = importlib.util.spec_from_file_location("kvline.common.program", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------- a checkout


def test_a_start_script_gives_its_own_name_and_the_path_of_the_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KVLINE_PROGRAM", "run_client.sh")
    assert program_name("client") == "run_client.sh"
    assert start_command("server") == "./run_server.sh"
    monkeypatch.chdir(tmp_path)
    assert start_command("server") == str(ROOT / "run_server.sh")


def test_without_a_start_script_python_and_its_option_are_the_name() -> None:
    assert program_name("server") == "python3 -m server"
    assert start_command("server") == "python3 -m server"


def test_the_name_of_python_on_windows_has_no_suffix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/c/python.exe")
    assert program_name("client") == "python -m client"


def test_an_extra_of_a_checkout_is_installed_from_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert install_command("http") == '/usr/bin/python3 -m pip install ".[http]"'
    monkeypatch.chdir(tmp_path)
    assert install_command("http") == f'/usr/bin/python3 -m pip install "{ROOT}[http]"'


@pytest.mark.usefixtures("externally_managed")
def test_a_checkout_with_a_managed_python_gets_a_virtual_environment_that_its_scripts_use() -> None:
    assert install_command("http") == (
        '/usr/bin/python3 -m venv ./.venv && ./.venv/bin/python -m pip install ".[http]"'
    )


@pytest.mark.usefixtures("externally_managed")
def test_in_a_virtual_environment_of_a_managed_python_pip_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/home/me/my env")
    monkeypatch.setattr(sys, "executable", "/home/me/my env/bin/python")
    assert install_command("shell") == '"/home/me/my env/bin/python" -m pip install ".[shell]"'


# ---------------------------------------------------------------- a wheel


@pytest.mark.parametrize("suffix", ["", ".exe"])
def test_a_console_script_gives_its_own_name_and_that_of_the_other(
    installed: ModuleType, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(sys, "argv", [f"/usr/bin/kvline-client{suffix}"])
    assert installed.program_name("client") == "kvline-client"
    assert installed.start_command("server") == "kvline-server"


def test_a_module_of_a_wheel_is_named_with_its_option(installed: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/site-packages/kvline/__main__.py"])
    assert installed.program_name("server") == "python3 -m kvline server"
    assert installed.start_command("server") == "python3 -m kvline server"


def test_the_start_script_of_a_checkout_does_not_name_an_installed_program(
    installed: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVLINE_PROGRAM", "run_server.sh")
    monkeypatch.setattr(sys, "argv", ["/usr/bin/kvline-server"])
    assert installed.program_name("server") == "kvline-server"


def test_an_extra_of_a_wheel_is_installed_by_the_pip_of_its_python(installed: ModuleType) -> None:
    assert installed.install_command("proxy") == '/usr/bin/python3 -m pip install "kvline[proxy]"'


@pytest.mark.usefixtures("externally_managed")
def test_a_wheel_in_a_managed_python_gets_pipx(installed: ModuleType) -> None:
    assert installed.install_command("proxy") == 'pipx install "kvline[proxy]"'


@pytest.mark.parametrize(
    ("mark", "command"),
    [
        ("pipx_metadata.json", 'pipx runpip kvline install "kvline[http]"'),
        ("uv-receipt.toml", 'uv tool install "kvline[http]"'),
    ],
)
def test_the_tool_that_made_the_environment_installs_the_extra(
    installed: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mark: str, command: str
) -> None:
    (tmp_path / mark).touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert installed.install_command("http") == command
