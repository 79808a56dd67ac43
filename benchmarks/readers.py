"""Readers, each a process of its own, that send GETs of random keys and take the time of each reply."""

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
from benchmarks.servers import RunningServer
from benchmarks.wire import TIMEOUT, connect, encode, key, value

READERS = 10
PACE = 100
"""Requests a second that a paced reader sends."""

LEAD = 1.0
"""Seconds that the readers' processes need until all of them are there."""

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
    """Requests a second, or 0 for the next as soon as a reply is there."""


def percentile(ascending: Sequence[float], percent: float) -> float:
    """Return the latency that so many per cent of the replies do not exceed."""
    return ascending[min(int(len(ascending) * percent / 100), len(ascending) - 1)]


@contextmanager
def off_the_core_of(server: RunningServer) -> Iterator[None]:
    """Keep this process, and what it starts meanwhile, off the core that the server runs on, where there is another."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores - os.sched_getaffinity(server.pid) or cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def read_all(plan: Plan) -> list[float]:
    """Run the readers and return the latencies that they saw, in seconds, ascending. Raises `BenchmarkError`."""
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
    """Run one reader's process; what it found comes over the pipe."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.Process(target=_report, args=(plan, number, sender), daemon=True)
    child.start()
    sender.close()
    try:
        yield receiver
    finally:
        child.kill()  # it has nothing to tidy up; and SIGTERM has a handler here, which it inherits and may not get to
        child.join()


def _report(plan: Plan, number: int, sender: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    try:
        sender.send(_read(plan, number))
    except (OSError, BenchmarkError) as problem:
        sender.send(problem)


def _read(plan: Plan, number: int) -> array[float]:
    """Be one reader: GET random keys, one command a round trip, and return the latencies in seconds."""
    chance = random.Random(number)
    latencies = array("d")
    pause = 1 / plan.pace if plan.pace else 0.0
    due = plan.start + number * pause / READERS
    end = plan.start + plan.seconds
    with connect(plan.port) as connection:
        _wait_until(due)
        while due < end:
            wanted = chance.randrange(plan.keys)
            request = encode("GET", key(wanted))
            began = _wait_until(due) if pause else time.perf_counter()
            connection.sendall(request)
            reply = connection.recv(REPLY_SIZE)
            done = time.perf_counter()
            if reply not in (MISS, f"$16\r\n{value(wanted)}\r\n".encode()):
                raise BenchmarkError(f"the answer to GET {key(wanted)} was {reply!r}")
            latencies.append(done - began)
            due = due + pause if pause else done
    return latencies


def _wait_until(due: float) -> float:
    """Wait for a moment, and return the time from which a request's latency counts.

    Where the reply before came late, that is the moment at which the request was due. If it were that at which it was
    sent, one long halt of the server would count as a single late reply.
    """
    left = due - time.perf_counter()
    if left <= 0:
        return due
    time.sleep(left)
    return time.perf_counter()
