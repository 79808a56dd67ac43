"""A client in Python 2.7 works, as the README says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness.frame_client import FrameClient
from tests.harness.processes import ServerProcess
from tests.harness.waiting import TIMEOUT

CLIENT = Path(__file__).with_name("python2_client.py")
PLACES = [str(Path.home() / ".pyenv/versions/2.7.18/bin/python"), "python2"]
IS_2_7 = "import sys; sys.exit(sys.version_info[:2] != (2, 7))"


def python2() -> str:
    """Return the path of a Python 2.7, or skip the test."""
    for place in PLACES:
        program = shutil.which(place)
        if program is not None and subprocess.run([program, "-c", IS_2_7], check=False).returncode == 0:
            return program
    pytest.skip(f"there is no Python 2.7: neither {PLACES[0]} nor python2 on PATH")


def test_a_client_in_python_2_speaks_to_the_server(server: ServerProcess, client: FrameClient) -> None:
    done = subprocess.run(
        [python2(), CLIENT, str(server.port)], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "passed\n", "")
    assert client.get("by Python 2") == 2
