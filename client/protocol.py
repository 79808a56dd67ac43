"""The client's side of the protocol, sans-I/O: lines in, requests out; received bytes in, replies out.

The client uses RESP, because RESP carries any bytes, and asks for version 3, because only RESP3 distinguishes a value
from lines of text. Replies arrive in the order of the requests, so a queue of requests without a reply assigns them.
Requests whose reply CLIENT REPLY has turned off are not in the queue.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from common.codec import Args
from common.errors import UNBALANCED_QUOTES
from common.replies import ErrorReply, Reply
from common.resp_client import ReplyDecoder, encode_request
from common.text import COMMENT, UnbalancedQuotes, split_args


class _ReplyMode(Enum):
    """Which replies the server sends, as CLIENT REPLY sets it."""

    ON = auto()
    OFF = auto()
    SKIP_NEXT = auto()


@dataclass(frozen=True, slots=True)
class _PendingRequest:
    """A request that has no reply yet."""

    name: bytes
    override: ErrorReply | None = None  # shown instead of the reply
    hidden: bool = False  # sent by the program, not by its user


_UNPARSABLE = _PendingRequest(b"", override=UNBALANCED_QUOTES)
_UNSOLICITED = _PendingRequest(b"")


class ClientProtocol:
    """Encodes requests, decodes replies, and follows the state of the connection."""

    def __init__(self) -> None:
        self.in_transaction = False
        """Whether a transaction is open: after MULTI, before EXEC or DISCARD."""
        self.closing = False
        """Whether the user has asked to disconnect. No more requests are encoded."""
        self._decoder = ReplyDecoder()
        self._pending: deque[_PendingRequest] = deque()
        self._reply_mode = _ReplyMode.ON
        self._is_queueing = False
        """Whether the server queues the next request: after MULTI was sent, before EXEC, DISCARD or RESET is."""

    @property
    def has_pending_replies(self) -> bool:
        """Whether a request has no reply yet."""
        return bool(self._pending)

    def hello_request(self) -> bytes:
        """Return the first request of a connection, which selects RESP3. Its reply is not shown."""
        # Hidden: the user did not send it. An error means a server without RESP3, and is not the user's concern either.
        self._pending.append(_PendingRequest(b"HELLO", hidden=True))
        return encode_request([b"HELLO", b"3"])

    def request_for_line(self, line: bytes) -> bytes:
        """Encode a line of text. Nothing for an empty line and for a comment.

        A line with unbalanced quotes is not sent. Its error is shown in order, between the replies before and after it.
        The server gets a request with an empty name instead, which it refuses, so that an open transaction is
        discarded at EXEC, as if the server had read the line.
        """
        if line.startswith(COMMENT):
            return b""
        try:
            args = split_args(line)
        except UnbalancedQuotes:
            if self.closing:
                return b""
            self._expect_reply(_UNPARSABLE)
            return encode_request([b""])
        return self.request_for_args(args) if args else b""

    def request_for_args(self, args: Args) -> bytes:
        """Encode a command. Nothing once the user has asked to disconnect."""
        if self.closing:
            return b""
        name = args[0].upper()
        # The server refuses DISCONNECT, MULTI, DISCARD and RESET with arguments. QUIT and EXEC act all the same.
        is_alone = len(args) == 1
        if name == b"QUIT" or (name == b"DISCONNECT" and is_alone):
            self.closing = True
        # When the request is sent, not when it is replied to: OFF and SKIP have no reply that could be followed.
        if not self._set_reply_mode(name, args):
            self._expect_reply(_PendingRequest(name))
        if name == b"EXEC" or (name in (b"MULTI", b"DISCARD", b"RESET") and is_alone):
            self._is_queueing = name == b"MULTI"
        return encode_request(args)

    def receive(self, data: bytes) -> list[Reply]:
        """Decode received bytes and return the replies to show. Raises `common.resp_client.MalformedReply`."""
        shown: list[Reply] = []
        for reply in self._decoder.feed(data):
            # A server may send an error without a request, to say why it closes the connection.
            request = self._pending.popleft() if self._pending else _UNSOLICITED
            if request.hidden:
                continue
            # By the reply and not by the request, because a MULTI or an EXEC may be refused.
            self._follow(request.name, reply)
            shown.append(reply if request.override is None else request.override)
        return shown

    def _expect_reply(self, request: _PendingRequest) -> None:
        """Queue a request that is about to be sent, unless its reply is turned off."""
        if self._reply_mode is _ReplyMode.ON:
            self._pending.append(request)
        elif self._reply_mode is _ReplyMode.SKIP_NEXT:
            self._reply_mode = _ReplyMode.ON

    def _set_reply_mode(self, name: bytes, args: Args) -> bool:
        """Follow a command that sets the reply mode. Return whether it turns off its own reply, as OFF and SKIP do."""
        # As in Redis (`resetCommand`). Its own reply is then sent, even if replies were off.
        if name == b"RESET":
            self._reply_mode = _ReplyMode.ON
        if name != b"CLIENT" or len(args) != 3 or args[1].upper() != b"REPLY" or self._is_queueing:
            return False
        mode = args[2].upper()
        if mode == b"ON":
            self._reply_mode = _ReplyMode.ON
        elif mode == b"OFF":
            self._reply_mode = _ReplyMode.OFF
        # SKIP does not end OFF: Redis sets CLIENT_REPLY_SKIP_NEXT only if CLIENT_REPLY_OFF is not set.
        elif mode == b"SKIP" and self._reply_mode is not _ReplyMode.OFF:
            self._reply_mode = _ReplyMode.SKIP_NEXT
        return mode in (b"OFF", b"SKIP")

    def _follow(self, name: bytes, reply: Reply) -> None:
        """Update the state of the transaction. Errors do not change it, except for EXECABORT, which closes it."""
        refused = isinstance(reply, ErrorReply) and reply.code != b"EXECABORT"
        if name == b"MULTI" and not refused:
            self.in_transaction = True
        elif name in (b"EXEC", b"DISCARD", b"RESET") and not refused:
            self.in_transaction = False
