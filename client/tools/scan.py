"""``--scan``: print the keys of the keyspace, one a line."""

from __future__ import annotations

from typing import BinaryIO

from client.conversation import Conversation, scan_keys
from client.render.forms import Renderer, print_replies

PAGE_SIZE = b"1000"
"""Keys that the server looks at for a page."""


def scan_options(pattern: str | None) -> list[bytes]:
    """Return the options of SCAN for a pattern, or for all keys."""
    match = [] if pattern is None else [b"MATCH", pattern.encode("utf-8", "surrogateescape")]
    return [*match, b"COUNT", PAGE_SIZE]


def print_keys(conversation: Conversation, pattern: str | None, output: BinaryIO, render: Renderer) -> int:
    """Print the keys that match. Return the exit status. Raises as `Conversation.exchange`."""
    for keys in scan_keys(conversation, *scan_options(pattern)):
        print_replies(render, list(keys), output)
    return 0
