"""What the sweeper costs those who read while a million keys expire, beside a server whose keys stay."""

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
from benchmarks.memory import MIB, resident
from benchmarks.report import section, table, thousands
from benchmarks.rounds import progress
from benchmarks.servers import RunningServer, kvline
from benchmarks.sizes import Sizes
from benchmarks.wire import TIMEOUT, connect, database_size, encode, key, load_keys, value

READERS = 10
PACE = 100
"""Requests a second that a paced reader sends."""

ALLOWED = 0.020
"""Seconds by which the sweeper may make the 99th percentile later."""

REST = 2.0
"""Seconds that the sweeper gets after the last key expired, before it is looked at what it left."""

MISS = b"$-1\r\n"
REPLY_SIZE = 64

LATENCY_HEADINGS = ("readers", "keys", "GETs/s", "p50 ms", "p99 ms", "p99.9 ms", "maximum ms", "demand")
MEMORY_HEADINGS = ("readers", "keys", "MiB empty", "MiB loaded", "MiB at the end", "DBSIZE then", "it took ms")


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
    cores: frozenset[int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run measured."""

    latencies: Sequence[float]
    """In seconds, ascending."""
    resident: tuple[int, int, int]
    """Bytes of the server's memory: empty, loaded, and after the readers and a rest."""
    left: int
    """The keys that DBSIZE says are there in the end."""
    counting: float
    """The seconds that this DBSIZE took. It removes what the sweeper left, so that shows here."""

    def percentile(self, percent: float) -> float:
        """Return the latency that so many per cent of the replies do not exceed."""
        return self.latencies[min(int(len(self.latencies) * percent / 100), len(self.latencies) - 1)]


def measure(sizes: Sizes) -> str:
    """Read from a server whose keys stay and from one whose keys expire, paced and as fast as it goes."""
    latencies, memory = [], []
    for pace, readers in ((PACE, f"{PACE} GETs/s each"), (0, "unpaced")):
        staying, expiring = (_run(sizes, pace, expire=expire) for expire in (False, True))
        verdict = _verdict(staying.percentile(99), expiring.percentile(99))
        for keys, outcome, demand in (("stay", staying, "–"), ("expire", expiring, verdict)):
            latencies.append((readers, keys, *_latency_cells(outcome, sizes.expiry_seconds), demand))
            memory.append((readers, keys, *_memory_cells(outcome)))
    return section(
        "Expiry",
        f"{thousands(sizes.expiry_keys)} keys, which stay, or expire spread evenly over the "
        f"{sizes.expiry_seconds:.0f} s in which {READERS} readers send GET.",
        table(LATENCY_HEADINGS, latencies),
        table(MEMORY_HEADINGS, memory),
    )


def _verdict(staying: float, expiring: float) -> str:
    """Say whether the sweeper is quick enough, unless the machine is too noisy to tell."""
    if expiring <= ALLOWED:
        return "met"
    if staying > ALLOWED:
        return "unclear: run again"
    return "met" if expiring - staying <= ALLOWED else "missed"


def _latency_cells(outcome: Outcome, seconds: float) -> list[str]:
    shown = [outcome.percentile(percent) for percent in (50, 99, 99.9, 100)]
    return [thousands(len(outcome.latencies) / seconds), *(f"{1000 * latency:.3f}" for latency in shown)]


def _memory_cells(outcome: Outcome) -> list[str]:
    sizes = [f"{size / MIB:.1f}" for size in outcome.resident]
    return [*sizes, thousands(outcome.left), f"{1000 * outcome.counting:.1f}"]


def _run(sizes: Sizes, pace: int, *, expire: bool) -> Outcome:
    """Load a new server and read from it; check that the keys that expire are gone in the end, and no others."""
    keys, seconds = sizes.expiry_keys, sizes.expiry_seconds
    progress(f"{thousands(keys)} keys that {'expire' if expire else 'stay'}, readers {'paced' if pace else 'unpaced'}")
    with kvline() as server:
        empty = resident(server.pid)
        start = time.perf_counter() + sizes.expiry_lead
        _load(server, keys, (start, seconds) if expire else None)
        if time.perf_counter() > start:
            raise BenchmarkError(f"loading {thousands(keys)} keys took more than its {sizes.expiry_lead:.0f} s")
        if not expire:
            start = time.perf_counter() + 1  # the readers' processes need a moment
        loaded = resident(server.pid)
        latencies = _read_all(Plan(server.port, keys, start, seconds, pace, _other_cores(server)))
        time.sleep(REST)
        end = resident(server.pid)
        asked = time.perf_counter()
        left = database_size(server.port)
        counting = time.perf_counter() - asked
    if left != (0 if expire else keys):
        raise BenchmarkError(f"{left} keys are left in the end, of {keys} that {'expire' if expire else 'stay'}")
    return Outcome(sorted(latencies), (empty, loaded, end), left, counting)


def _load(server: RunningServer, keys: int, expiry: tuple[float, float] | None) -> None:
    """Set the keys; with an expiry, each to be gone at some moment within so many seconds from its start."""
    if expiry is None:
        load_keys(server.port, keys)
        return
    start, seconds = expiry
    chance = random.Random(0)  # by chance, as neighbours in the table seldom expire together

    def options(_: int) -> tuple[str, str]:
        deadline = start + chance.random() * seconds
        return "PX", str(max(1, int(1000 * (deadline - time.perf_counter()))))

    load_keys(server.port, keys, options)


def _other_cores(server: RunningServer) -> frozenset[int]:
    """Return the cores that the server does not run on; all of them, if it runs on all."""
    cores = os.sched_getaffinity(0)
    return frozenset(cores - os.sched_getaffinity(server.pid) or cores)


def _read_all(plan: Plan) -> list[float]:
    """Run the readers, each a process of its own, and return the latencies that they saw."""
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
    return latencies


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
    os.sched_setaffinity(0, plan.cores)
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
