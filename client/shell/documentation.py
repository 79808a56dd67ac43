"""What the connected server says about its commands, and the usage lines that the editor completes and shows."""

from __future__ import annotations

from client.connection import ConnectionLost
from client.conversation import Conversation
from client.hints.command_docs import CommandDocument, documents, usage_lines
from client.hints.own_commands import OWN_USAGES
from common.resp_client import MalformedReply

LOAD_TIMEOUT = 2.0
"""Seconds for which a server may be silent when it is asked. The prompt waits for it."""


class Documentation:
    """Empty until it is loaded. The server describes its own commands, so hints fit any version of kvline and Redis."""

    def __init__(self) -> None:
        self.documents: dict[str, CommandDocument] = {}
        """The documents of commands and subcommands, by name."""
        self.usages: dict[str, str] = dict(OWN_USAGES)
        """The usage lines of commands by name, those of the prompt itself included. The editor refers to this dict."""
        self._is_available = True

    def load(self, conversation: Conversation) -> bool:
        """Ask the server. A server without COMMAND DOCS, or before authentication, has no documents.

        Return false if the connection was lost, because the server is silent or closes it. It is not asked again then.
        """
        if not self._is_available:
            return True
        try:
            reply = conversation.call_within(LOAD_TIMEOUT, b"COMMAND", b"DOCS")
        except (ConnectionLost, MalformedReply):
            self._is_available = False
            return False
        self.documents = documents(reply)
        self.usages.update(usage_lines(self.documents) | OWN_USAGES)
        return True
