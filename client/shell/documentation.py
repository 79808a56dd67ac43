"""What the connected server says about its commands, and the usage lines that the editor completes and shows."""

from __future__ import annotations

from client.conversation import Conversation
from client.hints.command_docs import CommandDocument, documents, usage_lines
from client.hints.own_commands import OWN_USAGES


class Documentation:
    """Empty until it is loaded. The server describes its own commands, so hints fit any version of kvline and Redis."""

    def __init__(self) -> None:
        self.documents: dict[str, CommandDocument] = {}
        """The documents of commands and subcommands, by name."""
        self.usages: dict[str, str] = dict(OWN_USAGES)
        """The usage lines of commands by name, those of the prompt itself included. The editor refers to this dict."""

    def load(self, conversation: Conversation) -> None:
        """Ask the server. A server without COMMAND DOCS, or before authentication, has no documents.

        Raises as `Conversation.exchange`.
        """
        self.documents = documents(conversation.call(b"COMMAND", b"DOCS"))
        self.usages.update(usage_lines(self.documents) | OWN_USAGES)
