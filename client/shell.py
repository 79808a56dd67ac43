"""The client with a person at it: a prompt, a command, its reply."""

from __future__ import annotations

import os
from typing import BinaryIO

from client.batch import print_replies
from client.connection import Connection
from client.conversation import Conversation
from client.editing import LineEditor


def run_shell(connection: Connection, conversation: Conversation, editor: LineEditor, output: BinaryIO) -> int:
    """Prompt, run and print until DISCONNECT, QUIT or Ctrl-D; return the exit status. Raises `ConnectionLost`."""
    with editor:
        while not conversation.closing:
            try:
                line = editor.read(prompt(connection, conversation))
            except KeyboardInterrupt:
                continue  # Ctrl-C gives up the line, not the session
            except EOFError:
                break
            request = conversation.line(os.fsencode(line))
            if request:
                print_replies(connection.exchange(conversation, request), output)
    return 0


def prompt(connection: Connection, conversation: Conversation) -> str:
    """Say where commands go, and whether a transaction is open."""
    return f"{connection.name}{'(TX)' if conversation.in_transaction else ''}> "
