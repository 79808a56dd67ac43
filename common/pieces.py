"""The pieces in which large replies are encoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

PIECE_SIZE = 64 * 1024
"""Bytes per piece in which a large value or block of lines is encoded. Memory then does not depend on its size."""


def collected(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Join small parts to pieces of about `PIECE_SIZE` bytes."""
    piece: list[bytes] = []
    size = 0
    for part in parts:
        piece.append(part)
        size += len(part)
        if size >= PIECE_SIZE:
            yield b"".join(piece)
            piece.clear()
            size = 0
    if piece:
        yield b"".join(piece)
