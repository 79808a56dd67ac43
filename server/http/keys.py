"""Keys as resources: a value is read, written, removed and counted on by HTTP's own methods and conditions."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from urllib.parse import unquote_to_bytes

from common.codec import Args
from common.replies import Lines, Reply
from server.args.integers import parse_integer
from server.http.exchange import JSON, OCTETS, TEXT, Answer, Exchange, Parameter, Problem, json_answer, lazy_answer
from server.http.reply_json import json_pieces
from server.http.routes import Body, Documentation, Documented, Routes

routes = Routes("keys")

PREFIX = b"/keys/"
COUNTING = b"/incr"

KEY: Documentation = {
    "name": "key",
    "in": "path",
    "required": True,
    "description": "The key, percent-encoded: any byte may stand in one, a slash as `%2F`.",
    "schema": {"type": "string"},
    "example": "greeting",
}

TAG_HEADERS = {
    "If-Match": "Go on only if the value has one of these entity tags, or, with `*`, if the key is there.",
    "If-None-Match": "Go on only if the value has none of these entity tags, or, with `*`, if the key is not there.",
}
READING_HEADERS = {"Accept": "`application/json` for the value in JSON."} | TAG_HEADERS

VALUE = Body("application/octet-stream", {"type": "string", "format": "binary"}, "hello")
VALUE_IN_JSON = Body(
    "application/json",
    {
        "type": "object",
        "properties": {"value": {"type": "string"}, "base64": {"type": "string", "format": "byte"}},
    },
    {"value": "hello"},
)
NUMBER = Body("text/plain", {"type": "string", "pattern": "^-?[0-9]+$"}, "11")
NUMBER_IN_JSON = Body(
    "application/json",
    {"type": "object", "required": ["value"], "properties": {"value": {"type": "integer"}}},
    {"value": 11},
)
LISTING = Body(
    "application/json",
    {
        "type": "object",
        "required": ["cursor", "keys"],
        "properties": {"cursor": {"type": "string"}, "keys": {"type": "array", "items": {"type": "string"}}},
    },
    {"cursor": "0", "keys": ["greeting", "visits"]},
)
LINES = Body("text/plain", {"type": "string"}, "SET greeting hello\n")

ABSENT = Documented("There is no such key.")
UNMET = Documented("A condition is not met; nothing was changed.")


def _positive(arg: bytes) -> int:
    number = parse_integer(arg)
    if number < 1:
        raise ValueError
    return number


def _flag(arg: bytes) -> bool:
    match arg.lower():
        case b"" | b"1" | b"true":
            return True
        case b"0" | b"false":
            return False
    raise ValueError


def _cursor(arg: bytes) -> bytes:
    if not arg.isdigit() or len(arg) > 20:
        raise ValueError
    return arg


POSITIVE: Documentation = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
EX = Parameter("ex", "the seconds for which the key lives, at least 1", POSITIVE, 60, _positive)
PX = Parameter("px", "the milliseconds for which the key lives, at least 1", POSITIVE, 60_000, _positive)
NX = Parameter("nx", "a flag (empty, true or false): only if the key is not there", {"type": "boolean"}, False, _flag)
XX = Parameter("xx", "a flag (empty, true or false): only if the key is there", {"type": "boolean"}, False, _flag)
BY = Parameter(
    "by", "an integer of 64 bits", {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}, 10, parse_integer
)
MATCH = Parameter("match", "a pattern as for KEYS", {"type": "string"}, "greet*", bytes)
CURSOR = Parameter(
    "cursor", "the cursor of the last answer", {"type": "string", "pattern": "^[0-9]{1,20}$"}, "0", _cursor
)
COUNT = Parameter("count", "about how many keys to return, at least 1", POSITIVE, 100, _positive)


# ---------------------------------------------------------------- one key


@routes.add(
    "GET",
    "/keys/{key:path}",
    {
        200: Documented("The value.", (VALUE, VALUE_IN_JSON), ("ETag",)),
        304: Documented("The value still has the entity tag.", headers=("ETag",)),
        404: ABSENT,
        412: UNMET,
    },
    path_parameter=KEY,
    headers=READING_HEADERS,
    reads=True,
    may_be_at_hand=True,
)
def get_value(exchange: Exchange) -> Answer:
    """Return the value of a key.

    In JSON it is `{"value": …}`, or `{"base64": …}` where the bytes are not UTF-8.
    """
    exchange.parameters()
    key = _key(exchange)
    value = exchange.run(b"GET", key)
    if _has_tag(exchange, b"if-match", value) is False:
        raise _unmet()
    if not isinstance(value, bytes):
        raise _absent()
    headers = [(b"etag", _tag(value)), (b"vary", b"accept"), (b"cache-control", b"no-cache")]
    if _has_tag(exchange, b"if-none-match", value):
        return Answer(304, headers=headers)
    if exchange.wants_json:
        return lazy_answer(JSON, _in_json(value), headers)
    return Answer(200, value, [(b"content-type", OCTETS), (b"x-content-type-options", b"nosniff"), *headers])


@routes.add(
    "HEAD",
    "/keys/{key:path}",
    {
        200: Documented("The key is there.", headers=("ETag", "Content-Length")),
        304: Documented("The value still has the entity tag.", headers=("ETag",)),
        404: ABSENT,
        412: UNMET,
    },
    path_parameter=KEY,
    headers=READING_HEADERS,
    reads=True,
    may_be_at_hand=True,
)
def head_value(exchange: Exchange) -> Answer:
    """Tell whether a key is there, its value's length and its entity tag."""
    return get_value(exchange)


