"""The package tree: the imports of the copies name the package that contains them, and nothing else changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from runpy import run_path

import pytest

from tests.harness.processes import ROOT
from tests.harness.waiting import TIMEOUT

with_package = run_path(str(ROOT / "packaging" / "tree.py"))["with_package"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from common import limits", "from kvline.common import limits"),
        ("from server.app import Server", "from kvline.server.app import Server"),
        ("import common as _c", "import kvline.common as _c"),
        ("import server.app as app", "import kvline.server.app as app"),
        ("def f():\n    from client.shell import x; x()\n", "def f():\n    from kvline.client.shell import x; x()\n"),
        ("é = 1; from common import a", "é = 1; from kvline.common import a"),
        ("from common.a import (\n    b,\n    c,\n)\n", "from kvline.common.a import (\n    b,\n    c,\n)\n"),
        ("from  common import a\r\n", "from  kvline.common import a\r\n"),
    ],
)
def test_imports_of_carried_packages_get_the_prefix(source: str, expected: str) -> None:
    assert with_package(source.encode()) == expected.encode()


@pytest.mark.parametrize(
    "source",
    [
        "from commonplace import a",
        "import serverless.app",
        "from . import common",
        "from .server import a",
        "x = 'from common import a'",
        "# from common import a",
        '"""\nfrom common import a\n"""',
        "server = 1",
        "from kvline.common import a",
    ],
)
def test_nothing_else_changes(source: str) -> None:
    assert with_package(source.encode()) == source.encode()


@pytest.mark.parametrize("source", ["import server", "import server.app", "import os, common as c"])
def test_an_import_that_binds_the_name_of_a_carried_package_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="line 1: import kvline's own packages with `from`"):
        with_package(source.encode())


def test_the_tree_runs_with_nothing_but_python(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    write = [sys.executable, "-S", "-E", ROOT / "packaging" / "tree.py", tmp_path]
    subprocess.run(write, check=True, timeout=TIMEOUT)
    assert [path.name for path in tmp_path.iterdir()] == ["kvline"]
    assert list(tmp_path.rglob("__pycache__")) == []
    client = [sys.executable, "-S", "-E", "-m", "kvline", "client", "--local", "PING"]
    ended = subprocess.run(client, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "PONG\n", "")
