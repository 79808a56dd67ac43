"""``--stat``: one line a second about the load of the server."""

from __future__ import annotations

import re
import time
from typing import TextIO

from client.connection import ConnectionLost
from client.conversation import Conversation, text_of
from common.replies import ErrorReply

HEADER = f"{'keys':>12} {'memory':>9} {'clients':>8} {'requests/s':>11} {'connections':>12} {'hit rate':>9}"
HEADER_INTERVAL = 20
"""Lines after which the header is printed again."""


def print_statistics(conversation: Conversation, output: TextIO, interval: float, repeat: int) -> int:
    """Print a line every ``interval`` seconds, ``repeat`` times, or without end if that is 0. Return the exit status.

    Raises as `Conversation.exchange`.
    """
    number = 0
    before = _sample(conversation)
    while not repeat or number < repeat:
        if number % HEADER_INTERVAL == 0:
            print(HEADER, file=output)
        time.sleep(interval)
        now = _sample(conversation)
        print(_line(before, now), file=output, flush=True)
        before = now
        number += 1
    return 0


def _sample(conversation: Conversation) -> dict[str, float]:
    """Return the numbers of INFO, the time, and the number of keys in all databases."""
    reply = conversation.call(b"INFO")
    if isinstance(reply, ErrorReply):
        raise ConnectionLost(f"INFO failed: {text_of(reply)}")
    text = text_of(reply)
    numbers = {name: float(value) for name, value in re.findall(r"^(\w+):([0-9]+(?:\.[0-9]+)?)$", text, re.MULTILINE)}
    numbers["keys"] = sum(map(float, re.findall(r"^db\d+:keys=(\d+)", text, re.MULTILINE)))
    numbers["time"] = time.monotonic()
    return numbers


def _line(before: dict[str, float], now: dict[str, float]) -> str:
    def growth(name: str) -> float:
        return now.get(name, 0) - before.get(name, 0)

    requests = max(0, growth("total_commands_processed")) / max(growth("time"), 0.001)
    hits, misses = growth("keyspace_hits"), growth("keyspace_misses")
    rate = f"{hits / (hits + misses):.0%}" if hits + misses > 0 else "-"
    return (
        f"{now['keys']:>12,.0f} {_bytes(now.get('used_memory', 0)):>9} {now.get('connected_clients', 0):>8,.0f} "
        f"{requests:>11,.0f} {now.get('total_connections_received', 0):>12,.0f} {rate:>9}"
    )


def _bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.{0 if unit == 'B' else 1}f} {unit}"
