"""Encode the lines of a batch.

Most lines have no quotes, and many in succession have the same number of arguments. Such lines are encoded together,
column by column, which takes a fifth of the time of encoding them one by one.
"""

from __future__ import annotations

from client.lines import encode_line
from client.protocol import SPECIAL_COMMANDS, ClientProtocol
from common.resp import CRLF, bulk_header
from common.resp_client import encode_request

_NEEDS_PARSING = (b'"', b"'", b"\t", b"\r", b"\n#")
"""What a piece of the input must not contain to be split at its spaces."""


class BatchEncoder:
    """Turns pieces of the input into requests. Lines before ``first_line`` are skipped."""

    def __init__(self, protocol: ClientProtocol, first_line: int = 1) -> None:
        self.line = 0
        """The number of lines that have been read."""
        self._protocol = protocol
        self._first_line = first_line
        self._partial: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """Return the requests of the lines that ``data`` completes. Empty data ends the last line."""
        end = data.rfind(b"\n")
        if data and end < 0:  # the middle of a long line
            self._partial.append(data)
            return b""
        block = b"".join([*self._partial, data[: max(end, 0)]])
        self._partial = [data[end + 1 :]] if data[end + 1 :] else []
        return self._encode(block) if data or block else b""

    def _encode(self, block: bytes) -> bytes:
        """Encode whole lines, which are separated by LF."""
        count = block.count(b"\n") + 1
        skipped = max(0, min(count, self._first_line - 1 - self.line))
        if skipped:
            self.line += skipped
            if skipped == count:
                return b""
            block = block.split(b"\n", skipped)[-1]
            count -= skipped
        requests = None if self._protocol.closing else self._encode_columns(block, count)
        if requests is None:
            requests = b"".join(map(self._encode_line, block.split(b"\n")))
        else:
            self.line += count
        return requests

    def _encode_line(self, line: bytes) -> bytes:
        self.line += 1
        return encode_line(self._protocol, line.removesuffix(b"\r"), self.line)

    def _encode_columns(self, block: bytes, count: int) -> bytes | None:
        """Encode lines that all have the same number of plain arguments. Return None for any others."""
        if block.startswith(b"#") or any(each in block for each in _NEEDS_PARSING):
            return None
        # With a mark after each line, so that a line of another length is found without a look at each line.
        args = block.replace(b"\n", b" \n ").split(b" ")
        width = (len(args) + 1) // count - 1
        step = width + 1
        if len(args) != count * step - 1 or args[width::step].count(b"\n") != count - 1 or b"" in args:
            return None
        names = set(args[::step])
        if not SPECIAL_COMMANDS.isdisjoint({name.upper() for name in names}):
            return None
        self._protocol.expect_run(count, self.line + 1)
        # What all requests begin with is one piece: the number of arguments, and the name if it is always the same.
        beginning = b"*%d" % width
        if len(names) == 1:
            beginning = encode_request(names).replace(b"*1", beginning, 1).removesuffix(CRLF)
        columns = range(len(names) == 1, width)
        pieces_per_line = 1 + 2 * len(columns)
        pieces = [beginning] * (count * pieces_per_line)
        for place, column in enumerate(columns):
            values = args[column::step]
            pieces[1 + 2 * place :: pieces_per_line] = map(bulk_header, map(len, values))
            pieces[2 + 2 * place :: pieces_per_line] = values
        pieces.append(b"")
        return CRLF.join(pieces)
