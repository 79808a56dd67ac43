"""The interactive shell: read a command at the prompt, run it, print its reply."""

from __future__ import annotations

import os
from typing import BinaryIO

from client.batch import print_replies
from client.connection import Connection
from client.editors.line_editor import LineEditor
from client.protocol import ClientProtocol


def run_shell(connection: Connection, protocol: ClientProtocol, editor: LineEditor, output: BinaryIO) -> int:
    """Read, run and print until DISCONNECT, QUIT or Ctrl-D. Return the exit status. Raises `ConnectionLost`."""
    # `closing` is set by DISCONNECT and QUIT when they are typed, so their reply is printed before the loop ends.
    with editor:
        while not protocol.closing:
            try:
                line = editor.read(prompt(connection, protocol))
            except KeyboardInterrupt:
                continue  # Ctrl-C discards the line. The shell goes on.
            except EOFError:
                break
            # Bytes that are not UTF-8 are surrogates in the line. fsencode restores them.
            request = protocol.request_for_line(os.fsencode(line))
            if request:
                print_replies(connection.exchange(protocol, request), output)
    return 0


def prompt(connection: Connection, protocol: ClientProtocol) -> str:
    """Return the prompt: the server's address, and ``(TX)`` if a transaction is open."""
    return f"{connection.name}{'(TX)' if protocol.in_transaction else ''}> "
