"""The command line of the benchmarks: choose the measurements, run them one after another, print Markdown."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence

from benchmarks import (
    client,
    compare,
    durability,
    eviction,
    expiry,
    fairness,
    http,
    idle,
    machine,
    memory,
    piping,
    proxy,
    startup,
    throughput,
    tls,
)
from benchmarks.errors import BenchmarkError
from benchmarks.servers import INTERPRETER_VARIABLE
from benchmarks.sizes import FULL, QUICK, Sizes

MEASUREMENTS: dict[str, Callable[[Sizes], str]] = {
    "throughput": throughput.measure,
    "memory": memory.measure,
    "startup": startup.measure,
    "client": client.measure,
    "piping": piping.measure,
    "idle": idle.measure,
    "expiry": expiry.measure,
    "eviction": eviction.measure,
    "durability": durability.measure,
    "fairness": fairness.measure,
    "http": http.measure,
    "proxy": proxy.measure,
    "tls": tls.measure,
}

HELP = """\
measurements:
  throughput   requests per second and latencies of kvline, Redis and fakeredis
  memory       resident memory per key, kvline against Redis
  startup      time from the start of the process to the first reply to PING, kvline against Redis
  client       time of one command of the client beside redis-cli and Python, and until its prompt is shown
  piping       a file of SET lines to kvline and Redis, through kvline's client and through redis-cli --pipe
  idle         throughput of kvline without and with many idle connections
  expiry       latencies of kvline while its keys expire, against a server whose keys have no expiry
  eviction     hit rates of the eviction policies beside Redis, resident memory at the limit, and what a limit costs
  durability   SET without a log, synced each second and always, beside Redis's append-only file; start; rewriting
  fairness     latencies of kvline while another client misbehaves or asks for much
  proxy        kvline in front of a Redis, with and without its cache, against the embedded store, redis-py and webdis
  tls          kvline and Redis, with TLS and without
  http         the HTTP listener against a bare Starlette and webdis, and the TCP listener during load on HTTP
  compare REV  throughput of the current tree against another git revision of kvline, or a checkout in a folder

Without an argument, all but compare are run. Tables go to standard output, progress to standard error.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen measurements and return the exit status."""
    parser = _parser()
    options = parser.parse_intermixed_args(arguments)
    sizes = QUICK if options.quick else FULL
    measurements = _chosen(parser, options.what)
    if options.python:
        os.environ[INTERPRETER_VARIABLE] = options.python
    # The default action of SIGTERM would end this process without running the `finally` blocks that stop the servers.
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
        description="Measure kvline against Redis and fakeredis on loopback.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="*", metavar="measurement", help="one or more of the list below (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="reduce every count: shows that everything runs, the numbers mean nothing"
    )
    parser.add_argument(
        "--python", metavar="PATH", help="the interpreter that runs kvline's servers (default: that of this program)"
    )
    return parser


def _chosen(parser: argparse.ArgumentParser, names: list[str]) -> list[Callable[[Sizes], str]]:
    """Return the measurements with these names, or end the process with a usage error."""
    if names[:1] == ["compare"]:
        if len(names) != 2:
            parser.error("compare takes one git revision or folder and no other argument")
        return [lambda sizes: compare.measure(names[1], sizes)]
    for name in names:
        if name not in MEASUREMENTS:
            parser.error(f"unknown measurement: {name!r}")
    return [MEASUREMENTS[name] for name in names or MEASUREMENTS]


if __name__ == "__main__":
    sys.exit(main())