@routes.add(
    "PUT",
    "/keys/{key:path}",
    {
        200: Documented("The key has the value; it had another before.", headers=("ETag",)),
        201: Documented("The key has the value; it is new.", headers=("ETag",)),
        412: UNMET,
    },
    parameters=(EX, PX, NX, XX),
    path_parameter=KEY,
    headers=TAG_HEADERS,
    body=VALUE,
)
def put_value(exchange: Exchange) -> Answer:
    """Give a key a value.

    The body is the value, byte by byte; its content type is not kept. The conditions of the query and of the headers
    are checked in one step with the writing.
    """
    key = _key(exchange)
    seconds, milliseconds, only_new, only_old = exchange.parameters(EX, PX, NX, XX)
    if None not in (seconds, milliseconds) or (only_new and only_old):
        raise Problem(400, "of ex and px only one can be given, and of nx and xx")
    args = [b"SET", key, exchange.body]
    args += [b"EX", b"%d" % seconds] if seconds is not None else []
    args += [b"PX", b"%d" % milliseconds] if milliseconds is not None else []
    args += [b"NX"] if only_new else []
    args += [b"XX"] if only_old else []
    was_there, done = _change(exchange, key, [b"EXISTS", key], args)
    if done is None:
        raise _unmet()
    return Answer(200 if was_there else 201, headers=[(b"etag", _tag(exchange.body))])


@routes.add(
    "DELETE",
    "/keys/{key:path}",
    {204: Documented("The key is gone."), 404: ABSENT, 412: UNMET},
    path_parameter=KEY,
    headers=TAG_HEADERS,
)
def delete_key(exchange: Exchange) -> Answer:
    """Remove a key."""
    exchange.parameters()
    key = _key(exchange)
    (removed,) = _change(exchange, key, [b"DEL", key])
    if not removed:
        raise _absent()
    return Answer(204)


@routes.add(
    "POST",
    "/keys/{key:path}/incr",
    {
        200: Documented("The new integer.", (NUMBER, NUMBER_IN_JSON)),
        409: Documented("The value is no integer, or would not fit 64 bits."),
        412: UNMET,
    },
    parameters=(BY,),
    path_parameter=KEY,
    headers={"Accept": "`application/json` for the integer in JSON."} | TAG_HEADERS,
)
def count_on(exchange: Exchange) -> Answer:
    """Add to the integer that a key holds; a key that is not there counts as 0."""
    key = unquote_to_bytes(exchange.path[len(PREFIX) : -len(COUNTING)])
    (by,) = exchange.parameters(BY)
    (total,) = _change(exchange, key, [b"INCRBY", key, b"%d" % (1 if by is None else by)])
    if exchange.wants_json:
        return json_answer(200, {"value": total})
    return Answer(200, str(total).encode(), [(b"content-type", TEXT)])


