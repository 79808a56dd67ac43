"""The systemd unit and the config file in contrib/: they have only what the server has, and the unit is valid."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from configparser import ConfigParser

import pytest

from server.settings import SETTINGS, Settings, SettingsReader
from tests.harness.processes import ROOT
from tests.harness.waiting import TIMEOUT

UNIT = ROOT / "contrib" / "kvline.service"
CONFIG = ROOT / "contrib" / "kvline.toml"


def section(name: str) -> dict[str, str]:
    parser = ConfigParser(interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return dict(parser[name])


def test_the_unit_starts_a_program_of_the_project_with_options_that_it_has() -> None:
    program, *arguments = shlex.split(section("Service")["ExecStart"])
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert program.rpartition("/")[2] in scripts
    options = {entry.option for entry in SETTINGS}
    assert {argument for argument in arguments if argument.startswith("--")} <= options


def test_the_unit_gives_the_server_the_time_to_stop_that_the_documents_state() -> None:
    assert int(section("Service")["TimeoutStopSec"]) >= 10
    assert section("Service")["ExecReload"] == "/bin/kill -HUP $MAINPID"


def test_systemd_accepts_the_unit() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    verified = subprocess.run(
        ["systemd-analyze", "verify", UNIT], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    complaints = [line for line in verified.stderr.splitlines() if UNIT.name in line]
    # The program is not installed where the tests run.
    assert [line for line in complaints if "is not executable" not in line] == []


def test_the_config_file_has_the_defaults() -> None:
    assert SettingsReader({}).read(["--config", str(CONFIG)]) == Settings(config_file=str(CONFIG))


def test_the_commented_settings_are_valid(tmp_path: object) -> None:
    text = re.sub(r"^# ([a-z-]+ = )", r"\1", CONFIG.read_text(), flags=re.MULTILINE)
    path = f"{tmp_path}/kvline.toml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    settings = SettingsReader({}).read(["--config", path])
    assert (settings.http_port, settings.cache_ttl, settings.log_format) == (9780, 30.0, "json")
