"""The command line of the benchmarks: choose the measurements, run them one after another, print Markdown."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence

from benchmarks import compare, expiry, http, idle, machine, memory, piping, proxy, startup, throughput
from benchmarks.errors import BenchmarkError
from benchmarks.sizes import FULL, QUICK, Sizes

MEASUREMENTS: dict[str, Callable[[Sizes], str]] = {
    "throughput": throughput.measure,
    "memory": memory.measure,
    "startup": startup.measure,
    "piping": piping.measure,
    "idle": idle.measure,
    "expiry": expiry.measure,
    "http": http.measure,
    "proxy": proxy.measure,
}

HELP = """\
measurements:
  throughput   requests a second and latencies of kvline, Redis and fakeredis
  memory       resident memory per key, kvline beside Redis
  startup      time from the start of the process to the first answered PING, kvline beside Redis
  piping       a file of SET lines through kvline's client, and through redis-cli
  idle         throughput of kvline without and with many idle connections
  expiry       latencies of kvline while its keys expire, beside those while they stay
  proxy        kvline in front of a Redis, with and without its cache, beside the embedded store, redis-py and webdis
  http         the HTTP door beside a bare Starlette and webdis, and its load beside the TCP door
  compare REV  throughput of the current tree beside another git revision of kvline

Without any, all but compare are run. Tables go to standard output, progress to standard error.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; return the exit status."""
    parser = _parser()
    options = parser.parse_intermixed_args(arguments)
    sizes = QUICK if options.quick else FULL
    measurements = _chosen(parser, options.what)
    # A default SIGTERM would end this process without the `finally` that end the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        print(machine.describe(), flush=True)
        for measure in measurements:
            print(measure(sizes), flush=True)
    except BenchmarkError as problem:
        print(f"benchmarks: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure kvline beside Redis and fakeredis on loopback.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="*", metavar="measurement", help="one or more of those below (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="cut every count: shows that all of it runs, measures nothing"
    )
    return parser


def _chosen(parser: argparse.ArgumentParser, words: list[str]) -> list[Callable[[Sizes], str]]:
    """Return the measurements that the words name, or end the process with a usage error."""
    if words[:1] == ["compare"]:
        if len(words) != 2:
            parser.error("compare takes one git revision, and nothing beside it")
        return [lambda sizes: compare.measure(words[1], sizes)]
    for word in words:
        if word not in MEASUREMENTS:
            parser.error(f"no measurement is called {word!r}")
    return [MEASUREMENTS[word] for word in words or MEASUREMENTS]


if __name__ == "__main__":
    sys.exit(main())
