"""``--stat``: one line a second about the load of the server."""

from __future__ import annotations

import time
from typing import TextIO

from client.conversation import Conversation
from client.tools.server_info import ServerInfo, format_bytes, read_info

HEADER = f"{'keys':>12} {'memory':>9} {'clients':>8} {'requests/s':>11} {'connections':>12} {'hit rate':>9}"
HEADER_INTERVAL = 20
"""Lines after which the header is printed again."""


def print_statistics(conversation: Conversation, output: TextIO, interval: float, repeat: int) -> int:
    """Print a line every ``interval`` seconds, ``repeat`` times, or without end if that is 0. Return the exit status.

    Raises as `client.tools.server_info.read_info`.
    """
    number = 0
    before = read_info(conversation)
    while not repeat or number < repeat:
        if number % HEADER_INTERVAL == 0:
            print(HEADER, file=output)
        time.sleep(interval)
        now = read_info(conversation)
        print(_line(before, now), file=output, flush=True)
        before = now
        number += 1
    return 0


def _line(before: ServerInfo, now: ServerInfo) -> str:
    rate = now.hit_rate(before)
    return (
        f"{now.keys:>12,.0f} {format_bytes(now.number('used_memory')):>9} {now.number('connected_clients'):>8,.0f} "
        f"{now.rate('total_commands_processed', before):>11,.0f} {now.number('total_connections_received'):>12,.0f} "
        f"{'-' if rate is None else f'{rate:.0%}':>9}"
    )
