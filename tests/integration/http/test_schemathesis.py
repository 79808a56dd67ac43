"""schemathesis sends requests that the OpenAPI document allows, and requests that it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from server.commands import COMMANDS
from tests.harness.http_wire import fetch, start_with_http
from tests.harness.processes import ROOT, StartServer, environment

SECONDS = 120
EXAMPLES = 25

CONFIG = Path(__file__).with_name("schemathesis.toml")
"""What differs from the defaults, with the reasons. All checks are made."""


def test_every_response_is_as_the_document_says(start_server: StartServer, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    server = start_with_http(start_server)
    options = ["--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES), "--seed", "1"]
    options += ["--exclude-path", "/subscribe"]  # its responses do not end
    options += ["--checks", "all", "--continue-on-failure", "--no-color"]
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            str(CONFIG),
            "run",
            f"{server.http_url}/openapi.json",
            *options,
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(SCHEMATHESIS_HOOKS="tests.integration.http.schemathesis_hooks", PYTHONPATH=str(ROOT)),
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Selected: 15/16\n  Tested: 15\n" in ran.stdout, ran.stdout
    server.check()
    figures = fetch("POST", server.http_url, json=["INFO", "commandstats"]).json()["result"]
    assert figures.count("cmdstat_") > len(COMMANDS) / 2, "the hooks have replaced the names of commands"
