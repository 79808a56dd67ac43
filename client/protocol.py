"""The client's side of a conversation, without the connection: lines in, requests out; bytes in, replies out.

The client speaks RESP, in which any bytes travel safely, and asks for version 3, which can tell a value from a block of
lines. Replies come in the order of the requests, so all it keeps is which requests wait for theirs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from common.codec import Args
from common.errors import UNBALANCED_QUOTES
from common.replies import ErrorReply, Reply
from common.resp_client import ReplyDecoder, encode_request
from common.text import UnbalancedQuotes, split_args

CLOSING = {b"QUIT", b"DISCONNECT"}


@dataclass(frozen=True, slots=True)
class _Expected:
    """A request that waits for its reply."""

    name: bytes
    instead: ErrorReply | None = None  # shown in the reply's place
    hidden: bool = False  # asked by the program and not by its user


_UNREADABLE = _Expected(b"", instead=UNBALANCED_QUOTES)
_UNSOLICITED = _Expected(b"")


class ClientProtocol:
    """Turn lines into requests and replies into what is shown; follow what they do to the connection."""

    def __init__(self) -> None:
        self.in_transaction = False
        """MULTI was answered, and neither EXEC nor DISCARD yet."""
        self.closing = False
        """The user asked to disconnect: what is typed after that is not sent."""
        self._decoder = ReplyDecoder()
        self._expected: deque[_Expected] = deque()

    @property
    def waiting(self) -> bool:
        """Some request has no reply yet."""
        return bool(self._expected)

    def open(self) -> bytes:
        """Return the request with which a connection begins. Its reply is not shown."""
        self._expected.append(_Expected(b"HELLO", hidden=True))
        return encode_request([b"HELLO", b"3"])

    def line(self, line: bytes) -> bytes:
        """Return the request that a line of text makes: none for an empty one.

        A line whose quotes do not close is known here to be wrong, and its error is shown in its turn. The server gets
        a request without a name in its place, which no server runs, so that a transaction it stood in is spoiled.
        """
        try:
            args = split_args(line)
        except UnbalancedQuotes:
            if self.closing:
                return b""
            self._expected.append(_UNREADABLE)
            return encode_request([b""])
        return self.args(args) if args else b""

    def args(self, args: Args) -> bytes:
        """Return the request for a command in words; nothing once the user has asked to disconnect."""
        if self.closing:
            return b""
        name = args[0].upper()
        if name in CLOSING and len(args) == 1:  # with more words the server refuses and stays
            self.closing = True
        self._expected.append(_Expected(name))
        return encode_request(args)

    def receive(self, data: bytes) -> list[Reply]:
        """Take what has arrived; return the replies to show. Raises `common.resp.MalformedReply`."""
        shown: list[Reply] = []
        for reply in self._decoder.feed(data):
            # A server may speak unasked, to say why it closes the connection.
            expected = self._expected.popleft() if self._expected else _UNSOLICITED
            if expected.hidden:
                continue
            self._follow(expected.name, reply)
            shown.append(reply if expected.instead is None else expected.instead)
        return shown

    def _follow(self, name: bytes, reply: Reply) -> None:
        refused = isinstance(reply, ErrorReply) and reply.code != b"EXECABORT"
        if name == b"MULTI" and not refused:
            self.in_transaction = True
        elif name in (b"EXEC", b"DISCARD", b"RESET") and not refused:
            self.in_transaction = False
