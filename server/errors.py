"""Every error text in one place, worded as Redis 7 words it; the dialects give them their form on the wire."""

from __future__ import annotations

from collections.abc import Sequence

from common.replies import Error

NOT_AN_INTEGER = Error(b"ERR value is not an integer or out of range")
NOT_A_FLOAT = Error(b"ERR value is not a valid float")
WOULD_OVERFLOW = Error(b"ERR increment or decrement would overflow")
DECREMENT_WOULD_OVERFLOW = Error(b"ERR decrement would overflow")
WOULD_BE_INFINITE = Error(b"ERR increment would produce NaN or Infinity")
SYNTAX_ERROR = Error(b"ERR syntax error")
NO_SUCH_KEY = Error(b"ERR no such key")
SAME_OBJECT = Error(b"ERR source and destination objects are the same")
OFFSET_OUT_OF_RANGE = Error(b"ERR offset is out of range")
STRING_TOO_LONG = Error(b"ERR string exceeds maximum allowed size (proto-max-bulk-len)")
LCS_TOO_LARGE = Error(b"ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
LCS_LEN_AND_IDX = Error(b"ERR If you want both the length and indexes, please just use IDX.")
PATTERN_TOO_LONG = Error(b"ERR a pattern has at most 16384 bytes")
INVALID_CURSOR = Error(b"ERR invalid cursor")
NX_AND_OTHERS = Error(b"ERR NX and XX, GT or LT options at the same time are not compatible")
GT_AND_LT = Error(b"ERR GT and LT options at the same time are not compatible")
INVALID_CLIENT_ID = Error(b"ERR Invalid client ID")
CLIENT_ID_TOO_LOW = Error(b"ERR client-id should be greater than 0")
COUNT_TOO_LOW = Error(b"ERR count should be greater than or equal to -1")
NO_SHUTDOWN_TO_ABORT = Error(b"ERR No shutdown in progress.")
TOO_MANY_CLIENTS = Error(b"ERR max number of clients reached")
DATABASE_OUT_OF_RANGE = Error(b"ERR DB index is out of range")

NESTED_MULTI = Error(b"ERR MULTI calls can not be nested")
WATCH_INSIDE_MULTI = Error(b"ERR WATCH inside MULTI is not allowed")
EXEC_WITHOUT_MULTI = Error(b"ERR EXEC without MULTI")
DISCARD_WITHOUT_MULTI = Error(b"ERR DISCARD without MULTI")
EXEC_ABORTED = Error(b"EXECABORT Transaction discarded because of previous errors.")
CROSS_SLOT = Error(b"CROSSSLOT Keys in request don't hash to the same slot")
TRANSACTION_TOO_LARGE = Error(b"ERR transaction too large, its queue has reached the limit of one request")

UNSUPPORTED_PROTOCOL = Error(b"NOPROTO unsupported protocol version")
PROTOCOL_NOT_A_NUMBER = Error(b"ERR Protocol version is not an integer or out of range")
NO_PASSWORD = Error(
    b"ERR AUTH <password> called without any password configured for the default user. "
    b"Are you sure your configuration is correct?"
)
INVALID_CLIENT_NAME = Error(b"ERR Client names cannot contain spaces, newlines or special characters.")
NO_SUCH_CLIENT = Error(b"ERR No such client")
MONITOR_NEEDS_CONNECTION = Error(b"ERR MONITOR needs a connection that the server can write to by itself")
NO_SHUTDOWN_HERE = Error(b"ERR SHUTDOWN needs a server, and this session has none")
FREQUENCY_NOT_TRACKED = Error(
    b"ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching "
    b"between policies at runtime LRU and LFU data will take some time to adjust."
)
IDLE_TIME_NOT_TRACKED = Error(b"ERR idle times are not tracked, so that a read costs no write")
INVALID_COMMAND = Error(b"ERR Invalid command specified")
NO_KEY_ARGUMENTS = Error(b"ERR The command has no key arguments")
INVALID_NUMBER_OF_ARGUMENTS = Error(b"ERR Invalid number of arguments specified for command")
INTERNAL_ERROR = Error(b"ERR internal error, the server's log has the details")

ECHOED = 128
"""How many bytes of a client's own words an error repeats to it, as in Redis."""


class CommandError(Exception):
    """A command refuses to run, or could not; it changed nothing."""

    def __init__(self, reply: Error) -> None:
        super().__init__(reply.text)
        self.reply = reply


class BackendUnavailable(CommandError):
    """The backing server could not be asked, or has not answered. Only where the text says so may it have changed."""


class BackendTimedOut(BackendUnavailable):
    """The backing server, or a free connection to it, took longer than it may."""


BACKEND_UNAVAILABLE = b"ERR backend unavailable: "
BACKEND_TIMED_OUT = BACKEND_UNAVAILABLE + b"timed out "
"""How the texts begin, by which a door that has only the reply tells the one from the other."""


def backend_unavailable(reason: bytes) -> BackendUnavailable:
    """Make the error of a backing server that can't be reached, or that refuses to serve anybody."""
    return BackendUnavailable(Error(BACKEND_UNAVAILABLE + reason))


def backend_timed_out(waiting: bytes) -> BackendTimedOut:
    """Make the error of a backing server that is too slow; ``waiting`` says for what."""
    return BackendTimedOut(Error(BACKEND_TIMED_OUT + waiting))


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
    return Error(b"ERR unknown subcommand '%b'. Try %b HELP." % (subcommand[:ECHOED], command.upper()))


def exec_aborted_by(error: Error) -> Error:
    return Error(b"EXECABORT Transaction discarded because of: " + error.text)


def not_in_transaction(command: bytes) -> Error:
    return Error(b"ERR %b can't run in a transaction on this backing server" % command)


def invalid_expire_time(command: bytes) -> Error:
    return Error(b"ERR invalid expire time in '%b' command" % command)


def unsupported_option(option: bytes) -> Error:
    return Error(b"ERR Unsupported option %b" % option[:ECHOED])


def unknown_parameter(name: bytes) -> Error:
    return Error(b"ERR Unknown option or number of arguments for CONFIG SET - '%b'" % name[:ECHOED])


def invalid_parameter(name: bytes, reason: bytes) -> Error:
    return Error(b"ERR CONFIG SET failed (possibly related to argument '%b') - %b" % (name[:ECHOED], reason))


def immutable_parameter(name: bytes) -> Error:
    return invalid_parameter(name, b"can't set immutable config")


def unknown_client_option(option: bytes) -> Error:
    return Error(b"ERR Unrecognized option '%b'" % option[:ECHOED])


def unknown_client_type(kind: bytes) -> Error:
    return Error(b"ERR Unknown client type '%b'" % kind[:ECHOED])


def no_such_user(name: bytes) -> Error:
    return Error(b"ERR No such user '%b'" % name[:ECHOED])


def invalid_hello_option(option: bytes) -> Error:
    return Error(b"ERR Syntax error in HELLO option '%b'" % option[:ECHOED])
