"""A conversation with a server: requests and their replies, on a connection that can be replaced.

After a connection is lost the conversation has none, until `reconnect`. A new connection is logged in as the old one
was (`client.protocol.Login`). No request is ever sent twice: one whose reply did not arrive may have been executed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from client.connection import ConnectionLost
from client.protocol import ClientProtocol, Login, Received
from common.passwords import PASSWORD_VARIABLE
from common.replies import ErrorReply, Lines, Reply
from common.resp_client import MalformedReply
from common.text import without_controls

TYPE_CHECKING = False  # not from `typing`, as in `common.replies`
if TYPE_CHECKING:
    from client.connection import Connection
    from common.codec import Args

BACK_OFF = (0.0, 0.1, 0.2, 0.4, 0.8)
"""Seconds before each attempt to connect again."""

LOGIN_TIMEOUT = 10.0
"""Seconds that a server may take to reply to the login. A start must not wait for ever for a server that hangs."""

PASSWORD_ADVICE = f"the server requires a password: set {PASSWORD_VARIABLE}, or give --password-file"

Show = Callable[[Received], None]


class CannotConnect(Exception):
    """Raised if there is no connection. The text is shown to the user."""


class LoginFailed(CannotConnect):
    """Raised if the server refuses the connection, the password or the database."""


class ServerShutDown(Exception):
    """Raised if the server has closed the connection because of SHUTDOWN."""


class Conversation:
    """Opens a connection and logs in. ``connect`` returns a connection, or raises `OSError` or UnicodeError.

    ``timeout`` is the number of seconds that the server may take to reply, by default any. Raises `CannotConnect`, and
    `ConnectionLost` if the connection is lost while logging in.
    """

    def __init__(
        self, connect: Callable[[], Connection], login: Login, name: str = "", timeout: float | None = None
    ) -> None:
        self._connect = connect
        self._login = login
        self._name = name
        self._timeout = timeout
        self._connection: Connection | None = None
        self.protocol = ClientProtocol(login)
        self.warnings: list[str] = []
        """What the server refused during the last login, although commands can be sent."""
        self.needs_password = False
        """Whether the server refuses commands until it gets a password, and none was given."""
        self.server: dict[bytes, Reply] = {}
        """How the server describes itself in its reply to HELLO. Empty if it does not."""
        self._open(LOGIN_TIMEOUT if timeout is None else timeout)

    @property
    def name(self) -> str:
        """The address that the prompt shows. Empty without a connection."""
        return "" if self._connection is None else self._connection.name

    @property
    def connection(self) -> Connection:
        """The present connection. Raises `ConnectionLost` without one."""
        if self._connection is None:
            raise ConnectionLost("there is no connection")
        return self._connection

    # ------------------------------------------------------------ requests

    def exchange(self, request: bytes, show: Show) -> None:
        """Send a request, and show its replies when they arrive. Returns after the last one.

        While data arrives without a request (MONITOR, SUBSCRIBE) it does not return: an exception ends it. Raises
        `ConnectionLost`, `ServerShutDown` and `MalformedReply`; there is no connection any more then.
        """
        protocol, connection = self.protocol, self.connection
        try:
            connection.send(request)
            while protocol.pending or protocol.streaming:
                self._show(protocol.receive(connection.receive()), show)
        except ConnectionLost as problem:
            self.disconnect()
            if protocol.shuts_server_down:
                raise ServerShutDown from None
            raise problem from None
        except MalformedReply:
            self.disconnect()
            raise

    def call(self, *args: bytes) -> Reply:
        """Send a request of the program itself, and return its reply. Raises as `exchange` does."""
        replies = self.call_all([list(args)])
        return replies[0] if replies else None

    def call_within(self, seconds: float, *args: bytes) -> Reply:
        """Do as `call`. Raise `ConnectionLost` also if the server is silent for so many seconds."""
        self.connection.set_timeout(seconds)
        try:
            return self.call(*args)
        finally:
            if self._connection is not None:
                self._connection.set_timeout(self._timeout)

    def call_all(self, requests: list[Args]) -> list[Reply]:
        """Send several such requests at once, and return one reply for each."""
        replies: list[Reply] = []

        def collect(received: Received) -> None:
            if received.request.args:  # not what a server sends without being asked
                replies.extend(received.replies)

        self.exchange(b"".join(map(self.protocol.encode, requests)), collect)
        return replies

    @staticmethod
    def _show(received: list[Received], show: Show) -> None:
        for each in received:
            if not each.request.hidden:
                show(each)

    # ------------------------------------------------------------ the connection

    def is_lost(self) -> bool:
        """Return whether there is no connection, or the server has closed it since the last reply."""
        if self._connection is not None and self._connection.is_closed():
            self.disconnect()
        return self._connection is None

    def disconnect(self) -> None:
        """Close the connection. What is still to arrive on it is lost."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def reconnect(self, login_timeout: float = LOGIN_TIMEOUT) -> None:
        """Open a new connection in the place of the old one. Raises as the constructor does.

        A server that does not accept the connection is tried again several times. ``login_timeout`` is the number of
        seconds that it may then take to reply.
        """
        self.disconnect()
        for number, pause in enumerate(BACK_OFF, 1):
            time.sleep(pause)
            try:
                self._open(login_timeout)
            except LoginFailed:
                raise
            except CannotConnect:
                if number == len(BACK_OFF):
                    raise
            else:
                return

    def forget_password(self) -> None:
        """Log in without a password from now on, until AUTH succeeds."""
        self._login.password = None

    def another(self, timeout: float) -> Conversation:
        """Return a conversation with the same server, logged in as this one is. Raises as the constructor does.

        ``timeout`` is the number of seconds that the server may take to reply.
        """
        connection, login = self.connection, self._login
        same_login = Login(login.user, login.password, login.database)
        return Conversation(connection.another, same_login, connection.name, timeout)

    def _open(self, login_timeout: float) -> None:
        try:
            connection = self._connect()
            connection.set_timeout(login_timeout)
        # UnicodeError: a host name that IDNA cannot encode.
        except (OSError, UnicodeError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            raise CannotConnect(f"can't reach a server at {self._name}: {reason}") from None
        # The state of the connection is new, except for the login.
        protocol = ClientProtocol(self._login)
        self.warnings = []
        self.needs_password = False
        try:
            for received in _log_in(connection, protocol):
                self._check_login(received)
            connection.set_timeout(self._timeout)
        except BaseException:
            connection.close()
            raise
        # Not before: until then the old protocol says what is lost (`Shell`).
        self._connection, self.protocol = connection, protocol

    def _check_login(self, received: Received) -> None:
        name, reply = received.request.name, received.replies[0]
        if name == b"HELLO" and isinstance(reply, dict):
            self.server = reply
        if not isinstance(reply, ErrorReply):
            return
        text = f"{name.decode()} failed: {text_of(reply)}"
        # In another database than the one that was asked for, commands would do harm.
        if name == b"HELLO" and reply.code == b"NOAUTH":
            self.needs_password = True
            self.warnings.append(PASSWORD_ADVICE)
            return
        if reply.code == b"WRONGPASS" or (name == b"SELECT" and not self.needs_password):
            raise LoginFailed(text)
        # An old server does not know HELLO. One that requires authentication says so again at the next command.
        if name == b"AUTH":
            self.warnings.append(text)


def _log_in(connection: Connection, protocol: ClientProtocol) -> list[Received]:
    """Send the requests of the login, and return their replies.

    A server that refuses the connection sends why in place of its first reply, and closes the connection: at its limit
    of clients, or if its port speaks TLS only. Raises `LoginFailed` then.
    """
    replies: list[Received] = []
    try:
        connection.send(protocol.login_requests())
        while protocol.pending:
            replies += protocol.receive(connection.receive())
        if _is_unusual_error(replies[-1].replies[0]):  # either the connection is closed now, or the server replies
            connection.send(protocol.encode([b"PING"], hidden=True))
            while protocol.pending:
                protocol.receive(connection.receive())
    except ConnectionLost:
        if replies and isinstance(reason := replies[0].replies[0], ErrorReply):
            raise LoginFailed(f"the server at {connection.name} refuses the connection: {text_of(reason)}") from None
        raise
    return replies


def _is_unusual_error(reply: Reply) -> bool:
    """Return whether a reply is an error, and none of a server that knows no HELLO or requires a password."""
    if not isinstance(reply, ErrorReply) or reply.code == b"NOAUTH":
        return False
    return not reply.message.startswith(b"unknown command")


def text_of(reply: Reply) -> str:
    """Return a reply as text, without characters that control a terminal. Empty if it is no text."""
    return without_controls(bytes_of(reply).decode(errors="replace"))


def bytes_of(reply: Reply) -> bytes:
    """Return the bytes of a reply that is a text. Empty if it is none."""
    if isinstance(reply, Lines):
        return b"".join(reply.joined(b"\n"))
    data: bytes = reply if isinstance(reply, bytes) else getattr(reply, "text", b"")
    return data


def scan_keys(conversation: Conversation, *options: bytes) -> Iterator[list[bytes]]:
    """Yield the keys of the keyspace, in the pages in which SCAN returns them. Raises as `Conversation.exchange`."""
    cursor = b"0"
    while True:
        reply = conversation.call(b"SCAN", cursor, *options)
        match reply:
            case [bytes() as cursor, list() as keys] if cursor.isdigit():
                yield [key for key in keys if isinstance(key, bytes)]
            case ErrorReply():
                raise ConnectionLost(f"SCAN failed: {text_of(reply)}")
            case _:
                raise MalformedReply("a reply to SCAN that is no page of keys")
        if cursor == b"0":
            return
