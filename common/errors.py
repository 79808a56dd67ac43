"""Every error text in one place, worded as Redis 7 words it; the dialects give them their form on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.replies import ErrorReply

NOT_AN_INTEGER = ErrorReply(b"ERR value is not an integer or out of range")
NOT_A_FLOAT = ErrorReply(b"ERR value is not a valid float")
WOULD_OVERFLOW = ErrorReply(b"ERR increment or decrement would overflow")
DECREMENT_WOULD_OVERFLOW = ErrorReply(b"ERR decrement would overflow")
WOULD_BE_INFINITE = ErrorReply(b"ERR increment would produce NaN or Infinity")
SYNTAX_ERROR = ErrorReply(b"ERR syntax error")
NO_SUCH_KEY = ErrorReply(b"ERR no such key")
SAME_OBJECT = ErrorReply(b"ERR source and destination objects are the same")
OFFSET_OUT_OF_RANGE = ErrorReply(b"ERR offset is out of range")
STRING_TOO_LONG = ErrorReply(b"ERR string exceeds maximum allowed size (proto-max-bulk-len)")
LCS_TOO_LARGE = ErrorReply(b"ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
LCS_LEN_AND_IDX = ErrorReply(b"ERR If you want both the length and indexes, please just use IDX.")
PATTERN_TOO_LONG = ErrorReply(b"ERR a pattern has at most 16384 bytes")
INVALID_CURSOR = ErrorReply(b"ERR invalid cursor")
NX_AND_OTHERS = ErrorReply(b"ERR NX and XX, GT or LT options at the same time are not compatible")
GT_AND_LT = ErrorReply(b"ERR GT and LT options at the same time are not compatible")
INVALID_CLIENT_ID = ErrorReply(b"ERR Invalid client ID")
CLIENT_ID_TOO_LOW = ErrorReply(b"ERR client-id should be greater than 0")
COUNT_TOO_LOW = ErrorReply(b"ERR count should be greater than or equal to -1")
NO_SHUTDOWN_TO_ABORT = ErrorReply(b"ERR No shutdown in progress.")
TOO_MANY_CLIENTS = ErrorReply(b"ERR max number of clients reached")
DATABASE_OUT_OF_RANGE = ErrorReply(b"ERR DB index is out of range")

NESTED_MULTI = ErrorReply(b"ERR MULTI calls can not be nested")
WATCH_INSIDE_MULTI = ErrorReply(b"ERR WATCH inside MULTI is not allowed")
EXEC_WITHOUT_MULTI = ErrorReply(b"ERR EXEC without MULTI")
DISCARD_WITHOUT_MULTI = ErrorReply(b"ERR DISCARD without MULTI")
EXEC_ABORTED = ErrorReply(b"EXECABORT Transaction discarded because of previous errors.")
CROSS_SLOT = ErrorReply(b"CROSSSLOT Keys in request don't hash to the same slot")
TRANSACTION_TOO_LARGE = ErrorReply(b"ERR transaction too large, its queue has reached the limit of one request")

UNSUPPORTED_PROTOCOL = ErrorReply(b"NOPROTO unsupported protocol version")
PROTOCOL_NOT_A_NUMBER = ErrorReply(b"ERR Protocol version is not an integer or out of range")
NO_PASSWORD = ErrorReply(
    b"ERR AUTH <password> called without any password configured for the default user. "
    b"Are you sure your configuration is correct?"
)
INVALID_CLIENT_NAME = ErrorReply(b"ERR Client names cannot contain spaces, newlines or special characters.")
NO_SUCH_CLIENT = ErrorReply(b"ERR No such client")
MONITOR_NEEDS_CONNECTION = ErrorReply(b"ERR MONITOR needs a connection that the server can write to by itself")
NO_SHUTDOWN_HERE = ErrorReply(b"ERR SHUTDOWN needs a server, and this session has none")
FREQUENCY_NOT_TRACKED = ErrorReply(
    b"ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching "
    b"between policies at runtime LRU and LFU data will take some time to adjust."
)
IDLE_TIME_NOT_TRACKED = ErrorReply(b"ERR idle times are not tracked, so that a read costs no write")
INVALID_COMMAND = ErrorReply(b"ERR Invalid command specified")
NO_KEY_ARGUMENTS = ErrorReply(b"ERR The command has no key arguments")
INVALID_NUMBER_OF_ARGUMENTS = ErrorReply(b"ERR Invalid number of arguments specified for command")
INTERNAL_ERROR = ErrorReply(b"ERR internal error, the server's log has the details")

ECHOED = 128
"""How many bytes of a client's own words an error repeats to it, as in Redis."""


class CommandError(Exception):
    """A command refuses to run, or could not; it changed nothing."""

    def __init__(self, reply: ErrorReply) -> None:
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
    return BackendUnavailable(ErrorReply(BACKEND_UNAVAILABLE + reason))


def backend_timed_out(waiting: bytes) -> BackendTimedOut:
    """Make the error of a backing server that is too slow; ``waiting`` says for what."""
    return BackendTimedOut(ErrorReply(BACKEND_TIMED_OUT + waiting))


def wrong_arity(name: bytes) -> ErrorReply:
    return ErrorReply(b"ERR wrong number of arguments for '%b' command" % name.lower())


def no_such_command(name: bytes) -> ErrorReply:
    return ErrorReply(b"ERR no such command '%b'; HELP lists them all" % name[:ECHOED])


