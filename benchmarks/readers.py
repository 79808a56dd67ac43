"""Reader processes, which send GETs of random keys and measure the latency of each reply."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

from benchmarks.errors import BenchmarkError
from benchmarks.load import Sample
from benchmarks.servers import RunningServer
from benchmarks.wire import TIMEOUT, connect, encode, key, value

READERS = 10
PACE = 100
"""Requests per second of a paced reader."""

LEAD = 1.0
"""Seconds within which all reader processes have started."""

MISS = b"$-1\r\n"
REPLY_SIZE = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """What each reader does."""

    port: int
    keys: int
    start: float
    """By ``perf_counter``, which on Linux is the same clock in every process."""
    seconds: float
    pace: int
    """Requests per second. 0 means that each request is sent as soon as the previous reply has arrived."""


def percentile(ascending: Sequence[float], percent: float) -> float:
    """Return the latency that this percentage of the replies does not exceed."""
    return ascending[min(int(len(ascending) * percent / 100), len(ascending) - 1)]


def read_paced(port: int, keys: int, seconds: float) -> Sample:
    """Run paced readers of this number of keys. Raises `BenchmarkError`."""
    latencies = read_all(Plan(port, keys, time.perf_counter() + LEAD, seconds, PACE))
    p50, p99 = (1000 * percentile(latencies, percent) for percent in (50, 99))
    return Sample(len(latencies) / seconds, p50, p99)


@contextmanager
def off_the_core_of(server: RunningServer) -> Iterator[None]:
    """Keep this process, and processes that it starts, off the server's core if there is another."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores - os.sched_getaffinity(server.pid) or cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def read_all(plan: Plan) -> list[float]:
    """Run the readers. Return all latencies in seconds, ascending. Raises `BenchmarkError`."""
    latencies: list[float] = []
    with ExitStack() as stack:
        receivers = [stack.enter_context(_reader(plan, number)) for number in range(READERS)]
        deadline = plan.start + plan.seconds + TIMEOUT
        for receiver in receivers:
            if not receiver.poll(max(0.0, deadline - time.perf_counter())):
                raise BenchmarkError("a reader did not end")
            try:
                outcome = receiver.recv()
            except EOFError:
                raise BenchmarkError("a reader's process died") from None
            if isinstance(outcome, Exception):
                raise BenchmarkError(f"a reader failed: {outcome}")
            latencies += outcome
    return sorted(latencies)


@contextmanager
def _reader(plan: Plan, number: int) -> Iterator[Connection]:
    """Run one reader process. It sends its latencies, or an exception, over the pipe."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.Process(target=_report, args=(plan, number, sender), daemon=True)
    child.start()
    sender.close()
    try:
        yield receiver
    finally:
        child.kill()  # not SIGTERM: the child inherits this process's handler, which may not run while it is blocked
        child.join()


def _report(plan: Plan, number: int, sender: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends it
    try:
        sender.send(_read(plan, number))
    except (OSError, BenchmarkError) as problem:
        sender.send(problem)


def _read(plan: Plan, number: int) -> array[float]:
    """Send GETs of random keys, one command per round trip. Return the latencies in seconds."""
    generator = random.Random(number)
    latencies = array("d")
    pause = 1 / plan.pace if plan.pace else 0.0
    due = plan.start + number * pause / READERS
    end = plan.start + plan.seconds
    with connect(plan.port) as connection:
        _wait_until(due)
        while due < end:
            wanted = generator.randrange(plan.keys)
            request = encode("GET", key(wanted))
            started = _wait_until(due) if pause else time.perf_counter()
            connection.sendall(request)
            reply = connection.recv(REPLY_SIZE)
            done = time.perf_counter()
            if reply not in (MISS, f"$16\r\n{value(wanted)}\r\n".encode()):
                raise BenchmarkError(f"the reply to GET {key(wanted)} was {reply!r}")
            latencies.append(done - started)
            due = due + pause if pause else done
    return latencies


def _wait_until(due: float) -> float:
    """Wait until a request is due. Return the time from which its latency is measured.

    If the previous reply was late, that is the time at which the request was due, not the time at which it is sent.
    Otherwise one long pause of the server would count as a single late reply ("coordinated omission").
    """
    remaining = due - time.perf_counter()
    if remaining <= 0:
        return due
    time.sleep(remaining)
    return time.perf_counter()
