"""Error replies of a backing Redis, and what they mean to a client of this server."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import CommandError, backend_unavailable, unexpected_reply_type, with_kind
from common.replies import ErrorKind, ErrorReply, Reply

UNAVAILABLE_CODES = frozenset({b"CLUSTERDOWN", b"LOADING", b"NOAUTH"})
"""Codes of errors that say that the server serves no client at present. They are not about the command.

CLUSTERDOWN: slots are not served. LOADING: the data set is being read at the start. NOAUTH: the URL lacks the password.
Passed on as they are, a client would take NOAUTH for a refusal of its own login.
"""

REDIRECT_CODES = frozenset({b"ASK", b"MOVED", b"TRYAGAIN"})
"""Codes of the errors with which a node of a cluster refuses keys that it does not have, or not all of them."""

UPSTREAM_FAILURES = frozenset({ErrorKind.UPSTREAM_DOWN, ErrorKind.UPSTREAM_TIMEOUT})


def raise_for_error(reply: Reply) -> Reply:
    """Return the reply. Raises `CommandError` if it is an error."""
    if isinstance(reply, ErrorReply):
        raise to_command_error(reply)
    return reply


def to_command_error(error: ErrorReply) -> CommandError:
    """Return the exception for a server's error: its own code and message, unless it serves no client at present."""
    if error.code in UNAVAILABLE_CODES:
        return backend_unavailable(one_line(error.text))
    return CommandError(with_kind(error))  # the kind decides about the HTTP status, and RESP does not transmit it


def find_redirect(replies: Sequence[Reply]) -> ErrorReply | None:
    """Return the first redirection among the replies to one command or to one transaction, None if there is none.

    A node refuses both as a whole, so nothing has run if there is one.
    """
    return next((reply for reply in replies if isinstance(reply, ErrorReply) and reply.code in REDIRECT_CODES), None)


def unexpected_reply(reply: Reply) -> CommandError:
    """Return the exception for a reply of a type that the command never has."""
    return backend_unavailable(unexpected_reply_type(type(reply).__name__))


def is_upstream_failure(problem: CommandError) -> bool:
    """Return whether a server was down, too slow, or served no client."""
    return problem.reply.kind in UPSTREAM_FAILURES


def one_line(text: bytes) -> bytes:
    """Return a text that fits into an error reply: without line breaks, and without the full stop at its end."""
    return b" ".join(text.split()).removesuffix(b".")