def unknown_command(args: Sequence[bytes]) -> ErrorReply:
    arguments: list[bytes] = []
    room = ECHOED
    for word in args[1:]:
        if room <= 0:
            break
        arguments.append(b" '%b'" % word[:room])
        room -= len(arguments[-1])
    text = b"ERR unknown command '%b', with args beginning with:%b"
    return ErrorReply(text % (args[0][:ECHOED], b"".join(arguments)))


def unknown_subcommand(command: bytes, subcommand: bytes) -> ErrorReply:
    return ErrorReply(b"ERR unknown subcommand '%b'. Try %b HELP." % (subcommand[:ECHOED], command.upper()))


def exec_aborted_by(error: ErrorReply) -> ErrorReply:
    return ErrorReply(b"EXECABORT Transaction discarded because of: " + error.text)


def not_in_transaction(command: bytes) -> ErrorReply:
    return ErrorReply(b"ERR %b can't run in a transaction on this backing server" % command)


def invalid_expire_time(command: bytes) -> ErrorReply:
    return ErrorReply(b"ERR invalid expire time in '%b' command" % command)


def unsupported_option(option: bytes) -> ErrorReply:
    return ErrorReply(b"ERR Unsupported option %b" % option[:ECHOED])


def unknown_parameter(name: bytes) -> ErrorReply:
    return ErrorReply(b"ERR Unknown option or number of arguments for CONFIG SET - '%b'" % name[:ECHOED])


def invalid_parameter(name: bytes, reason: bytes) -> ErrorReply:
    return ErrorReply(b"ERR CONFIG SET failed (possibly related to argument '%b') - %b" % (name[:ECHOED], reason))


def immutable_parameter(name: bytes) -> ErrorReply:
    return invalid_parameter(name, b"can't set immutable config")


def unknown_client_option(option: bytes) -> ErrorReply:
    return ErrorReply(b"ERR Unrecognized option '%b'" % option[:ECHOED])


def unknown_client_type(kind: bytes) -> ErrorReply:
    return ErrorReply(b"ERR Unknown client type '%b'" % kind[:ECHOED])


def no_such_user(name: bytes) -> ErrorReply:
    return ErrorReply(b"ERR No such user '%b'" % name[:ECHOED])


def invalid_hello_option(option: bytes) -> ErrorReply:
    return ErrorReply(b"ERR Syntax error in HELLO option '%b'" % option[:ECHOED])


# ---------------------------------------------------------------- HTTP


@dataclass(frozen=True, slots=True)
class HTTPProblem:
    """An error that only HTTP has: the status of the response, and the sentence in its body."""

    status: int
    sentence: str


HTTP_MALFORMED = HTTPProblem(400, "malformed HTTP request")
HTTP_UPGRADE_WITH_BODY = HTTPProblem(
    400, "HTTP/1.1 cannot be upgraded here; send a request with a body without Upgrade"
)
HTTP_HOST_REQUIRED = HTTPProblem(400, "an HTTP/1.1 request needs exactly one Host header")
HTTP_HEAD_TOO_LARGE = HTTPProblem(431, "the request line and the headers are too long")

HTTP_NOT_FOUND = HTTPProblem(404, "not found; see /docs")
HTTP_METHOD_NOT_ALLOWED = HTTPProblem(405, "method not allowed; see the Allow header")
HTTP_NO_SUCH_KEY = HTTPProblem(404, "no such key")
HTTP_PRECONDITION_FAILED = HTTPProblem(412, "precondition failed; nothing was changed")
HTTP_EXCLUSIVE_PARAMETERS = HTTPProblem(400, "only one of ex and px can be given, and only one of nx and xx")

HTTP_TOKEN_REQUIRED = HTTPProblem(401, "the server's bearer token is required")
HTTP_HOST_NOT_ALLOWED = HTTPProblem(403, "host name not allowed; use the server's address or --http-host")
HTTP_CROSS_ORIGIN_WRITE = HTTPProblem(403, "cross-origin writes are not allowed")
HTTP_CSRF_POSSIBLE = HTTPProblem(
    403, "any web page can cause this GET, so it may only read; use POST, or give the server a token"
)
HTTP_PREFLIGHT_REJECTED = HTTPProblem(400, "the CORS policy does not allow this request")

HTTP_COMMAND_EXPECTED = HTTPProblem(400, 'a command is an array of its arguments, such as ["GET", "greeting"]')
HTTP_COMMANDS_EXPECTED = HTTPProblem(
    400, 'commands are an array of arrays, such as [["INCR", "visits"], ["GET", "greeting"]]'
)
HTTP_TOO_MANY_ARGUMENTS = HTTPProblem(400, "ERR too many arguments in request")


def http_body_too_large(limit: int) -> HTTPProblem:
    return HTTPProblem(413, f"the body is longer than {limit} bytes")


def http_duplicate_parameter(name: str) -> HTTPProblem:
    return HTTPProblem(400, f"the parameter {name!r} is given twice")


def http_unknown_parameter(name: str) -> HTTPProblem:
    return HTTPProblem(400, f"unknown parameter {name!r}")


def http_invalid_parameter(name: str, expected: str) -> HTTPProblem:
    return HTTPProblem(400, f"the parameter {name!r} must be {expected}")


def http_invalid_json(reason: str) -> HTTPProblem:
    return HTTPProblem(400, f"the body is not valid JSON: {reason}")


def http_invalid_argument(reason: str) -> HTTPProblem:
    return HTTPProblem(400, reason)


def http_not_in_transaction(command: str) -> HTTPProblem:
    return HTTPProblem(400, f"{command} is not allowed in a transaction")
