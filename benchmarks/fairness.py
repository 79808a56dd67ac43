"""Latencies of paced readers while another client of the same server misbehaves or asks for much."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import socket
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from benchmarks.load import Sample
from benchmarks.readers import PACE, READERS, read_paced
from benchmarks.report import section, spread, table, times
from benchmarks.rounds import middle_half, progress, ratios
from benchmarks.servers import RunningServer, kvline
from benchmarks.sizes import Sizes
from benchmarks.wire import TIMEOUT, connect, encode, load_keys

MAX_RATIO = 2.0
"""The factor by which another client may increase the readers' 99th percentile."""

PIPELINE = 10_000
VALUE_SIZE = 1_000_000
SETTLE_TIME = 0.3

LAST, END = encode("ECHO", "end of the replies"), b"end of the replies\r\n"
"""A request after which all replies have arrived, and the end of its reply."""

HEADINGS = ("another client", "p50 ms", "p99 ms", "p99 of that alone", "middle half", "target")

Client = Callable[[socket.socket], None]


def _pipeline(connection: socket.socket) -> None:
    """Send pipelines of many GETs, and read all replies."""
    batch, expected = encode("GET", "absent") * PIPELINE, len(b"$-1\r\n") * PIPELINE
    while True:
        connection.sendall(batch)
        received = 0
        while received < expected:
            received += len(connection.recv(1 << 16))


def _unread(connection: socket.socket) -> None:
    """Ask for large values, and read none."""
    connection.sendall(encode("SET", "large", "x" * VALUE_SIZE))
    connection.settimeout(None)
    connection.sendall(encode("GET", "large") * PIPELINE)
    signal.pause()


def _byte_by_byte(connection: socket.socket) -> None:
    """Send a byte of a request per second."""
    while True:
        for byte in encode("GET", "absent"):
            connection.sendall(bytes([byte]))
            time.sleep(1)


def _monitor(connection: socket.socket) -> None:
    """Read what MONITOR shows."""
    connection.sendall(encode("MONITOR"))
    while connection.recv(1 << 16):
        pass


def _repeat(requests: bytes) -> Client:
    """Send requests whose replies are long, again and again."""

    def run(connection: socket.socket) -> None:
        while True:
            connection.sendall(requests + LAST)
            tail = b""
            while not tail.endswith(END):
                tail = tail[-len(END) :] + connection.recv(1 << 20)

    return run


ALONE = "none"
CLIENTS: Mapping[str, Client | None] = {
    ALONE: None,
    f"pipelines {PIPELINE:,} GETs": _pipeline,
    "does not read its replies": _unread,
    "sends a byte per second": _byte_by_byte,
    "MONITOR": _monitor,
    "KEYS *": _repeat(encode("KEYS", "*")),
    "COMPACT": _repeat(encode("COMPACT")),
    f"EXEC of {PIPELINE:,} INCRs": _repeat(encode("MULTI") + encode("INCR", "counter") * PIPELINE + encode("EXEC")),
}


def measure(sizes: Sizes) -> str:
    """Run the readers next to each client in turn, in several rounds. Return the table."""
    samples: dict[str, list[Sample]] = defaultdict(list)
    for number in range(sizes.neighbour_rounds):
        progress(f"fairness, round {number + 1} of {sizes.neighbour_rounds}")
        names = list(CLIENTS)
        for name in names if number % 2 == 0 else reversed(names):
            with kvline() as server:
                load_keys(server.port, sizes.fairness_keys)
                with _running(server, CLIENTS[name]):
                    samples[name].append(read_paced(server.port, sizes.fairness_keys, sizes.neighbour_seconds))
    rows = [_row(samples, name) for name in CLIENTS]
    readers = f"{READERS} readers send {PACE} GETs per second each. The server has {sizes.fairness_keys:,} keys."
    return section("Fairness", readers, table(HEADINGS, rows))


@contextmanager
def _running(server: RunningServer, client: Client | None) -> Iterator[None]:
    if client is None:
        yield
        return
    child = multiprocessing.Process(target=_serve, args=(server.port, client), daemon=True)
    child.start()
    try:
        time.sleep(SETTLE_TIME)
        yield
    finally:
        child.kill()
        child.join()


def _serve(port: int, client: Client) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends it
    with connect(port) as connection, contextlib.suppress(ConnectionError):
        connection.settimeout(TIMEOUT)
        client(connection)


def _row(samples: Mapping[str, list[Sample]], name: str) -> tuple[str, ...]:
    own, alone = samples[name], samples[ALONE]
    changes = ratios([each.p99 for each in own], [each.p99 for each in alone])
    change = statistics.median(changes)
    return (
        name,
        f"{statistics.median(sample.p50 for sample in own):.3f}",
        f"{statistics.median(sample.p99 for sample in own):.3f}",
        times(change),
        spread(*middle_half(changes)),
        "met" if change <= MAX_RATIO else "missed",
    )
