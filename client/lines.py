"""Lines of text as commands: those of a batch, and those that are typed."""

from __future__ import annotations

from client.protocol import ClientProtocol
from common.errors import UNBALANCED_QUOTES
from common.text_args import COMMENT, UnbalancedQuotes, split_args


def encode_line(protocol: ClientProtocol, line: bytes, number: int = 0) -> bytes:
    """Encode a line of text. Nothing for an empty line and for a comment.

    A line with unbalanced quotes is not sent. Its error is shown in order, between the replies before and after it.
    """
    if line.startswith(COMMENT):
        return b""
    try:
        args = split_args(line)
    except UnbalancedQuotes:
        return protocol.encode_refused(UNBALANCED_QUOTES, number)
    return protocol.encode(args, number) if args else b""
