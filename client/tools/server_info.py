"""The reply to INFO as numbers, and what two of them say about the time in between."""

from __future__ import annotations

import re
import time

from client.conversation import Conversation, bytes_of, text_of
from client.tools import ToolFailed
from common.replies import ErrorReply, Reply
from common.text import without_controls

MAX_NUMBER = 1e18
"""Larger numbers of a reply are cut to this one, so that everything that is calculated from them is finite."""


class Refused(ToolFailed):
    """Raised if the server refuses a request of a tool."""


class ServerInfo:
    """What INFO replied at one point in time."""

    def __init__(self, reply: Reply) -> None:
        self.time = time.monotonic()
        # Over RESP2 the lines still have the ends that the server gave them.
        text = without_controls(bytes_of(reply).replace(b"\r\n", b"\n").decode(errors="replace"))
        self.fields = dict(re.findall(r"^(\w+):(.*)$", text, re.MULTILINE))
        self.keys = sum(_number(count) for count in re.findall(r"^db\d+:keys=(\d+)", text, re.MULTILINE))
        """The number of keys in all databases."""

    def number(self, name: str) -> float:
        """Return the value of a field; 0 if it is missing or no number."""
        return _number(self.fields.get(name, ""))

    def rate(self, name: str, before: ServerInfo) -> float:
        """Return by how much a counter has grown since then, per second; 0 if the server has reset it."""
        return max(0.0, self.number(name) - before.number(name)) / max(self.time - before.time, 0.001)

    def hit_rate(self, before: ServerInfo) -> float | None:
        """Return the part of the lookups since then that have found their key, from 0 to 1; None without lookups."""
        hits, misses = self.rate("keyspace_hits", before), self.rate("keyspace_misses", before)
        return hits / (hits + misses) if hits + misses else None


def read_info(conversation: Conversation) -> ServerInfo:
    """Send INFO. Raises `Refused`, and as `Conversation.exchange`."""
    info = ServerInfo(refuse_error("INFO", conversation.call(b"INFO")))
    if not info.fields:
        raise Refused("INFO failed: its reply has no fields")
    return info


def refuse_error(command: str, reply: Reply) -> Reply:
    """Return a reply that is no error. Raises `Refused` for one."""
    if isinstance(reply, ErrorReply):
        raise Refused(f"{command} failed: {text_of(reply)}")
    return reply


def format_bytes(size: float) -> str:
    """Format a number of bytes with a unit: 1.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.{0 if unit == 'B' else 1}f} {unit}"


def _number(text: str) -> float:
    return min(float(text), MAX_NUMBER) if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", text, re.ASCII) else 0.0
