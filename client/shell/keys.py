"""The keys that the prompt completes: a bounded SCAN on a connection of its own."""

from __future__ import annotations

import time

from client.connection import ConnectionLost
from client.conversation import CannotConnect, Conversation, scan_keys
from common.resp_client import MalformedReply
from common.text import quote

MAX_KEYS = 100
"""Completions that are offered."""

MAX_PAGES = 20
PAGE_SIZE = b"500"
"""Pages of SCAN, and keys that the server looks at for each: 10,000 keys."""

MAX_SECONDS = 0.5
"""What Tab may take, also if the server does not reply."""

CACHE_SECONDS = 5.0
"""How long the keys of a prefix are completed without asking again."""

MAX_CACHED_PREFIXES = 100

_GLOB_CHARACTERS = {ord(character): f"\\{character}" for character in "\\*?[]"}


class KeyCompletions:
    """Finds keys by their beginning, in the keyspace of a conversation.

    The connection is not that of the conversation: at any time that may have an open transaction.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._found: dict[tuple[int, str], tuple[float, list[str]]] = {}

    def find(self, prefix: str) -> list[str]:
        """Return keys that begin so, as they are typed. Empty if the server cannot be asked."""
        database = self._conversation.protocol.login.database
        known = self._found.get((database, prefix))
        if known is None or time.monotonic() - known[0] > CACHE_SECONDS:
            if len(self._found) >= MAX_CACHED_PREFIXES:
                self._found.clear()
            known = self._found[database, prefix] = (time.monotonic(), self._scan(prefix))
        return known[1]

    def _scan(self, prefix: str) -> list[str]:
        pattern = prefix.translate(_GLOB_CHARACTERS).encode("utf-8", "surrogateescape") + b"*"
        found: list[str] = []
        deadline = time.monotonic() + MAX_SECONDS
        try:
            other = self._conversation.another(MAX_SECONDS)
        except (CannotConnect, ConnectionLost, MalformedReply):
            return []
        try:
            pages = scan_keys(other, b"MATCH", pattern, b"COUNT", PAGE_SIZE)
            for _, keys in zip(range(MAX_PAGES), pages, strict=False):
                # A key that needs quotes is not what was typed so far, unless nothing was.
                found += [key.decode() for key in keys if key and quote(key) == key]
                if len(found) >= MAX_KEYS or time.monotonic() > deadline:
                    break
        except (ConnectionLost, MalformedReply):  # also after a timeout
            pass
        finally:
            other.disconnect()
        return sorted(found)[:MAX_KEYS]
