"""Run redis-py's own tests against kvline: ``python -m scripts.redis_py_tests [OPTIONS OF PYTEST]``.

The tests are those of the source distribution of the version in requirements.txt. exclusions.toml lists the files that
are run, the tests that are not run, and the tests that are expected to fail, each with a reason. An expected failure
that does not occur fails the run, so the list stays true.

Several processes run the tests (`PROCESSES`), and each has a kvline of its own, because the tests use fixed keys.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.demo_tcp import own_server
from scripts.scratch_venv import PIP, scratch_venv

FOLDER = Path(__file__).parent
REQUIREMENTS = FOLDER / "requirements.txt"
PROCESSES = 4
"""More than there are cores, because most of the time is spent in time-outs that the tests wait for."""


def main() -> int:
    """Run the tests. Return the exit status of pytest."""
    try:
        python = scratch_venv("redis-py", REQUIREMENTS)
        suite = suite_of_redis_py(python)
    except subprocess.CalledProcessError as problem:
        print(f"redis_py_tests: {problem}", file=sys.stderr)
        return 1
    with TemporaryDirectory() as data, ExitStack() as stack:
        servers = [stack.enter_context(own_server("--data", f"{data}/{number}")) for number in range(PROCESSES)]
        return subprocess.run(
            [
                *(python, "-m", "pytest", "-p", "exclusions", "-p", "no:cacheprovider", "--quiet"),
                *("--override-ini", "addopts=", "--override-ini", "filterwarnings=default", "--tb", "short"),
                *("--numprocesses", str(PROCESSES), "--reruns", "2", "--timeout", "60"),
                *sys.argv[1:],
            ],
            cwd=suite,
            env=os.environ | {
                "PYTHONPATH": str(FOLDER),
                "PYTHONDONTWRITEBYTECODE": "1",
                "KVLINE_URLS": " ".join(server.url for server in servers),
            },
            check=False,
        ).returncode  # fmt: skip


def suite_of_redis_py(python: Path) -> Path:
    """Return the folder of redis-py's source distribution. Download it if it is not in the virtual environment yet."""
    version = re.search(r"^redis==(\S+)$", REQUIREMENTS.read_text(), re.MULTILINE)
    assert version, "requirements.txt pins redis"
    name = f"redis-{version[1]}"
    target = python.parents[1] / "suite"
    if not (target / name).exists():
        # Without dependencies: pip makes the metadata, and downloads what that needs.
        options = ("--no-deps", "--no-binary", "redis", "--dest", target)
        subprocess.run([python, *PIP, "download", *options, f"redis=={version[1]}"], check=True)
        with tarfile.open(target / f"{name}.tar.gz") as archive:
            archive.extractall(target, filter="data")
    return target / name


if __name__ == "__main__":
    sys.exit(main())
