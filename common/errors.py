"""Every error text of the project: code, message and kind. The texts are Redis 7's for everything that Redis has.

Protocols give an error its form on the wire. No code inspects a text; it compares codes and kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.replies import ErrorKind, ErrorReply

MAX_ECHOED = 128
"""Bytes of a client's own arguments that an error repeats, as in Redis."""


class CommandError(Exception):
    """Raised by a command that refuses to run or failed. It changed nothing unless the text says so."""

    def __init__(self, reply: ErrorReply) -> None:
        super().__init__(reply.text)
        self.reply = reply


# ERR is the code of every error without a code of its own, as in Redis (`addReplyErrorLength`).
def _error(message: bytes, kind: ErrorKind = ErrorKind.CLIENT) -> ErrorReply:
    return ErrorReply(b"ERR", message, kind)


# ---------------------------------------------------------------- protocols: text, RESP


def protocol_error(reason: bytes) -> ErrorReply:
    """Return the error of bytes that violate a protocol."""
    return _error(b"Protocol error: " + reason)


UNBALANCED_QUOTES = protocol_error(b"unbalanced quotes in request")
NO_HTTP_HERE = protocol_error(b"this port does not speak HTTP; start the server with --http-port for a port that does")
NO_TLS_HERE = protocol_error(b"this port does not speak TLS")
TLS_ONLY_HERE = protocol_error(b"this port speaks TLS only")
NUL_IN_LINE = protocol_error(b"a line of text contains a NUL byte")
TOO_MANY_ARGUMENTS = protocol_error(b"too many arguments in request")
INVALID_MULTIBULK_LENGTH = protocol_error(b"invalid multibulk length")
INVALID_BULK_LENGTH = protocol_error(b"invalid bulk length")
# The bounds on requests of clients that have not authenticated, as in Redis since 6.2.6 (CVE-2021-32675).
UNAUTHENTICATED_MULTIBULK_LENGTH = protocol_error(b"unauthenticated multibulk length")
UNAUTHENTICATED_BULK_LENGTH = protocol_error(b"unauthenticated bulk length")
# Redis skips these two bytes without looking at them. A wrong length would then shift all that follows by some bytes.
MISSING_CRLF = protocol_error(b"expected CRLF after a bulk string")


INVALID_TELNET_COMMAND = protocol_error(b'a line contains the byte 0xff without a telnet command; write "\\xff"')


def http_is_on_port(port: int) -> ErrorReply:
    return protocol_error(b"this port does not speak HTTP, port %d does" % port)


def subnegotiation_too_long(limit: int) -> ErrorReply:
    return protocol_error(b"a telnet subnegotiation is longer than %d bytes" % limit)


# The text names the limit, unlike Redis's ("too big inline request"), because it is a setting here (`--max-line`).
def line_too_long(limit: int) -> ErrorReply:
    return protocol_error(b"line longer than %d bytes" % limit)


def request_too_large(limit: int) -> ErrorReply:
    return protocol_error(b"request larger than %d bytes" % limit)


def bulk_string_expected(byte: bytes) -> ErrorReply:
    return protocol_error(b"expected '$', got '%b'" % byte)


# ---------------------------------------------------------------- protocols: JSON frames

FRAME_REPLY_TOO_LONG = _error(b"the reply is too long for a frame")


def invalid_frame_length(length: int, limit: int) -> ErrorReply:
    return _error(b"a frame's length is from 1 to %d, not %d" % (limit, length))


def invalid_frame(reason: str) -> ErrorReply:
    return _error(b"not a request: " + reason.encode(errors="replace"))


# ---------------------------------------------------------------- requests and the command table

INTERNAL_ERROR = _error(b"internal error, the server's log has the details", ErrorKind.INTERNAL)
SYNTAX_ERROR = _error(b"syntax error")
INVALID_COMMAND = _error(b"Invalid command specified")
NO_KEY_ARGUMENTS = _error(b"The command has no key arguments")
INVALID_NUMBER_OF_ARGUMENTS = _error(b"Invalid number of arguments specified for command")


