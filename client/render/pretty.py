"""The form of replies for a person at a terminal: maps as pairs, aligned arrays, colours.

Nothing that a server sends controls the terminal: characters that are not printable are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from common.pieces import PIECE_SIZE
from common.replies import ErrorReply, Lines, Reply, SimpleString
from common.text import printable, quote, quote_always, quoted_pieces

RESET = b"\x1b[0m"
RED, GREEN, MAGENTA, CYAN, BLUE, DIM = b"\x1b[31m", b"\x1b[32m", b"\x1b[35m", b"\x1b[36m", b"\x1b[94m", b"\x1b[2m"


class Pretty:
    """A `client.render.forms.Renderer`. ``types`` prints the types of numbers, and quotes around all values."""

    def __init__(self, *, colours: bool = False, types: bool = False) -> None:
        self._colours = colours
        self._types = types

    def __call__(self, reply: Reply) -> Iterator[bytes]:
        if isinstance(reply, Lines):
            # An empty text is one empty line, so that a person sees that the reply has arrived.
            lines = self._lines(reply, b"")
            yield next(lines, b"")
            yield from lines
        else:
            yield from self._pieces(reply, b"")
        yield b"\n"

    def dim(self, text: bytes) -> bytes:
        """Return a remark of the client itself, in which everything is printable."""
        return self._coloured(DIM, printable(text))

    def error(self, text: bytes) -> bytes:
        """Return an error of the client itself, in which everything is printable."""
        return self._coloured(RED, b"kvline: " + printable(text))

    def _pieces(self, reply: Reply, margin: bytes) -> Iterator[bytes]:
        """Print a reply without its last line break. Lines after the first one begin with the margin."""
        if isinstance(reply, dict):
            yield from self._pairs(reply, margin)
        elif isinstance(reply, list):
            yield from self._items(reply, margin)
        elif isinstance(reply, Lines):
            yield from self._lines(reply, margin)
        elif isinstance(reply, bytes) and len(reply) > PIECE_SIZE:
            yield from quoted_pieces(reply)
        else:
            yield self._scalar(reply)

    def _scalar(self, reply: Reply) -> bytes:
        match reply:
            case bytes():
                return quote_always(reply) if self._types else quote(reply)
            case ErrorReply():
                return self._coloured(RED, b"(error) " + printable(reply.text))
            case SimpleString():
                return self._coloured(GREEN, printable(reply.text))
            case bool():
                return self._coloured(MAGENTA, b"(true)" if reply else b"(false)")
            case int():
                return self._coloured(CYAN, b"(integer) %d" % reply if self._types else b"%d" % reply)
            case float():
                return self._coloured(CYAN, b"(double) %.17g" % reply if self._types else b"%.17g" % reply)
            case _:
                return self._coloured(DIM, b"(nil)")

    def _items(self, items: list[Reply], margin: bytes) -> Iterator[bytes]:
        if not items:
            yield self._coloured(DIM, b"(empty)")
            return
        width = len(str(len(items)))
        indented = margin + b" " * (width + 2)
        for number, item in enumerate(items, 1):
            if number > 1:
                yield b"\n" + margin
            # A nested array begins on the line of its own label, as in redis-cli: "1) 1) a".
            yield self._coloured(DIM, b"%*d)" % (width, number)) + b" "
            yield from self._pieces(item, indented)

    def _pairs(self, pairs: dict[bytes, Reply], margin: bytes) -> Iterator[bytes]:
        if not pairs:
            yield self._coloured(DIM, b"(empty)")
            return
        lead = b""
        for key, value in pairs.items():
            yield lead + self._coloured(BLUE, quote(key)) + self._coloured(DIM, b" =>")
            lead = b"\n" + margin
            if isinstance(value, list | dict) and value:
                yield b"\n" + margin + b"  "
                yield from self._pieces(value, margin + b"  ")
            else:
                yield b" "
                yield from self._pieces(value, margin + b"  ")

    def _lines(self, reply: Lines, margin: bytes) -> Iterator[bytes]:
        lead = b""
        for line in reply.lines:
            yield lead
            pieces: Iterable[bytes] = [line] if isinstance(line, bytes) else line
            for piece in pieces:
                # Tabs are the only control characters that a text may have without harm.
                yield b"\t".join(map(printable, piece.split(b"\t")))
            lead = b"\n" + margin

    def _coloured(self, colour: bytes, text: bytes) -> bytes:
        return colour + text + RESET if self._colours else text
