"""The current tree against another one of kvline, to find out whether a change made it slower."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.load import Case
from benchmarks.report import section, spread, table, thousands, times
from benchmarks.rounds import Samples, cpu_times, measure_in_turn, median_ratio, middle_half, rates, ratios
from benchmarks.servers import ROOT, kvline
from benchmarks.sizes import Sizes

SETTINGS = ((50, 1), (50, 16), (1, 1))
"""Connections, and commands in a pipeline."""

CASES = [Case(command, *setting) for setting in SETTINGS for command in ("SET", "GET", "INCR")]

MIN_RATIO = 0.97
"""The median ratio below which a change counts as a slowdown."""

RUN_SECONDS = 0.2
"""Seconds. The runs are shorter than elsewhere and there are more rounds, so that a disturbance affects few ratios."""

GIT_TIMEOUT = 60.0

HEADINGS = (
    "command",
    "connections",
    "-P",
    "before, req/s",
    "now, req/s",
    "now/before",
    "middle half",
    "CPU now/before",
    "verdict",
)


def measure(revision: str, sizes: Sizes) -> str:
    """Measure the current tree (with uncommitted changes) and another one in turn. Return the table.

    ``revision`` is a git revision, or the folder of a checkout, such as the one that `make compiled-test` compiles.
    """
    seconds = min(RUN_SECONDS, sizes.run_seconds)
    with _checked_out(revision) as tree:
        starters = (partial(kvline, tree, "before"), partial(kvline, ROOT, "now"))
        samples = measure_in_turn(starters, CASES, sizes.compare_rounds, seconds)
    rows = [_row(samples, case) for case in CASES]
    return section(f"The current tree against {revision}", table(HEADINGS, rows))


def _row(samples: Samples, case: Case) -> tuple[str, ...]:
    before, now = rates(samples["before", case]), rates(samples["now", case])
    changes = ratios(now, before)
    change = statistics.median(changes)
    low, high = middle_half(changes)
    return (
        case.command,
        str(case.connections),
        str(case.pipeline),
        thousands(statistics.median(before)),
        thousands(statistics.median(now)),
        times(change),
        spread(low, high),
        times(median_ratio(cpu_times(samples["now", case]), cpu_times(samples["before", case]))),
        _verdict(change, high),
    )


def _verdict(change: float, high: float) -> str:
    """Interpret a median ratio. A slowdown shows in most rounds, noise in about half of them."""
    if change >= MIN_RATIO:
        return "fine"
    return "slower" if high < 1 else "unclear: run again"


@contextmanager
def _checked_out(revision: str) -> Iterator[Path]:
    """Check out a revision into a temporary worktree, which is removed afterwards. Yield a folder as it is."""
    if (Path(revision) / "server").is_dir():
        yield Path(revision).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="kvline-") as folder:
        tree = Path(folder) / "tree"
        try:
            _git("worktree", "add", "--detach", str(tree), revision)
            yield tree
        finally:
            if tree.exists():
                _git("worktree", "remove", "--force", str(tree))


def _git(*args: str) -> None:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *args], capture_output=True, text=True, timeout=GIT_TIMEOUT, check=False
    )
    if done.returncode != 0:
        raise BenchmarkError(f"git {args[0]} {args[1]} failed: {done.stderr.strip()}")
