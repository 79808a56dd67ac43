"""``--bigkeys`` and ``--memkeys``: how many keys of each type there are, and which are the largest."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from client.conversation import Conversation, scan_keys
from client.tools.scan import scan_options
from common.codec import Args
from common.replies import SimpleString
from common.text import abbreviated, quote

_SIZES: dict[bytes, tuple[bytes, str]] = {
    b"string": (b"STRLEN", "bytes"),
    b"list": (b"LLEN", "elements"),
    b"set": (b"SCARD", "elements"),
    b"hash": (b"HLEN", "fields"),
    b"zset": (b"ZCARD", "elements"),
    b"stream": (b"XLEN", "entries"),
}
"""By type: the command for the size, and what it counts."""

SHOWN_BYTES = 60
"""Bytes of a key that are printed."""


@dataclass(slots=True)
class _Type:
    """The keys of one type."""

    keys: int = 0
    total: int = 0
    largest: int = -1
    largest_key: bytes = b""

    def add(self, key: bytes, size: int) -> None:
        self.keys += 1
        self.total += size
        if size > self.largest:
            self.largest, self.largest_key = size, key


def print_big_keys(conversation: Conversation, pattern: str | None, output: TextIO, *, memory: bool) -> int:
    """Print a table of the types. Return the exit status. Raises as `Conversation.exchange`.

    The size is that of the value in its own unit, or with ``memory`` what the server reports by MEMORY USAGE. Keys that
    disappear meanwhile are not counted.
    """
    types: dict[bytes, _Type] = {}
    scanned = 0
    try:
        for keys in scan_keys(conversation, *scan_options(pattern)):
            scanned += len(keys)
            for kind, key, size in _measure(conversation, keys, memory=memory):
                types.setdefault(kind, _Type()).add(key, size)
            if sys.stderr.isatty():
                print(f"\r{scanned:,} keys", end="", file=sys.stderr, flush=True)
    finally:
        if scanned and sys.stderr.isatty():
            print(file=sys.stderr)
        _print_table(types, output, memory=memory)  # after Ctrl-C too: of what has been scanned
    return 0


def _measure(conversation: Conversation, keys: Sequence[bytes], *, memory: bool) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield type, key and size."""
    kinds = conversation.call_all([[b"TYPE", key] for key in keys])
    found = [(kind.text, key) for kind, key in zip(kinds, keys, strict=True) if isinstance(kind, SimpleString)]
    requests: list[Args] = [
        [b"MEMORY", b"USAGE", key] if memory else [_SIZES.get(kind, (b"EXISTS", ""))[0], key] for kind, key in found
    ]
    for (kind, key), size in zip(found, conversation.call_all(requests), strict=True):
        if kind != b"none" and isinstance(size, int):
            yield kind, key, size


def _print_table(types: dict[bytes, _Type], output: TextIO, *, memory: bool) -> None:
    rows = [("type", "keys", "size", "average", "largest", "")]
    for kind, found in sorted(types.items(), key=lambda item: -item[1].total):
        unit = "bytes" if memory else _SIZES.get(kind, (b"", "keys"))[1]
        rows.append(
            (
                quote(kind).decode(errors="replace"),
                f"{found.keys:,}",
                f"{found.total:,} {unit}",
                f"{found.total / found.keys:,.1f}",
                f"{found.largest:,}",
                quote(abbreviated(found.largest_key, SHOWN_BYTES)).decode(errors="replace"),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for kind_, *numbers, key in rows:
        cells = (f"{number:>{width}}" for number, width in zip(numbers, widths[1:], strict=True))
        print(f"{kind_:{widths[0]}}  {'  '.join(cells)}  {key}".rstrip(), file=output)
