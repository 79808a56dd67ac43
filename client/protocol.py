"""The client's side of the protocol, sans-I/O: commands in, requests out; received bytes in, replies out.

The client uses RESP, because RESP carries any bytes, and asks for version 3, because only RESP3 distinguishes a value
from lines of text. Replies arrive in the order of the requests, so a queue of requests without a reply assigns them.
A request expects one of these:

    one reply                       most commands
    no reply                        CLIENT REPLY OFF and SKIP, and what follows them; not in the queue
    a confirmation per channel      SUBSCRIBE and its relatives, as pushes (RESP3) or arrays (RESP2)
    OK and then lines without end   MONITOR

While the client monitors or has subscribed, `ClientProtocol.streaming` is true: data arrives without a request. It is
recognised by its form, so replies to requests in between are still assigned to them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum, auto

from common.replies import ErrorReply, Reply, SimpleString
from common.resp_client import Push, ReplyDecoder, encode_request

TYPE_CHECKING = False  # not from `typing`, as in `common.replies`
if TYPE_CHECKING:
    from common.codec import Args

CLOSING_COMMANDS = {b"QUIT", b"DISCONNECT"}
TRANSACTION_COMMANDS = {b"MULTI", b"EXEC", b"DISCARD", b"RESET"}
WATCH_COMMANDS = {b"WATCH", b"UNWATCH"}

SUBSCRIPTIONS = {b"SUBSCRIBE": b"channel", b"PSUBSCRIBE": b"pattern", b"SSUBSCRIBE": b"shard channel"}
CANCELLATIONS = {b"UNSUBSCRIBE": b"channel", b"PUNSUBSCRIBE": b"pattern", b"SUNSUBSCRIBE": b"shard channel"}
_CONFIRMATIONS = {name.lower() for name in (*SUBSCRIPTIONS, *CANCELLATIONS)}
_MESSAGES = {b"message", b"pmessage", b"smessage"}

LOGIN_COMMANDS = {b"AUTH", b"CLIENT", b"HELLO", b"SELECT"}

SPECIAL_COMMANDS = frozenset(
    {*CLOSING_COMMANDS, *TRANSACTION_COMMANDS, *WATCH_COMMANDS, *SUBSCRIPTIONS, *CANCELLATIONS, *LOGIN_COMMANDS}
    | {b"MONITOR", b"SHUTDOWN"}
)
"""Commands that change the state of the connection. All others get one reply and nothing else."""

MAX_REPLY_SIZE = 1024**3  # not from `common.limits`, which imports `dataclasses`
"""Bytes of memory for one reply, about. The server might send one that never ends."""

_MAX_DATABASE_DIGITS = 9
"""Digits of the number of a database. No server has so many."""


class _ReplyMode(Enum):
    """Which replies the server sends, as CLIENT REPLY sets it."""

    ON = auto()
    OFF = auto()
    SKIP_NEXT = auto()


class Request:
    """A request that has replies to come, or consecutive requests for which nothing special applies."""

    __slots__ = ("args", "hidden", "line", "missing", "override")

    def __init__(
        self,
        args: Sequence[bytes] = (),
        line: int = 0,
        missing: int = 1,
        *,
        hidden: bool = False,
        override: ErrorReply | None = None,
    ) -> None:
        self.args = args
        """The arguments. Empty for consecutive requests of a batch, and for what arrives without a request."""
        self.line = line
        """The number of the (first) line of the input that contains it."""
        self.missing = missing
        """How many replies have not arrived yet."""
        self.hidden = hidden
        """Sent by the program and not by its user, so the replies are not shown."""
        self.override = override
        """Shown instead of the reply."""

    @property
    def name(self) -> bytes:
        return self.args[0].upper() if self.args else b""


class Received:
    """Replies to one request, or to consecutive ones: ``line`` is that of the first reply."""

    __slots__ = ("line", "replies", "request")

    def __init__(self, request: Request, line: int, replies: list[Reply]) -> None:
        self.request = request
        self.line = line
        self.replies = replies


def has_failed(reply: Reply) -> bool:
    """Return whether a command failed: its reply is an error, or one of a transaction's commands failed."""
    if isinstance(reply, list):
        return any(isinstance(each, ErrorReply) for each in reply)
    return isinstance(reply, ErrorReply)


