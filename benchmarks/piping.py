"""A file of SET lines sent to kvline, with kvline's client and with redis-cli."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.load import tool
from benchmarks.report import section, table, thousands, times
from benchmarks.rounds import median_ratio, progress
from benchmarks.servers import ROOT, RunningServer, kvline
from benchmarks.sizes import Sizes
from benchmarks.wire import count_keys, flush_keys, key, value

OWN = "kvline client"
OTHER = "redis-cli"
PIPING_TIMEOUT = 600.0


def measure(sizes: Sizes) -> str:
    """Send the same file with both clients in turn. Return the table."""
    lines = sizes.piped_lines
    taken: dict[str, list[float]] = {OWN: [], OTHER: []}
    with tempfile.TemporaryDirectory() as folder, kvline() as server:
        file = Path(folder) / "sets"
        _write_lines(file, lines)
        commands = {
            OWN: [str(ROOT / "run_client.sh"), "--port", str(server.port)],
            OTHER: [tool("redis-cli"), "-p", str(server.port)],
        }
        for number in range(sizes.piping_rounds):
            progress(f"piping, round {number + 1} of {sizes.piping_rounds}")
            for name, command in commands.items():
                taken[name].append(_pipe(name, command, file, server, lines))
    rows = [
        (
            name,
            f"{(middle := statistics.median(each)):.2f}",
            thousands(lines / middle),
            times(_speed_ratio(taken, name)),
        )
        for name, each in taken.items()
    ]
    return section(
        "Piping",
        f"{thousands(lines)} lines `SET key value` from a file to kvline.",
        table(("client", "seconds", "lines/s", "speed of redis-cli"), rows),
    )


def _speed_ratio(taken: dict[str, list[float]], name: str) -> float:
    return median_ratio(taken[OTHER], taken[name])


def _write_lines(file: Path, lines: int) -> None:
    with file.open("w") as output:
        output.writelines(f"SET {key(number)} {value(number)}\n" for number in range(lines))


def _pipe(name: str, command: list[str], file: Path, server: RunningServer, lines: int) -> float:
    """Return the seconds that a client took. Raises `BenchmarkError` unless every key is set afterwards."""
    flush_keys(server.port)
    started = time.perf_counter()
    try:
        with file.open("rb") as source:
            done = subprocess.run(
                command,
                stdin=source,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=PIPING_TIMEOUT,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{name} did not send the lines in {PIPING_TIMEOUT:.0f} s") from None
    seconds = time.perf_counter() - started
    stored = count_keys(server.port, lines)
    if done.returncode != 0 or stored != lines:
        reason = done.stderr.decode(errors="replace").strip()[-200:]
        raise BenchmarkError(f"{name}: {stored} of {lines} keys are set, status {done.returncode} {reason}")
    return seconds
