"""A file of SET lines sent to a server, with kvline's client and with ``redis-cli --pipe``."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.load import tool
from benchmarks.report import section, table, thousands, times
from benchmarks.rounds import median_ratio, progress
from benchmarks.servers import ROOT, RunningServer, free_port, kvline, redis
from benchmarks.sizes import Sizes
from benchmarks.wire import count_keys, flush_keys, key, value

OWN = "kvline client"
OTHER = "redis-cli --pipe"
PIPING_TIMEOUT = 600.0


def measure(sizes: Sizes) -> str:
    """Send the same file to each server, with both clients in turn. Return the table."""
    lines = sizes.piped_lines
    resp_port = free_port()
    taken: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "sets"
        _write_lines(file, lines)
        own = stack.enter_context(kvline(options=["--resp-port", str(resp_port)]))
        # redis-cli --pipe reads RESP only. The replies to lines of text are RESP on this port, as they are in Redis.
        ports = {own: resp_port, (other := stack.enter_context(redis())): other.port}
        for number in range(sizes.piping_rounds):
            progress(f"piping, round {number + 1} of {sizes.piping_rounds}")
            for server, pipe_port in ports.items():
                commands = {
                    OWN: [str(ROOT / "run_client.sh"), "--port", str(server.port), "--quiet"],
                    OTHER: [tool("redis-cli"), "-p", str(pipe_port), "--pipe"],
                }
                for name, command in commands.items():
                    taken.setdefault((server.name, name), []).append(_pipe(name, command, file, server, lines))
    rows = [
        (
            server,
            name,
            f"{(middle := statistics.median(each)):.2f}",
            thousands(lines / middle),
            times(median_ratio(each, taken[server, OTHER])),
        )
        for (server, name), each in taken.items()
    ]
    return section(
        "Piping",
        f"{thousands(lines)} lines `SET key value` from a file.",
        table(("server", "client", "seconds", "lines/s", "time of redis-cli --pipe"), rows),
    )


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
