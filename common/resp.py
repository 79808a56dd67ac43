r"""RESP, the Redis serialization protocol, versions 2 and 3 (https://redis.io/docs/latest/develop/reference/protocol-spec/).

What requests and replies have in common. The server reads requests (`common.resp_requests`) and writes replies
(`common.resp_replies`). A client writes requests and reads replies (`common.resp_client`).
"""

from __future__ import annotations

import re

CRLF = b"\r\n"

# int() would also accept "+1", "1_0", " 1" and "01", which Redis refuses (`string2ll`).
_LENGTH = re.compile(rb"0|-?[1-9][0-9]{0,18}")


def parse_length(digits: bytes) -> int | None:
    """Parse a declared length strictly: an optional minus, no leading zeros, no blanks (as Redis's string2ll)."""
    return int(digits) if _LENGTH.fullmatch(digits) else None


class _Headers(dict[int, bytes]):
    """The headers of bulk strings by length, the short ones prepared."""

    def __missing__(self, length: int) -> bytes:
        return b"$%d" % length


bulk_header = _Headers({length: b"$%d" % length for length in range(1024)}).__getitem__
"""Return the header of a bulk string of this length, without its CRLF."""
