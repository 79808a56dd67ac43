"""A conversation of the client with a session in this process."""

from __future__ import annotations

from client.conversation import Conversation
from client.lines import encode_line
from client.local import LocalConnection
from client.protocol import Login
from common.replies import Reply


def local_conversation() -> Conversation:
    """Return a conversation with an empty keyspace."""
    return Conversation(LocalConnection, Login())


def exchange_lines(conversation: Conversation, *lines: bytes) -> list[Reply]:
    """Send the lines as one pipeline. Return the replies to show. No reply is pending afterwards."""
    replies: list[Reply] = []
    request = b"".join([encode_line(conversation.protocol, line) for line in lines])
    conversation.exchange(request, lambda received: replies.extend(received.replies))
    assert not conversation.protocol.pending
    return replies
