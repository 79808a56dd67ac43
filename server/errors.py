"""Every error text in one place, worded as Redis 7 words it; the dialects give them their form on the wire."""

from __future__ import annotations

from collections.abc import Sequence

from common.replies import Error

NOT_AN_INTEGER = Error(b"ERR value is not an integer or out of range")
WOULD_OVERFLOW = Error(b"ERR increment or decrement would overflow")
NESTED_MULTI = Error(b"ERR MULTI calls can not be nested")
EXEC_WITHOUT_MULTI = Error(b"ERR EXEC without MULTI")
DISCARD_WITHOUT_MULTI = Error(b"ERR DISCARD without MULTI")
EXEC_ABORTED = Error(b"EXECABORT Transaction discarded because of previous errors.")
TRANSACTION_TOO_LARGE = Error(b"ERR transaction too large, its queue has reached the limit of one request")
UNSUPPORTED_PROTOCOL = Error(b"NOPROTO unsupported protocol version")
PROTOCOL_NOT_A_NUMBER = Error(b"ERR Protocol version is not an integer or out of range")
SYNTAX_ERROR = Error(b"ERR syntax error")
INTERNAL_ERROR = Error(b"ERR internal error, the server's log has the details")

ECHOED = 128
"""How many bytes of a client's own words an error repeats to it, as in Redis."""


class CommandError(Exception):
    """A command refuses to run, or could not; it changed nothing."""

    def __init__(self, reply: Error) -> None:
        super().__init__(reply.text)
        self.reply = reply


def wrong_arity(name: bytes) -> Error:
    return Error(b"ERR wrong number of arguments for '%b' command" % name.lower())


def no_such_command(name: bytes) -> Error:
    return Error(b"ERR no such command '%b'; HELP lists them all" % name[:ECHOED])


def unknown_command(words: Sequence[bytes]) -> Error:
    arguments: list[bytes] = []
    room = ECHOED
    for word in words[1:]:
        if room <= 0:
            break
        arguments.append(b" '%b'" % word[:room])
        room -= len(arguments[-1])
    text = b"ERR unknown command '%b', with args beginning with:%b"
    return Error(text % (words[0][:ECHOED], b"".join(arguments)))


def unknown_subcommand(command: bytes, subcommand: bytes) -> Error:
    text = b"ERR unknown subcommand or wrong number of arguments for '%b'. Try %b HELP."
    return Error(text % (subcommand[:ECHOED], command))
