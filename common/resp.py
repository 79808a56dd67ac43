r"""RESP, the Redis serialization protocol, versions 2 and 3 (https://redis.io/docs/latest/develop/reference/protocol-spec/).

What requests and replies have in common. The server reads requests (`common.resp_requests`) and writes replies
(`common.resp_replies`). A client writes requests and reads replies (`common.resp_client`).
"""

from __future__ import annotations

CRLF = b"\r\n"

_LENGTH_LIMIT = 10**19  # 19 digits, as many as a 64-bit integer has


def parse_length(digits: bytes) -> int | None:
    """Parse a declared length strictly: an optional minus, no leading zeros, no blanks (as Redis's string2ll)."""
    try:
        length = int(digits)
    except ValueError:
        return None
    # int() also accepts "+1", "1_0", " 1", "01" and "-0". None of them is what the number is printed as.
    return length if b"%d" % length == digits and -_LENGTH_LIMIT < length < _LENGTH_LIMIT else None


class _Headers(dict[int, bytes]):
    """The headers of bulk strings by length, the short ones prepared."""

    def __missing__(self, length: int) -> bytes:
        return b"$%d" % length


bulk_header = _Headers({length: b"$%d" % length for length in range(1024)}).__getitem__
"""Return the header of a bulk string of this length, without its CRLF."""
