"""``--dump``: write the strings of any server in the form of COMPACT, which ``--file`` restores."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from client.connection import ConnectionLost
from client.conversation import Conversation, scan_keys, text_of
from client.tools.scan import scan_options
from common.codec import Args
from common.replies import ErrorReply, Reply
from common.text import command_line

STANDARD_OUTPUT = "-"

CHUNK_SIZE = 16 * 1024 * 1024
"""Bytes of values that are read by one transaction."""


def dump(conversation: Conversation, pattern: str | None, path: str, output: BinaryIO) -> int:
    """Write a SET for each string, with its expiry. Return the exit status: 1 if there were keys of other types.

    ``path`` gets the dump when it is complete, readable by its owner only. ``-`` means ``output``. A key and its expiry
    are read at one point in time, different keys at different times, as SCAN returns them. Raises `OSError`, and as
    `Conversation.exchange`.
    """
    if path == STANDARD_OUTPUT:
        written, skipped = _write(conversation, pattern, output)
        output.flush()
    else:
        partial = f"{path}.part"
        try:
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                written, skipped = _write(conversation, pattern, file)
                file.flush()
                # Else a power failure could leave an empty file in the place of an earlier dump.
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            if os.path.exists(partial):
                os.remove(partial)
            raise
    problem = f", {skipped:,} keys that are no strings were skipped" if skipped else ""
    print(f"kvline: {written:,} keys written{problem}", file=sys.stderr)
    return int(skipped > 0)


def _write(conversation: Conversation, pattern: str | None, file: BinaryIO) -> tuple[int, int]:
    """Return how many keys were written, and how many were skipped."""
    written = skipped = 0
    # PEXPIRETIME is new in Redis 7.
    command = b"PTTL" if isinstance(conversation.call(b"PEXPIRETIME", b""), ErrorReply) else b"PEXPIRETIME"
    for key, value, expiry in _pairs(conversation, pattern, command):
        if isinstance(value, bytes) and isinstance(expiry, int):
            options = [b"PXAT", b"%d" % expiry] if expiry >= 0 else []
            line = command_line([b"SET", key, value, *options])
            file.writelines([line] if isinstance(line, bytes) else line)
            file.write(b"\n")
            written += 1
        elif value is not None:  # not a key that has disappeared
            skipped += 1
    return written, skipped


def _pairs(
    conversation: Conversation, pattern: str | None, expiry_command: bytes
) -> Iterator[tuple[bytes, Reply, Reply]]:
    """Yield all keys as `_read` does, so many at a time that their values take about `CHUNK_SIZE` bytes."""
    for keys in scan_keys(conversation, *scan_options(pattern)):
        chunk: list[bytes] = []
        total = 0
        for key, size in zip(keys, conversation.call_all([[b"STRLEN", key] for key in keys]), strict=True):
            chunk.append(key)
            total += size if isinstance(size, int) else 0
            if total >= CHUNK_SIZE:
                yield from _read(conversation, expiry_command, chunk)
                chunk, total = [], 0
        yield from _read(conversation, expiry_command, chunk)


def _read(
    conversation: Conversation, expiry_command: bytes, keys: Sequence[bytes]
) -> Iterator[tuple[bytes, Reply, Reply]]:
    """Yield keys, their values and the points in time at which they expire (ms since the epoch; negative for never)."""
    if not keys:
        return
    requests: list[Args] = [[b"MULTI"]]
    for key in keys:
        requests += [[b"GET", key], [expiry_command, key]]
    now = round(time.time() * 1000)
    replies = conversation.call_all([*requests, [b"EXEC"]])[-1]
    if not isinstance(replies, list) or len(replies) != 2 * len(keys):
        raise ConnectionLost(f"the keys cannot be read: {text_of(replies)}")
    for key, value, expiry in zip(keys, replies[::2], replies[1::2], strict=True):
        is_left = expiry_command == b"PTTL" and isinstance(expiry, int) and expiry >= 0
        yield key, value, expiry + now if is_left and isinstance(expiry, int) else expiry
