"""The client without a person at it: lines from a pipe or a file, or one command from the command line."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import BinaryIO

from client.connection import Connection
from client.protocol import ClientProtocol
from common.codec import Args
from common.replies import ErrorReply, Reply
from common.text import ENDING_IN_LF

READ_SIZE = 64 * 1024


def run_lines(connection: Connection, protocol: ClientProtocol, source: int, output: BinaryIO) -> int:
    """Send every line of the file descriptor ``source``, print every reply; return the exit status.

    Lines are sent as fast as they come, many to a write, without waiting for replies. A last line without a line break
    counts. Lines behind DISCONNECT or QUIT are not sent.
    """
    unfinished = bytearray()

    def read_requests() -> bytes | None:
        data = os.read(source, READ_SIZE)
        end = data.rfind(b"\n") + 1
        if data and not end:
            unfinished.extend(data)
            return b""
        if not data and not unfinished:
            return None
        lines = (bytes(unfinished) + data[:end]).split(b"\n")
        unfinished[:] = data[end:]
        return b"".join([protocol.line(line.removesuffix(b"\r")) for line in lines])

    def show(replies: list[Reply]) -> None:
        print_replies(replies, output)

    connection.stream(protocol, source, read_requests, show)
    return 0


def run_command(connection: Connection, protocol: ClientProtocol, args: Args, output: BinaryIO) -> int:
    """Run one command, print its reply; return 1 if it is an error, else 0."""
    replies = connection.exchange(protocol, protocol.args(args))
    print_replies(replies, output)
    return int(any(isinstance(reply, ErrorReply) for reply in replies))


def print_replies(replies: Iterable[Reply], output: BinaryIO) -> None:
    """Print replies in the text protocol's form."""
    output.writelines(piece for reply in replies for piece in ENDING_IN_LF.stream(reply))
    output.flush()
