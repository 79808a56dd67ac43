"""How long a start of the client takes: one command, beside redis-cli and a bare Python, and a prompt."""

from __future__ import annotations

import os
import pty
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from benchmarks.errors import BenchmarkError
from benchmarks.load import tool
from benchmarks.report import section, table, times
from benchmarks.rounds import median_ratio, progress
from benchmarks.servers import ROOT, START_TIMEOUT, interpreter, kvline
from benchmarks.sizes import Sizes

RUN_CLIENT = str(ROOT / "run_client.sh")
BARE_PYTHON = "bare Python"
TERMINALS = {"prompt with prompt_toolkit": "xterm-256color", "prompt with readline": "dumb"}
"""The kind of terminal decides which line editor the client uses."""


def measure(sizes: Sizes) -> str:
    """Start each client in turn, many times. Return the table."""
    progress(f"{sizes.starts} starts of each client")
    taken: dict[str, list[Start]] = {}
    with kvline() as server, tempfile.TemporaryDirectory(prefix="kvline-") as cache:
        # Modules are compiled once, as they are for users, even if this program was told not to store what it compiles.
        variables = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": cache, "PYTHONPATH": str(ROOT)}
        address = ["-p", str(server.port)]
        prompt = f":{server.port}>".encode()
        starts: dict[str, Callable[[], None]] = {
            BARE_PYTHON: partial(_run, [interpreter(), "-c", "print('PONG')"], variables),
            "one command, `python -m client`": partial(
                _run, [interpreter(), "-m", "client", *address, "PING"], variables
            ),
            "one command, `run_client.sh`": partial(_run, [RUN_CLIENT, *address, "PING"], variables),
            "one command of redis-cli": partial(_run, [tool("redis-cli"), *address, "PING"], variables),
        }
        for name, terminal in TERMINALS.items():
            starts[name] = partial(_show_prompt, [RUN_CLIENT, *address], prompt, variables | {"TERM": terminal})
        for number in range(sizes.starts + 1):
            for name, start in starts.items():
                figures = _measure(start)
                if number > 0:  # the first start reads the files from disk and may compile them: it is not counted
                    taken.setdefault(name, []).append(figures)
    seconds = {name: [each.seconds for each in figures] for name, figures in taken.items()}
    cpu = {name: [each.cpu for each in figures] for name, figures in taken.items()}
    rows = [
        (
            name,
            f"{1000 * statistics.median(seconds[name]):.1f}",
            f"{1000 * min(seconds[name]):.1f}",
            f"{1000 * statistics.median(cpu[name]):.1f}",
            times(median_ratio(seconds[name], seconds[BARE_PYTHON])),
            times(median_ratio(cpu[name], cpu[BARE_PYTHON])),
        )
        for name in taken
    ]
    heads = ("start", "median ms", "fastest ms", "CPU ms", "of bare Python", "CPU of bare Python")
    return section("Start-up of the client", table(heads, rows))


class Start(NamedTuple):
    """The seconds of a start, and its CPU time."""

    seconds: float
    cpu: float


def _measure(start: Callable[[], None]) -> Start:
    began, cpu = time.perf_counter(), _cpu_of_children()
    start()
    return Start(time.perf_counter() - began, _cpu_of_children() - cpu)


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _run(command: list[str], variables: Mapping[str, str]) -> None:
    """Run a client to its end."""
    done = subprocess.run(
        command,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=START_TIMEOUT,
        check=False,
    )
    if done.stdout != b"PONG\n":
        raise BenchmarkError(f"{command[0]} replied {done.stdout[:200]!r} {done.stderr[-200:]!r}")


def _show_prompt(command: list[str], prompt: bytes, variables: Mapping[str, str]) -> None:
    """Start a client at a pseudo-terminal, and end it when it shows its prompt."""
    environment = os.environ | variables | {"KVLINE_HISTORY": os.devnull}
    child, descriptor = pty.fork()
    if child == 0:
        os.execve(command[0], command, environment)
    shown = b""
    try:
        with suppress(OSError):  # EIO: the client has ended
            while prompt not in shown:
                shown += os.read(descriptor, 65536)
    finally:
        os.close(descriptor)  # hangs up, which ends the client
        os.waitpid(child, 0)
    if prompt not in shown:
        raise BenchmarkError(f"{command[0]} showed no prompt: {shown[-200:]!r}")
