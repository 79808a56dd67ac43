"""Non-interactive use: lines from a pipe or a file, or one command from the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from client.connection import Connection
from client.protocol import ClientProtocol
from client.source import Source
from common.codec import Args
from common.replies import ErrorReply, Reply
from common.text import ENDING_IN_LF


def run_lines(connection: Connection, protocol: ClientProtocol, source: Source, output: BinaryIO) -> int:
    """Send every line of ``source``, print every reply, and return the exit status.

    Lines are pipelined: they are sent as soon as they are read, without waiting for replies. The last line needs no
    line break. Lines after DISCONNECT or QUIT are not sent.
    """
    partial = bytearray()

    def read_requests() -> bytes | None:
        data = source.read()
        end = data.rfind(b"\n") + 1
        if data and not end:  # the middle of a long line
            partial.extend(data)
            return b""  # nothing to send yet; None would be the end of the input
        if not data and not partial:
            return None
        lines = (bytes(partial) + data[:end]).split(b"\n")
        # At the end of the input data is empty, so the partial line is in `lines`, and the next call returns None.
        partial[:] = data[end:]
        return b"".join([protocol.request_for_line(line.removesuffix(b"\r")) for line in lines])

    def show(replies: list[Reply]) -> None:
        print_replies(replies, output)

    connection.stream(protocol, source, read_requests, show)
    return 0


def run_command(connection: Connection, protocol: ClientProtocol, args: Args, output: BinaryIO) -> int:
    """Run one command and print its reply. Return the exit status: 1 if the reply is an error, else 0."""
    replies = connection.exchange(protocol, protocol.request_for_args(args))
    print_replies(replies, output)
    return int(any(isinstance(reply, ErrorReply) for reply in replies))


def print_replies(replies: Iterable[Reply], output: BinaryIO) -> None:
    """Print replies as the text protocol does."""
    output.writelines(piece for reply in replies for piece in ENDING_IN_LF.stream(reply))
    output.flush()  # a reply must be visible before the next prompt, and to the reader of a pipe
