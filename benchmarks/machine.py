"""Describe the machine and the versions that were measured."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from benchmarks.load import tool
from benchmarks.report import section, table
from benchmarks.servers import ROOT, interpreter, redis_path

PYTHON_VERSION = "import platform; print(platform.python_implementation(), platform.python_version())"


def describe() -> str:
    """Return the description as Markdown."""
    rows = [
        ("CPU", _cpu_model()),
        ("cores", str(len(os.sched_getaffinity(0)))),
        ("system", f"{platform.system()} {platform.release()}"),
        ("Python of kvline", f"{_output(interpreter(), '-c', PYTHON_VERSION)}, {interpreter()}"),
        ("Redis", _output(redis_path(), "--version").split("v=")[-1].split()[0]),
        ("redis-benchmark", _output(tool("redis-benchmark"), "--version").split()[-1]),
        ("kvline", _output("git", "-C", str(ROOT), "describe", "--always", "--dirty") or "unknown"),
        ("load before", f"{os.getloadavg()[0]:.2f}"),
    ]
    return section("Machine", table(("what", "which"), rows))


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, model = line.partition(":")
        if name.strip() == "model name":
            return model.strip()
    return platform.machine()


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
