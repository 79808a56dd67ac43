"""The client with a person at it: a prompt, a command, its reply."""

from __future__ import annotations

import os
from typing import BinaryIO

from client.batch import print_replies
from client.connection import Connection
from client.line_editor import LineEditor
from client.protocol import ClientProtocol


def run_shell(connection: Connection, protocol: ClientProtocol, editor: LineEditor, output: BinaryIO) -> int:
    """Prompt, run and print until DISCONNECT, QUIT or Ctrl-D; return the exit status. Raises `ConnectionLost`."""
    with editor:
        while not protocol.closing:
            try:
                line = editor.read(prompt(connection, protocol))
            except KeyboardInterrupt:
                continue  # Ctrl-C gives up the line, not the session
            except EOFError:
                break
            request = protocol.line(os.fsencode(line))
            if request:
                print_replies(connection.exchange(protocol, request), output)
    return 0


def prompt(connection: Connection, protocol: ClientProtocol) -> str:
    """Say where commands go, and whether a transaction is open."""
    return f"{connection.name}{'(TX)' if protocol.in_transaction else ''}> "