def _key(exchange: Exchange) -> bytes:
    return unquote_to_bytes(exchange.path[len(PREFIX) :])


def _in_json(value: bytes) -> Iterator[bytes]:
    try:
        value.decode()
    except UnicodeDecodeError:
        yield b'{"base64":'
        yield from json_pieces(value, base64=True)
    else:
        yield b'{"value":'
        yield from json_pieces(value)
    yield b"}"


def _absent() -> Problem:
    return Problem(404, "there is no such key")


# ---------------------------------------------------------------- conditions


def _tag(value: bytes) -> bytes:
    """Return a value's entity tag: it names the bytes, so that equal values have equal tags, in JSON or not."""
    return b'"%b"' % blake2b(value, digest_size=16).hexdigest().encode()


def _has_tag(exchange: Exchange, header: bytes, value: Reply) -> bool | None:
    """Tell whether the value is there and has one of the header's entity tags; None where there is no such header."""
    field = exchange.headers.get(header)
    if field is None:
        return None
    if not isinstance(value, bytes):
        return False
    tags = [tag.strip(b" \t").removeprefix(b"W/") for tag in field.split(b",")]
    return tags == [b"*"] or _tag(value) in tags


def _check_conditions(exchange: Exchange, value: Reply) -> None:
    """Raise `Problem` unless the value is one that the headers ask for, and none that they rule out."""
    if _has_tag(exchange, b"if-match", value) is False or _has_tag(exchange, b"if-none-match", value):
        raise _unmet()


def _unmet() -> Problem:
    return Problem(412, "the condition is not met, and nothing was changed")


def _change(exchange: Exchange, key: bytes, *commands: Args) -> list[Reply]:
    """Run commands as one step, if the key's value meets the headers' conditions in that very moment.

    Where there are conditions the key is watched, so that no write can come between the look and the step.
    """
    if exchange.headers.keys() & {b"if-match", b"if-none-match"}:
        exchange.run(b"WATCH", key)
        value = exchange.run(b"GET", key)
        _check_conditions(exchange, value)
    elif len(commands) == 1:
        return [exchange.run(*commands[0])]
    replies = exchange.run_all(*commands)
    if replies is None:
        raise _unmet()
    return replies


# ---------------------------------------------------------------- all keys


@routes.add(
    "GET",
    "/keys",
    {200: Documented("Some keys, and the cursor for the next ones.", (LISTING,))},
    parameters=(MATCH, CURSOR, COUNT),
    headers={"Upstash-Encoding": "`base64` for the keys in base64, where they are not UTF-8."},
    reads=True,
)
def list_keys(exchange: Exchange) -> Answer:
    """Return some of the keys, as SCAN does.

    Begin with no cursor and go on with the one that was returned until it is `0`.
    """
    match, cursor, count = exchange.parameters(MATCH, CURSOR, COUNT)
    args = [b"SCAN", cursor or b"0"]
    args += [b"MATCH", match] if match is not None else []
    args += [b"COUNT", b"%d" % count] if count is not None else []
    return lazy_answer(b"application/json", _listing(exchange.run(*args), exchange.wants_base64))


def _listing(reply: Reply, base64: bool) -> Iterator[bytes]:
    assert isinstance(reply, list)
    next_cursor, found = reply
    yield b'{"cursor":'
    yield from json_pieces(next_cursor)
    yield b',"keys":'
    yield from json_pieces(found, base64=base64)
    yield b"}"


@routes.add("DELETE", "/keys", {204: Documented("The store is empty.")})
def delete_all(exchange: Exchange) -> Answer:
    """Remove every key."""
    exchange.parameters()
    exchange.run(b"FLUSHALL")
    return Answer(204)


@routes.add("GET", "/compact", {200: Documented("Commands in the text dialect, one a line.", (LINES,))}, reads=True)
def compact(exchange: Exchange) -> Answer:
    """Print the fewest commands that rebuild the store, oldest key first."""
    exchange.parameters()
    block = exchange.run(b"COMPACT")
    assert isinstance(block, Lines)
    return lazy_answer(TEXT, (line + b"\n" for line in block.lines))
