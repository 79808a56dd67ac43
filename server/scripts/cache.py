"""The scripts that EVALSHA finds, by the SHA-1 of their text."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from common.limits import KIB, MIB
from server.scripts.header import Header

MAX_SCRIPTS = 10_000
"""Scripts that are kept. Redis 7.0 keeps all. Each takes some kilobytes of Lua's memory."""

MAX_SCRIPTS_SIZE = 32 * MIB
"""Bytes of the texts of these scripts."""

MAX_SCRIPT_SIZE = 256 * KIB
"""Bytes of the text of a script. To compile that takes a few seconds at worst, and usually 6 ms."""

MAX_QUICK_SIZE = 4 * KIB
"""Bytes of a text that is compiled with the keyspace lock, which takes up to a millisecond."""

DIGEST_LENGTH = 40
"""Bytes of the SHA-1 of a script, in hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Source:
    """A script that can be compiled fast."""

    digest: bytes
    header: Header
    code: bytes
    """Its text without the first line, or bytecode."""

    size: int
    """Bytes of the text."""

    @property
    def is_bytecode(self) -> bool:
        """Whether ``code`` was compiled before."""
        return self.size > MAX_QUICK_SIZE


@dataclass(frozen=True, slots=True)
class Script:
    """A compiled script."""

    source: Source
    function: Any


class ScriptCache:
    """The most recently used scripts. Its caller has the keyspace lock."""

    def __init__(self) -> None:
        self._scripts: OrderedDict[bytes, Script] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._scripts)

    @property
    def size(self) -> int:
        """The bytes of their texts."""
        return self._size

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._scripts

    def find_source(self, digest: bytes) -> Source | None:
        """Return the source of a script that is known, or None. Any thread may call this."""
        script = self._scripts.get(digest)
        return None if script is None else script.source

    def get(self, digest: bytes) -> Script | None:
        """Return a script, which counts as a use, or None."""
        script = self._scripts.get(digest)
        if script is not None:
            self._scripts.move_to_end(digest)
        return script

    def add(self, script: Script) -> None:
        """Add a script. Evict those that were not used for the longest time if there are too many."""
        self._scripts[script.source.digest] = script
        self._size += script.source.size
        while len(self._scripts) > MAX_SCRIPTS or (self._size > MAX_SCRIPTS_SIZE and len(self._scripts) > 1):
            self._evict()

    def evict_half(self) -> None:
        """Evict half of the scripts, those that were not used for the longest time."""
        for _ in range(len(self._scripts) // 2):
            self._evict()

    def _evict(self) -> None:
        _, evicted = self._scripts.popitem(last=False)
        self._size -= evicted.source.size

    def clear(self) -> None:
        """Remove all scripts."""
        self._scripts.clear()
        self._size = 0


def digest_of(text: bytes) -> bytes:
    """Return the SHA-1 of a text in lower case, which is the name of a script."""
    import hashlib  # noqa: PLC0415  # loads OpenSSL, which takes 2 ms and 4 MB. Most servers execute no scripts

    return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