# Redis prints names in lower case here, as they are in its command table: `client|kill` for a subcommand.
def wrong_arity(name: bytes) -> ErrorReply:
    return _error(b"wrong number of arguments for '%b' command" % name.lower())


def unknown_command(args: Sequence[bytes]) -> ErrorReply:
    # As in Redis 7, whose limit includes the quotes and blanks. Without a limit, 512 MB would be sent back.
    shown: list[bytes] = []
    room = MAX_ECHOED
    for arg in args[1:]:
        if room <= 0:
            break
        shown.append(b"'%b' " % arg[:room])
        room -= len(shown[-1])
    text = b"unknown command '%b', with args beginning with: %b"
    return _error(text % (args[0][:MAX_ECHOED], b"".join(shown)))


def unknown_subcommand(command: bytes, subcommand: bytes) -> ErrorReply:
    return _error(b"unknown subcommand '%b'. Try %b HELP." % (subcommand[:MAX_ECHOED], command.upper()))


# As in Redis (`addReplySubcommandSyntaxError`), for a few subcommands that check their arguments themselves.
def wrong_subcommand(command: bytes, subcommand: bytes) -> ErrorReply:
    text = b"unknown subcommand or wrong number of arguments for '%b'. Try %b HELP."
    return _error(text % (subcommand, command))


def no_such_command(name: bytes) -> ErrorReply:
    return _error(b"no such command '%b'; HELP lists them all" % name[:MAX_ECHOED])


# ---------------------------------------------------------------- values and keys