class Login:
    """The state of a connection that is repeated on a new one, because its user relies on it."""

    def __init__(self, user: str = "", password: str | None = None, database: int = 0) -> None:
        self._initial = (user, password)
        self.version = 3
        """The version of RESP that the user wants."""
        self.reset()
        self.database = database

    def reset(self) -> None:
        """Follow RESET, which selects database 0. The user and the password are those of the start again."""
        self.user, self.password = self._initial
        self.database = 0
        self.name = b""
        """What CLIENT SETNAME has set."""

    def requests(self) -> list[Args]:
        """Return the requests for a new connection. AUTH is first: a server may refuse all others before it."""
        requests: list[Args] = []
        if self.password is not None:
            credentials = [self.user, self.password] if self.user else [self.password]
            requests.append([b"AUTH", *(each.encode("utf-8", "surrogateescape") for each in credentials)])
        # Also for version 2, because the reply describes the server.
        requests.append([b"HELLO", b"%d" % self.version])
        if self.database:
            requests.append([b"SELECT", b"%d" % self.database])
        if self.name:
            requests.append([b"CLIENT", b"SETNAME", self.name])
        return requests


class ClientProtocol:
    """Encodes requests, assigns replies to them, and follows the state of the connection.

    ``login`` is updated by what the user sends. ``max_reply_size`` bounds the memory of a reply.
    """

    def __init__(self, login: Login | None = None, max_reply_size: int = MAX_REPLY_SIZE) -> None:
        self.in_transaction = False
        """Whether a transaction is open: after MULTI, before EXEC or DISCARD."""
        self.watching = False
        """Whether keys are watched: after WATCH, before EXEC, DISCARD or UNWATCH."""
        self.closing = False
        """Whether the user has asked to disconnect. No more requests are encoded."""
        self.monitoring = False
        """Whether MONITOR has been accepted."""
        self.version = 2
        """The version of RESP that the server has agreed to."""
        self.pending: deque[Request] = deque()
        """Requests that have replies to come, in order."""
        self.login = Login() if login is None else login
        self._decoder = ReplyDecoder(max_reply_size)
        self._is_login_incomplete = False
        """Whether the server has refused a part of the login until it gets a password."""
        self._reply_mode = _ReplyMode.ON
        self._is_queueing = False
        """Whether the server queues the next request: after MULTI was sent, before EXEC, DISCARD or RESET is."""
        self._subscriptions: dict[bytes, set[bytes]] = {kind: set() for kind in SUBSCRIPTIONS.values()}
        """The subscriptions by kind, as they will be when all requests have been executed."""
        self._subscription_counts = {False: 0, True: 0}
        """How many subscriptions the server has confirmed: of channels and patterns, and of shard channels."""
        self._is_subscribed = False
        self._queued = 0
        """How many commands the server has queued since MULTI."""
        self._queued_logins: dict[int, Request] = {}
        """Those of them that change what a new connection has to repeat, by their place in the transaction."""

    @property
    def streaming(self) -> bool:
        """Whether data arrives without a request: after MONITOR and SUBSCRIBE."""
        return self.monitoring or self._is_subscribed

    @property
    def has_replies(self) -> bool:
        """Whether the server replies to the next request: CLIENT REPLY has not turned that off."""
        return self._reply_mode is _ReplyMode.ON

    @property
    def shuts_server_down(self) -> bool:
        """Whether the next reply is that to SHUTDOWN. A server that does shut down closes the connection instead."""
        return bool(self.pending) and self.pending[0].name == b"SHUTDOWN"

    # ------------------------------------------------------------ requests

    def login_requests(self) -> bytes:
        """Return the first requests of a connection. Their replies are hidden."""
        return b"".join(self.encode(args, hidden=True) for args in self.login.requests())

    def encode(self, args: Args, line: int = 0, *, hidden: bool = False) -> bytes:
        """Encode a command. Nothing once the user has asked to disconnect."""
        if self.closing:
            return b""
        request = Request(args, line, hidden=hidden)
        name = request.name
        if name not in SPECIAL_COMMANDS:
            self._expect(request)
            return encode_request(args)
        # The server refuses DISCONNECT, MULTI, DISCARD and RESET with arguments. QUIT and EXEC act all the same.
        is_alone = len(args) == 1
        if name == b"QUIT" or (name == b"DISCONNECT" and is_alone):
            self.closing = True
        if name == b"HELLO" and args[1:2] in ([b"2"], [b"3"]):  # the server refuses all others
            self.login.version = int(args[1])
        request.missing = self._confirmations(name, args)
        # When the request is sent, not when it is replied to: OFF and SKIP have no reply that could be followed.
        if not self._set_reply_mode(name, args):
            self._expect(request)
        if name == b"EXEC" or (name in TRANSACTION_COMMANDS and is_alone):
            self._is_queueing = name == b"MULTI"
        return encode_request(args) + (b"" if hidden else self._negotiate_again(name) + self._log_in_again(name))

    def encode_refused(self, error: ErrorReply, line: int = 0) -> bytes:
        """Encode what replaces a command that cannot be sent. Its error is shown in order, instead of a reply.

        The server gets a request with an empty name, which it refuses. So an open transaction is discarded at EXEC, as
        if the server had refused the command itself.
        """
        if self.closing:
            return b""
        self._expect(Request([b""], line, override=error))
        return encode_request([b""])

    def expect_run(self, count: int, line: int) -> None:
        """Expect one reply each to ``count`` requests from this line on, none of which is a special command."""
        if self._reply_mode is _ReplyMode.SKIP_NEXT:
            self._reply_mode = _ReplyMode.ON
            count -= 1
            line += 1
        if count and self._reply_mode is _ReplyMode.ON:
            self.pending.append(Request((), line, count))

    def _negotiate_again(self, name: bytes) -> bytes:
        """Return a hidden HELLO after a command that may change the version: RESET selects version 2.

        A server that requires authentication refuses HELLO before AUTH.
        """
        if self._is_queueing or self.login.version == 2:
            return b""
        if name == b"RESET" or (name == b"AUTH" and self.version == 2):
            return self.encode([b"HELLO", b"%d" % self.login.version], hidden=True)
        return b""

    def _log_in_again(self, name: bytes) -> bytes:
        """Return hidden requests that repeat, after one that may authenticate, what the server has refused before."""
        if self._is_queueing or not self._is_login_incomplete or name not in (b"AUTH", b"HELLO"):
            return b""
        self._is_login_incomplete = False
        refused = [args for args in self.login.requests() if args[0] in (b"SELECT", b"CLIENT")]
        return b"".join(self.encode(args, hidden=True) for args in refused)

    def _expect(self, request: Request) -> None:
        """Queue a request that is about to be sent, unless its reply is turned off."""
        if self._reply_mode is _ReplyMode.ON:
            self.pending.append(request)
        elif self._reply_mode is _ReplyMode.SKIP_NEXT:
            self._reply_mode = _ReplyMode.ON

    def _confirmations(self, name: bytes, args: Args) -> int:
        """Return how many replies a command gets, and follow what it subscribes to."""
        if name in SUBSCRIPTIONS:
            self._subscriptions[SUBSCRIPTIONS[name]].update(args[1:])
            return max(1, len(args) - 1)
        if name in CANCELLATIONS:
            subscribed = self._subscriptions[CANCELLATIONS[name]]
            channels = args[1:] or list(subscribed)
            subscribed.difference_update(channels)
            return max(1, len(channels))  # without any subscription there is one confirmation, of nothing
        return 1

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

    # ------------------------------------------------------------ replies

    def receive(self, data: bytes) -> list[Received]:
        """Decode received bytes and return the replies. Raises `common.resp_client.MalformedReply`."""
        replies = self._decoder.feed(data)
        received: list[Received] = []
        at = 0
        while at < len(replies):
            if self.pending and not self.pending[0].args and not self.streaming:
                at = self._receive_run(replies, at, received)
            else:
                received.append(self._receive_one(replies[at]))
                at += 1
        return received

    def _receive_run(self, replies: list[Reply], at: int, received: list[Received]) -> int:
        """Assign replies to consecutive requests. Return the position after them."""
        request = self.pending[0]
        taken = replies[at : at + request.missing]
        if Push in set(map(type, taken)):  # an invalidation, for example, which replies to nothing
            taken = taken[: next(place for place, reply in enumerate(taken) if type(reply) is Push)]
        if not taken:
            received.append(Received(_UNREQUESTED, 0, [replies[at]]))
            return at + 1
        received.append(Received(request, request.line, taken))
        self._queued += len(taken)
        request.line += len(taken)
        request.missing -= len(taken)
        if not request.missing:
            self.pending.popleft()
        return at + len(taken)

    def _receive_one(self, reply: Reply) -> Received:
        """Assign a reply to a single request, and follow the state of the connection."""
        if self._is_unrequested(reply):
            return Received(_UNREQUESTED, 0, [reply])
        request = self.pending[0]
        request.missing -= 1
        # A refusal, or QUEUED, replies to the request as a whole.
        if not request.missing or isinstance(reply, ErrorReply | SimpleString):
            self.pending.popleft()
        if request.hidden and isinstance(reply, ErrorReply) and reply.code == b"NOAUTH" and request.name != b"HELLO":
            self._is_login_incomplete = True
        # By the reply and not by the request, because any command may be refused.
        if not isinstance(reply, ErrorReply) or reply.code == b"EXECABORT":
            self._follow(request, reply)
        return Received(request, request.line, [reply if request.override is None else request.override])

    def _is_unrequested(self, reply: Reply) -> bool:
        """Return whether a reply belongs to no request: data that is streamed, or the reason why a connection ends."""
        if not self.pending:
            return True
        if self.monitoring and isinstance(reply, SimpleString) and _is_monitor_line(reply.text):
            return True
        expected = self.pending[0].name.lower()
        kind = reply[0] if isinstance(reply, list) and reply else None
        if isinstance(reply, Push):
            return kind != expected or expected not in _CONFIRMATIONS
        return self._is_subscribed and isinstance(kind, bytes) and kind in _MESSAGES

    def _follow(self, request: Request, reply: Reply) -> None:
        """Update the state after a command that the server has not refused."""
        name, args = request.name, request.args
        if name in (b"EXEC", b"DISCARD", b"RESET"):
            self.in_transaction = self.watching = False
        if name == b"MULTI":
            self.in_transaction = True
            self._queued = 0
            self._queued_logins = {}
        elif self.in_transaction:  # the reply is QUEUED
            if name in LOGIN_COMMANDS:
                self._queued_logins[self._queued] = request
            self._queued += 1
        elif name == b"EXEC":
            self._follow_transaction(reply)
        elif name in WATCH_COMMANDS:
            self.watching = name == b"WATCH"
        elif name == b"MONITOR":
            self.monitoring = True
        elif name in SUBSCRIPTIONS or name in CANCELLATIONS:
            self._follow_subscription(reply)
        else:
            self._follow_login(name, args)

    def _follow_transaction(self, reply: Reply) -> None:
        """Update the state after EXEC, which has executed nothing if its reply is no array."""
        if isinstance(reply, list) and len(reply) == self._queued:
            for place, request in self._queued_logins.items():
                if not isinstance(reply[place], ErrorReply):
                    self._follow_login(request.name, request.args)

    def _follow_subscription(self, reply: Reply) -> None:
        """Read the confirmation of a subscription: its kind, its channel, and how many there are now."""
        match reply:
            case [bytes() as kind, _, int() as count]:
                self._subscription_counts[kind in (b"ssubscribe", b"sunsubscribe")] = count
        self._is_subscribed = any(self._subscription_counts.values())

    def _follow_login(self, name: bytes, args: Sequence[bytes]) -> None:
        """Remember what a new connection has to repeat."""
        if name == b"RESET":
            self.version = 2
            self.monitoring = self._is_subscribed = False
            for subscribed in self._subscriptions.values():
                subscribed.clear()
            self._subscription_counts = {False: 0, True: 0}
            self.login.reset()
        # Not every server refuses arguments that make no sense.
        elif name == b"SELECT" and len(args) == 2 and _is_database(args[1]):
            self.login.database = int(args[1])
        elif name == b"AUTH":
            self._log_in(args[1:])
        elif name == b"CLIENT" and len(args) == 3 and args[1].upper() == b"SETNAME":
            self.login.name = args[2]
        elif name == b"HELLO" and args[1:2] in ([b"2"], [b"3"]):
            self.version = int(args[1])
            options = [each.upper() for each in args]
            if b"AUTH" in options:
                at = options.index(b"AUTH")
                self._log_in(args[at + 1 : at + 3])

    def _log_in(self, credentials: Sequence[bytes]) -> None:
        texts = [each.decode("utf-8", "surrogateescape") for each in credentials]
        if len(texts) in (1, 2):
            self.login.user = texts[0] if len(texts) == 2 else ""
            self.login.password = texts[-1]


def _is_monitor_line(text: bytes) -> bool:
    """Return whether a line begins like those of MONITOR: the time, then the database and the client in brackets."""
    time, _, _ = text.partition(b" [")
    seconds, _, fraction = time.partition(b".")
    return len(time) < len(text) and seconds.isdigit() and fraction.isdigit() and len(fraction) == 6


def _is_database(text: bytes) -> bool:
    return text.isdigit() and len(text) <= _MAX_DATABASE_DIGITS


_UNREQUESTED = Request()
