"""Lines of text with commands of telnet: `server.protocols.text_lines.TextDecoder`, and quoting."""

from __future__ import annotations

from common.text import format_command, quote, quote_always, quoted_pieces
from common.text_args import split_args
from server.protocols.text_lines import TextDecoder
from tests.fuzz.properties import LIMITS, Decode, check_decoder

TOKENS = [b"\n", b"\r\n", b'"', b"'", b"\\", b"\\x", b'\\"', b" ", b"\t", b"\0", b"\x16\x03", b"(", b"GET / HTTP/1.1"]
TOKENS += [
    b"#",
    b"\r\0",
    b"\x7f",
    b"\b",
    b"\x03",
    b"\xff\xf4",
    b"\xff\xfd\x06",
    b"\xff\xfa",
    b"\xff\xf0",
    b"\xe6\xff\xed\xac",
]


def new_decode() -> Decode:
    return TextDecoder(LIMITS).decode


def check(data: bytes) -> None:
    """Decode a stream of lines. Then quote the requests, and the input as one value, and split them again."""
    for _, request in check_decoder(new_decode, data, LIMITS.max_line):
        if isinstance(request, list):
            assert split_args(format_command(request)) == request
    for form in (quote(data), quote_always(data), b"".join(quoted_pieces(data))):
        assert split_args(form) == [data]
        assert form.decode().isprintable()