NOT_AN_INTEGER = _error(b"value is not an integer or out of range", ErrorKind.CONFLICT)
NOT_A_FLOAT = _error(b"value is not a valid float", ErrorKind.CONFLICT)
WOULD_OVERFLOW = _error(b"increment or decrement would overflow", ErrorKind.CONFLICT)
# Not a CONFLICT: -2**63 cannot be negated, whatever is stored (`decrbyCommand`, since Redis 7).
DECREMENT_WOULD_OVERFLOW = _error(b"decrement would overflow")
WOULD_BE_INFINITE = _error(b"increment would produce NaN or Infinity", ErrorKind.CONFLICT)
NO_SUCH_KEY = _error(b"no such key")
SAME_OBJECT = _error(b"source and destination objects are the same")
OFFSET_OUT_OF_RANGE = _error(b"offset is out of range")
STRING_TOO_LONG = _error(b"string exceeds maximum allowed size (proto-max-bulk-len)")
LCS_TOO_LARGE = _error(b"Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
LCS_LEN_AND_IDX = _error(b"If you want both the length and indexes, please just use IDX.")
INVALID_CURSOR = _error(b"invalid cursor")
NX_AND_OTHERS = _error(b"NX and XX, GT or LT options at the same time are not compatible")
GT_AND_LT = _error(b"GT and LT options at the same time are not compatible")
DATABASE_OUT_OF_RANGE = _error(b"DB index is out of range")
INT_OUT_OF_RANGE = _error(b"value is out of range, value must between -2147483648 and 2147483647")
INVALID_FIRST_DATABASE = _error(b"invalid first DB index")
INVALID_SECOND_DATABASE = _error(b"invalid second DB index")
FREQUENCY_NOT_TRACKED = _error(
    b"An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching "
    b"between policies at runtime LRU and LFU data will take some time to adjust."
)
IDLE_TIME_NOT_TRACKED_BY_LFU = _error(
    b"An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching "
    b"between policies at runtime LRU and LFU data will take some time to adjust."
)
# Redis has no such error, because it notes the time of each read under every other policy.
IDLE_TIME_NOT_TRACKED = _error(b"An LRU maxmemory policy is not selected, idle time not tracked.")
KEY_NOT_TRACKED = _error(
    b"The key is not tracked. A volatile maxmemory policy tracks keys with an expiry, and a policy that was selected "
    b"at runtime begins with a part of the keys."
)
OUT_OF_MEMORY = ErrorReply(b"OOM", b"command not allowed when used memory > 'maxmemory'.", ErrorKind.OUT_OF_MEMORY)

BIT_OFFSET_OUT_OF_RANGE = _error(b"bit offset is not an integer or out of range")
BIT_OUT_OF_RANGE = _error(b"bit is not an integer or out of range")
BITPOS_NO_BIT = _error(b"The bit argument must be 1 or 0.")
BITOP_NOT_OF_MANY = _error(b"BITOP NOT must be called with a single source key.")
INVALID_BITFIELD_TYPE = _error(
    b"Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."
)
INVALID_OVERFLOW_TYPE = _error(b"Invalid OVERFLOW type specified")
BITFIELD_READ_ONLY = _error(b"BITFIELD_RO only supports the GET subcommand")
KEY_IS_BUSY = ErrorReply(b"BUSYKEY", b"Target key name already exists.", ErrorKind.CONFLICT)
WRONG_DUMP_CHECKSUM = _error(b"DUMP payload version or checksum are wrong")
BAD_DUMP_FORMAT = _error(b"Bad data format")
INVALID_TTL = _error(b"Invalid TTL value, must be >= 0")
INVALID_IDLE_TIME = _error(b"Invalid IDLETIME value, must be >= 0")
INVALID_FREQUENCY = _error(b"Invalid FREQ value, must be >= 0 and <= 255")


def invalid_expire_time(command: bytes) -> ErrorReply:
    return _error(b"invalid expire time in '%b' command" % command)


def unsupported_option(option: bytes) -> ErrorReply:
    return _error(b"Unsupported option %b" % option[:MAX_ECHOED])


# ---------------------------------------------------------------- MIGRATE

KEY_AND_KEYS = _error(b"When using MIGRATE KEYS option, the key argument must be set to the empty string")
# The words are Redis's, also "client", and "to" after "reading".
TARGET_NOT_CONNECTED = ErrorReply(b"IOERR", b"error or timeout connecting to the client", ErrorKind.UPSTREAM_DOWN)
TARGET_NOT_WRITTEN = ErrorReply(b"IOERR", b"error or timeout writing to target instance", ErrorKind.UPSTREAM_DOWN)
TARGET_NOT_READ = ErrorReply(b"IOERR", b"error or timeout reading to target instance", ErrorKind.UPSTREAM_DOWN)
CHANGED_DURING_MIGRATE = _error(
    b"keys have changed while they were migrated, so they are kept here, and the target has their earlier values",
    ErrorKind.CONFLICT,
)


def target_error(text: bytes) -> ErrorReply:
    return _error(b"Target instance replied with error: " + text)


# ---------------------------------------------------------------- transactions

NESTED_MULTI = _error(b"MULTI calls can not be nested")
WATCH_INSIDE_MULTI = _error(b"WATCH inside MULTI is not allowed")
EXEC_WITHOUT_MULTI = _error(b"EXEC without MULTI")
DISCARD_WITHOUT_MULTI = _error(b"DISCARD without MULTI")
# As for Redis's commands with the flag NO_MULTI. The error makes the transaction dirty.
NO_MULTI_HERE = _error(b"Command not allowed inside a transaction")
TRANSACTION_TOO_LARGE = _error(b"transaction too large, its queue has reached the limit of one request")


def replies_too_large(limit: int) -> ErrorReply:
    return _error(b"reply discarded, the replies of the transaction are larger than %d bytes" % limit)


def watch_too_large(limit: int) -> ErrorReply:
    return _error(b"too many watched keys, they take more than %d bytes" % limit)


EXEC_ABORTED = ErrorReply(b"EXECABORT", b"Transaction discarded because of previous errors.")
CROSS_SLOT = ErrorReply(b"CROSSSLOT", b"Keys in request don't hash to the same slot")


# The kind is that of the cause, so that HTTP sends the status of the cause and not 400.
def exec_aborted_by(error: ErrorReply) -> ErrorReply:
    return ErrorReply(b"EXECABORT", b"Transaction discarded because of: " + error.text, error.kind)


# The reply to an EXEC that is refused itself, without the code of its error (`rejectCommand`).
def exec_refused(error: ErrorReply) -> ErrorReply:
    return ErrorReply(b"EXECABORT", b"Transaction discarded because of: " + error.message, error.kind)


def needs_embedded_store(command: bytes) -> ErrorReply:
    name = command.replace(b"|", b" ")
    return _error(b"%b needs the embedded store, and this server has a backing Redis" % name)


def not_in_transaction(command: bytes) -> ErrorReply:
    return _error(b"%b can't run in a transaction on this backing server" % command)


# ---------------------------------------------------------------- scripts

NO_SCRIPT = ErrorReply(b"NOSCRIPT", b"No matching script. Please use EVAL.")
SCRIPT_BUSY = ErrorReply(
    b"BUSY", b"Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", ErrorKind.UNAVAILABLE
)
NO_SCRIPT_RUNS = ErrorReply(b"NOTBUSY", b"No scripts in execution right now.")
SCRIPT_HAS_WRITTEN = ErrorReply(
    b"UNKILLABLE",
    b"Sorry the script already executed write commands against the dataset. You can either wait the script "
    b"termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
)
SCRIPT_KILLED = _error(b"Script killed by user with SCRIPT KILL...")
TOO_MANY_SCRIPT_KEYS = _error(b"Number of keys can't be greater than number of args")
NEGATIVE_SCRIPT_KEYS = _error(b"Number of keys can't be negative")
UNKNOWN_COMMAND_IN_SCRIPT = _error(b"Unknown Redis command called from script")
WRONG_ARITY_IN_SCRIPT = _error(b"Wrong number of args calling Redis command from script")
NOT_ALLOWED_IN_SCRIPT = _error(b"This Redis command is not allowed from script")
READ_ONLY_SCRIPT = _error(b"Write commands are not allowed from read-only scripts.")
WRITING_SCRIPT = _error(b"Can not execute a script with write flag using *_ro command.")
INVALID_SCRIPT_FLUSH = _error(b"SCRIPT FLUSH only support SYNC|ASYNC option")
INVALID_SHEBANG = _error(b"Invalid script shebang")
INVALID_SHEBANG_ENGINE = _error(b"Invalid engine in script shebang")
NO_SCRIPT_DEBUGGER = _error(b"the debugger of scripts is not available")


def scripts_unavailable(reason: str) -> ErrorReply:
    return _error(b"scripts are not available: " + reason.encode(errors="replace"))


def unexpected_engine(name: bytes) -> ErrorReply:
    return _error(b"Unexpected engine in script shebang: " + name[:MAX_ECHOED])


def unexpected_script_flag(flag: bytes) -> ErrorReply:
    return _error(b"Unexpected flag in script shebang: " + flag[:MAX_ECHOED])


def unknown_shebang_option(option: bytes) -> ErrorReply:
    return _error(b"Unknown lua shebang option: " + option[:MAX_ECHOED])


def script_too_long(limit: int) -> ErrorReply:
    """A script whose text is longer than the limit, in bytes."""
    return ErrorReply(b"ERR", b"a script may have up to %d bytes" % limit)


def script_not_compiled(problem: bytes) -> ErrorReply:
    return _error(b"Error compiling script (new function): " + problem)


def lua_failed(digest: bytes, text: bytes) -> ErrorReply:
    """Return the error of a script that Lua has ended, without memory for example, as in Redis (`luaCallFunction`)."""
    return _error(b"Error running script f_%b, %b" % (digest, text[:100]))


def script_failed(text: bytes, digest: bytes, place: bytes) -> ErrorReply:
    """Return the error of a script that has failed at a place, with the code that the text begins with."""
    return ErrorReply.from_text(b"%b script: %b, on %b." % (text, digest, place))


def script_writes_too_much(limit: int) -> ErrorReply:
    return _error(b"the script has written more than %d bytes" % limit)


# ---------------------------------------------------------------- connections and clients

TOO_MANY_CLIENTS = _error(b"max number of clients reached")
NO_THREAD_FOR_CLIENT = _error(b"the server can't start a thread for this connection", ErrorKind.INTERNAL)
UNSUPPORTED_PROTOCOL = ErrorReply(b"NOPROTO", b"unsupported protocol version")
PROTOCOL_NOT_A_NUMBER = _error(b"Protocol version is not an integer or out of range")
NO_PASSWORD = _error(
    b"AUTH <password> called without any password configured for the default user. "
    b"Are you sure your configuration is correct?"
)
NOT_AUTHENTICATED = ErrorReply(b"NOAUTH", b"Authentication required.", ErrorKind.AUTHENTICATION)
HELLO_NOT_AUTHENTICATED = ErrorReply(
    b"NOAUTH",
    b"HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> "
    b"option can be used to authenticate the client and select the RESP protocol version at the same time",
    ErrorKind.AUTHENTICATION,
)
WRONG_PASSWORD = ErrorReply(
    b"WRONGPASS", b"invalid username-password pair or user is disabled.", ErrorKind.AUTHENTICATION
)
# Redis has two texts for a bad id: this one in CLIENT LIST, the next one in CLIENT KILL.
INVALID_CLIENT_ID = _error(b"Invalid client ID")
CLIENT_ID_TOO_LOW = _error(b"client-id should be greater than 0")
NO_SUCH_CLIENT = _error(b"No such client")
CLIENT_KILLED = _error(b"the connection was closed by CLIENT KILL")
INVALID_PAUSE_MODE = _error(b"CLIENT PAUSE mode must be WRITE or ALL")
INVALID_UNBLOCK_REASON = _error(b"CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
TIMEOUT_NOT_AN_INTEGER = _error(b"timeout is not an integer or out of range")
TIMEOUT_NEGATIVE = _error(b"timeout is negative")
MONITOR_NEEDS_CONNECTION = _error(b"MONITOR needs a TCP connection")


def pushes_unavailable(reason: str) -> ErrorReply:
    """Return the error of MONITOR, SUBSCRIBE and CLIENT TRACKING if the system refuses what pushes need."""
    return _error(b"nothing can be pushed to this connection at present: " + reason.encode(), ErrorKind.UNAVAILABLE)


def invalid_client_attribute(attribute: bytes) -> ErrorReply:
    """Return the error of a CLIENT SETINFO value with spaces or control characters."""
    return _error(b"%b cannot contain spaces, newlines or special characters." % attribute)


INVALID_CLIENT_NAME = invalid_client_attribute(b"Client names")


def name_too_long(limit: int) -> ErrorReply:
    return _error(b"names of clients and libraries have at most %d bytes" % limit)


def unknown_client_option(option: bytes) -> ErrorReply:
    return _error(b"Unrecognized option '%b'" % option[:MAX_ECHOED])


def unknown_client_type(kind: bytes) -> ErrorReply:
    return _error(b"Unknown client type '%b'" % kind[:MAX_ECHOED])


def no_such_user(name: bytes) -> ErrorReply:
    return _error(b"No such user '%b'" % name[:MAX_ECHOED])


def invalid_hello_option(option: bytes) -> ErrorReply:
    return _error(b"Syntax error in HELLO option '%b'" % option[:MAX_ECHOED])


# ---------------------------------------------------------------- publish/subscribe

SUBSCRIBE_NEEDS_CONNECTION = _error(b"a subscription needs a TCP connection, or GET /subscribe over HTTP")
TOO_MANY_PATTERNS = _error(b"too many patterns are subscribed to on this server")
TOO_MANY_SUBSCRIPTIONS = _error(b"too many channels and patterns are subscribed to on this server")


def too_many_subscriptions(limit: int) -> ErrorReply:
    return _error(b"too many subscriptions, they take more than %d bytes" % limit)


def channel_too_long(limit: int) -> ErrorReply:
    return _error(b"the name of a channel has at most %d bytes" % limit)


def channel_pattern_too_long(limit: int) -> ErrorReply:
    return _error(b"a pattern of channels has at most %d bytes" % limit)


# As in Redis (`processCommand`).
def not_while_subscribed(command: bytes) -> ErrorReply:
    text = (
        b"Can't execute '%b': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
        % command.lower()
    )
    return (
        ErrorReply(b"EXECABORT", b"Transaction discarded because of: " + text) if command == b"EXEC" else _error(text)
    )


# ---------------------------------------------------------------- CLIENT TRACKING
# The texts are Redis 7.0's, except for bounds that Redis does not have.

TRACKING_NEEDS_CONNECTION = _error(b"CLIENT TRACKING needs a TCP connection")
TOO_MANY_PREFIXES = _error(b"too many prefixes are tracked on this server")
SEVERAL_REDIRECTIONS = _error(b"A client can only redirect to a single other client")
NO_CLIENT_TO_REDIRECT_TO = _error(b"The client ID you want redirect to does not exist")
REDIRECTION_NEEDS_SUBSCRIPTION = _error(
    b"The client ID you want redirect to has to subscribe to a channel first, because it has a thread of its own here"
)
PREFIX_NEEDS_BCAST = _error(b"PREFIX option requires BCAST mode to be enabled")
BCAST_NOT_SWITCHABLE = _error(
    b"You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a "
    b"different mode."
)
BCAST_WITHOUT_CHOICE = _error(b"OPTIN and OPTOUT are not compatible with BCAST")
OPTIN_AND_OPTOUT = _error(b"You can't specify both OPTIN mode and OPTOUT mode")
CHOICE_NOT_SWITCHABLE = _error(
    b"You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a "
    b"different mode."
)
CACHING_NEEDS_TRACKING = _error(
    b"CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"
)
CACHING_YES_NEEDS_OPTIN = _error(b"CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
CACHING_NO_NEEDS_OPTOUT = _error(b"CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")


def prefix_too_long(limit: int) -> ErrorReply:
    return _error(b"a prefix of keys has at most %d bytes" % limit)


def prefix_overlaps_existing(prefix: bytes, existing: bytes) -> ErrorReply:
    return _prefix_overlaps(prefix, b"an existing prefix", existing)


def prefix_overlaps_provided(prefix: bytes, provided: bytes) -> ErrorReply:
    return _prefix_overlaps(prefix, b"another provided prefix", provided)


def _prefix_overlaps(prefix: bytes, other: bytes, existing: bytes) -> ErrorReply:
    return _error(
        b"Prefix '%b' overlaps with %b '%b'. Prefixes for a single client must not overlap." % (prefix, other, existing)
    )


# ---------------------------------------------------------------- administration: CONFIG, SLOWLOG, SHUTDOWN

COUNT_TOO_LOW = _error(b"count should be greater than or equal to -1")
NO_SHUTDOWN_TO_ABORT = _error(b"No shutdown in progress.")
NO_SHUTDOWN_HERE = _error(b"SHUTDOWN needs a server, and this session has none")


# The four errors of CONFIG SET are Redis 7's. Since then one CONFIG SET may change several parameters.
def unknown_parameter(name: bytes) -> ErrorReply:
    return _error(b"Unknown option or number of arguments for CONFIG SET - '%b'" % name[:MAX_ECHOED])


def invalid_parameter(name: bytes, reason: str) -> ErrorReply:
    text = b"CONFIG SET failed (possibly related to argument '%b') - %b"
    return _error(text % (name[:MAX_ECHOED], reason.encode()))


def immutable_parameter(name: bytes) -> ErrorReply:
    return invalid_parameter(name, "can't set immutable config")


def duplicate_parameter(name: bytes) -> ErrorReply:
    return invalid_parameter(name, "duplicate parameter")


NOT_PARSED_AS_INTEGER = "argument couldn't be parsed into an integer"
"""A reason for `invalid_parameter`, like the next ones and what the two functions return."""


NOT_YES_OR_NO = "argument must be 'yes' or 'no'"
WRONG_NUMBER_OF_OUTPUT_LIMITS = "Wrong number of arguments in buffer limit configuration."
UNKNOWN_OUTPUT_CLASS = "Invalid client class specified in buffer limit configuration."
INVALID_OUTPUT_LIMIT = "Error in hard, soft or soft_seconds setting in buffer limit configuration."
INVALID_EVENT_CLASS = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."
NOT_A_MEMORY_VALUE = "argument must be a memory value"
BACKEND_STORES_DATA = "can't be combined with --backend, because the backing Redis stores the data"


def out_of_range(low: int, high: int) -> str:
    return f"argument must be between {low} and {high} inclusive"


def not_one_of(choices: Sequence[str]) -> str:
    return "argument(s) must be one of the following: " + ", ".join(choices)


# ---------------------------------------------------------------- the durable log

NO_LOG = _error(b"this server has no log; start it with --data")
LOG_SAVE_IN_PROGRESS = _error(b"Background save already in progress")
LOG_REWRITE_IN_PROGRESS = _error(b"Background append only file rewriting already in progress")


# As in Redis (`writeCommandsDeniedByDiskError`).
def log_failing(reason: str) -> ErrorReply:
    text = b"Errors writing to the AOF file: " + reason.encode(errors="replace")
    return ErrorReply(b"MISCONF", text, ErrorKind.UNAVAILABLE)


def log_rewrite_failed() -> ErrorReply:
    return _error(b"the snapshot could not be written, the server's log has the details", ErrorKind.UNAVAILABLE)


# ---------------------------------------------------------------- the backing Redis

CONNECTING = b"connecting to it"
WAITING_FOR_REPLY = b"waiting for its reply"
LOOKING_FOR_CLUSTER_NODES = b"looking for the cluster's nodes"
"""What a request waited for, for `backend_timed_out`."""

AUTH_REFUSED = b"it refuses AUTH, with an error that may contain the password"
CONNECTION_CLOSED = b"the connection was closed"
SERVER_STOPPING = b"the server is stopping"
NO_SLOTS_SERVED = b"the cluster serves no slots"
TOO_MANY_REDIRECTS = b"the cluster redirected the request too often"
"""Reasons for `backend_unavailable`."""

# A client must not repeat an INCR after this. Without these words it may.
OUTCOME_UNKNOWN = b"; whether the command ran is unknown"


def backend_unavailable(reason: bytes, *, outcome_unknown: bool = False) -> CommandError:
    """Return the error of a backing server that cannot be reached, or that serves no client at present.

    ``outcome_unknown`` is for a write that was sent, but whose reply did not arrive.
    """
    text = b"backend unavailable: " + reason + (OUTCOME_UNKNOWN if outcome_unknown else b"")
    return CommandError(_error(text, ErrorKind.UPSTREAM_DOWN))


def backend_timed_out(waiting: bytes, *, outcome_unknown: bool = False) -> CommandError:
    """Return the error of a backing server that is too slow. ``waiting`` names what was waited for."""
    text = b"backend unavailable: timed out " + waiting + (OUTCOME_UNKNOWN if outcome_unknown else b"")
    return CommandError(_error(text, ErrorKind.UPSTREAM_TIMEOUT))


def waiting_for_connection(limit: int) -> bytes:
    return b"waiting for one of its %d connections" % limit


def waiting_for_watch_connection(limit: int) -> bytes:
    return b"waiting for one of the %d connections that sessions with a WATCH may hold" % limit


def not_a_redis_reply(detail: str) -> bytes:
    return b"what it sent is not a Redis reply: " + detail.encode(errors="replace")


def unexpected_reply_type(name: str) -> bytes:
    return b"its reply has an unexpected type or shape (%b)" % name.encode()


def invalid_cluster_reply(detail: str) -> bytes:
    return b"invalid reply of a cluster node: " + detail.encode(errors="replace")


def slot_not_served(slot: int) -> bytes:
    return b"no node of the cluster serves slot %d" % slot


def nodes_failed(failed: int, nodes: int) -> bytes:
    return b"some nodes failed, the others have executed the command (%d of %d failed)" % (failed, nodes)


# A dict of errors works because an `ErrorReply` compares and hashes without its kind.
_KINDS_BY_TEXT = {each: each.kind for each in (NOT_AN_INTEGER, NOT_A_FLOAT, WOULD_OVERFLOW, WOULD_BE_INFINITE)}
_KINDS_BY_CODE = {OUT_OF_MEMORY.code: OUT_OF_MEMORY.kind}


def with_kind(error: ErrorReply) -> ErrorReply:
    """Return an error of a backing server with the kind that the same error has here. RESP does not transmit it."""
    kind = _KINDS_BY_TEXT.get(error) or _KINDS_BY_CODE.get(error.code)
    return error if kind is None else ErrorReply(error.code, error.message, kind)


# ---------------------------------------------------------------- HTTP


@dataclass(frozen=True, slots=True)
class HTTPProblem:
    """An error that only HTTP has: the status of the response, and the sentence in its body."""

    status: int
    sentence: str


HTTP_MALFORMED = HTTPProblem(400, "malformed HTTP request")
HTTP_TLS_ONLY = HTTPProblem(400, "this port speaks HTTPS only; use an https URL")
HTTP_UPGRADE_WITH_BODY = HTTPProblem(
    400, "protocol upgrades are not supported; send a request with a body without an Upgrade header"
)
HTTP_UNSUPPORTED_CODING = HTTPProblem(400, "the only supported transfer coding is chunked, and only in HTTP/1.1")
# RFC 9112, 3.2: a request with no Host header, or with more than one, gets 400.
HTTP_HOST_REQUIRED = HTTPProblem(400, "an HTTP/1.1 request needs exactly one Host header")
HTTP_REQUEST_TIMEOUT = HTTPProblem(408, "the rest of the request did not arrive in time")
HTTP_HEAD_TOO_LARGE = HTTPProblem(431, "the request line and the headers are too long")

HTTP_NOT_FOUND = HTTPProblem(404, "not found; see /docs")
# RFC 9110, 15.5.6: a 405 must have an Allow header.
HTTP_METHOD_NOT_ALLOWED = HTTPProblem(405, "method not allowed; see the Allow header")
HTTP_NO_SUCH_KEY = HTTPProblem(404, "no such key")
HTTP_PRECONDITION_FAILED = HTTPProblem(412, "precondition failed; nothing was changed")
HTTP_EXCLUSIVE_PARAMETERS = HTTPProblem(400, "only one of ex and px can be given, and only one of nx and xx")

HTTP_NOT_DURABLE = HTTPProblem(503, "the log could not be written; whether the request was executed is unknown")
# Against DNS rebinding: a page's own host name may resolve to this server, and is then "same origin" to the browser.
HTTP_HOST_NOT_ALLOWED = HTTPProblem(403, "host name not allowed; use the server's address or --http-host")
HTTP_CROSS_ORIGIN_WRITE = HTTPProblem(403, "cross-origin writes are not allowed")
HTTP_CSRF_POSSIBLE = HTTPProblem(
    403, "any web page can cause this GET, so it may only read; use POST, or send the password as a bearer token"
)
# RFC 9110, 9.2.1: HEAD is a safe method.
HTTP_HEAD_WRITES = HTTPProblem(405, "a HEAD request may only read; use GET or POST")
HTTP_PREFLIGHT_REJECTED = HTTPProblem(400, "the CORS policy does not allow this request")

HTTP_CHANNEL_EXPECTED = HTTPProblem(400, "give a channel or a pattern, such as /subscribe?channel=news")
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
