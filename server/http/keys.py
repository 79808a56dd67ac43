"""Keys as resources: HTTP's own methods and conditions read, write, delete and increment values."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from urllib.parse import unquote_to_bytes

from common.codec import Args
from common.errors import HTTP_EXCLUSIVE_PARAMETERS, HTTP_NO_SUCH_KEY, HTTP_PRECONDITION_FAILED
from common.limits import KIB
from common.replies import Lines, Reply
from server.args.integers import parse_integer
from server.http.messages import (
    DATABASE_HEADER,
    JSON,
    OCTETS,
    TEXT,
    HTTPError,
    Parameter,
    Request,
    Response,
    in_worker,
    json_response,
    lazy_response,
)
from server.http.reply_json import json_pieces
from server.http.routes import DATABASE, BodySpec, ResponseSpec, RouteGroup, Schema

routes = RouteGroup("keys", headers=DATABASE)

MAX_HASHED_ON_LOOP = 64 * KIB
"""Bytes of a value up to which its entity tag is computed on the event loop. It takes 0.1 milliseconds."""

KEY: Schema = {
    "name": "key",
    "in": "path",
    "required": True,
    "description": "The key, percent-encoded. It may contain any byte; a slash is `%2F`.",
    "schema": {"type": "string"},
    "example": "greeting",
}

CONDITION_HEADERS = {
    "If-Match": "Continue only if the value has one of these entity tags or, with `*`, if the key exists.",
    "If-None-Match": "Continue only if the value has none of these entity tags or, with `*`, if the key is missing.",
}
READ_HEADERS = {"Accept": "`application/json` for the value in JSON."} | CONDITION_HEADERS

VALUE = BodySpec("application/octet-stream", {"type": "string", "format": "binary"}, "hello", required=False)
JSON_VALUE = BodySpec(
    "application/json",
    {
        "type": "object",
        "properties": {"value": {"type": "string"}, "base64": {"type": "string", "format": "byte"}},
    },
    {"value": "hello"},
)
NUMBER = BodySpec("text/plain", {"type": "string", "pattern": "^-?[0-9]+$"}, "11")
JSON_NUMBER = BodySpec(
    "application/json",
    {"type": "object", "required": ["value"], "properties": {"value": {"type": "integer"}}},
    {"value": 11},
)
LISTING = BodySpec(
    "application/json",
    {
        "type": "object",
        "required": ["cursor", "keys"],
        "properties": {"cursor": {"type": "string"}, "keys": {"type": "array", "items": {"type": "string"}}},
    },
    {"cursor": "0", "keys": ["greeting", "visits"]},
)
LINES = BodySpec("text/plain", {"type": "string"}, "SET greeting hello\n")

NO_SUCH_KEY = ResponseSpec("The key does not exist.")
PRECONDITION_FAILED = ResponseSpec("A condition is not met; nothing was changed.")


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
    # Up to 64 bits without a sign. Checked here as well as by SCAN, because this error names the parameter.
    if not arg.isdigit() or len(arg) > 20:
        raise ValueError
    return arg


POSITIVE: Schema = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
EX = Parameter("ex", "the key's time to live in seconds, at least 1", POSITIVE, 60, _positive)
PX = Parameter("px", "the key's time to live in milliseconds, at least 1", POSITIVE, 60_000, _positive)
FLAG: Schema = {"anyOf": [{"type": "boolean"}, {"type": "string", "enum": ["", "0", "1"]}]}
NX = Parameter("nx", "a flag (empty, true or false): only if the key does not exist", FLAG, False, _flag)
XX = Parameter("xx", "a flag (empty, true or false): only if the key exists", FLAG, False, _flag)
BY = Parameter(
    "by", "an integer of 64 bits", {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}, 10, parse_integer
)
MATCH = Parameter("match", "a pattern as in KEYS", {"type": "string"}, "greet*", bytes)
CURSOR = Parameter(
    "cursor", "the cursor of the previous response", {"type": "string", "pattern": "^[0-9]{1,20}$"}, "0", _cursor
)
COUNT = Parameter("count", "the approximate number of keys to return, at least 1", POSITIVE, 100, _positive)


# ---------------------------------------------------------------- one key


@routes.add(
    "GET",
    "/keys/{key}",
    {
        200: ResponseSpec("The value.", (VALUE, JSON_VALUE), ("ETag",)),
        304: ResponseSpec("The value still has the entity tag.", headers=("ETag",)),
        404: NO_SUCH_KEY,
        412: PRECONDITION_FAILED,
    },
    path_parameter=KEY,
    headers=READ_HEADERS,
    safe=True,
)
async def get_value(request: Request) -> Response:
    """Return the value of a key.

    In JSON it is `{"value": …}`, or `{"base64": …}` if the bytes are not UTF-8.
    """
    request.parameters()
    value = await request.execute(b"GET", _key(request))
    etag = await _etag_in_time(value) if isinstance(value, bytes) else None
    # If-Match precedes If-None-Match (RFC 9110, 13.2.2). A missing key does not even match `*` (13.1.1).
    if _etag_matches(request, b"if-match", etag) is False:
        raise _precondition_failed()
    if not isinstance(value, bytes) or etag is None:
        raise _not_found()
    # Any client may change the value at any time, so a cache must ask before each use (RFC 9111, 5.2.2.4). The 304 that
    # it gets must have these headers too (RFC 9110, 15.4.5).
    headers = [(b"etag", etag), (b"vary", b"accept, " + DATABASE_HEADER), (b"cache-control", b"no-cache")]
    if _etag_matches(request, b"if-none-match", etag):
        return Response(304, headers=headers)
    if request.wants_json:
        return lazy_response(JSON, _value_json(value), headers)
    return Response(200, value, [(b"content-type", OCTETS), *headers])


@routes.add(
    "HEAD",
    "/keys/{key}",
    {
        200: ResponseSpec("The key exists.", headers=("ETag", "Content-Length")),
        304: ResponseSpec("The value still has the entity tag.", headers=("ETag",)),
        404: NO_SUCH_KEY,
        412: PRECONDITION_FAILED,
    },
    path_parameter=KEY,
    headers=READ_HEADERS,
    safe=True,
)
async def head_value(request: Request) -> Response:
    """Report whether a key exists, the length of its value and its entity tag."""
    return await get_value(request)


@routes.add(
    "PUT",
    "/keys/{key}",
    {
        200: ResponseSpec("The key has the value; it had another one before.", headers=("ETag",)),
        201: ResponseSpec("The key has the value; it did not exist before.", headers=("ETag",)),
        412: PRECONDITION_FAILED,
    },
    parameters=(EX, PX, NX, XX),
    path_parameter=KEY,
    headers=CONDITION_HEADERS,
    body=VALUE,
)
async def put_value(request: Request) -> Response:
    """Set the value of a key.

    The body is the value, byte by byte; its content type is not stored. The conditions of the query and of the headers
    are checked in one step with the write.
    """
    key = _key(request)
    seconds, milliseconds, only_if_missing, only_if_present = request.parameters(EX, PX, NX, XX)
    if None not in (seconds, milliseconds) or (only_if_missing and only_if_present):
        raise HTTPError(HTTP_EXCLUSIVE_PARAMETERS)  # SET would reply with a syntax error that names none of them
    args = [b"SET", key, request.body]
    args += [b"EX", b"%d" % seconds] if seconds is not None else []
    args += [b"PX", b"%d" % milliseconds] if milliseconds is not None else []
    args += [b"NX"] if only_if_missing else []
    args += [b"XX"] if only_if_present else []
    # SET does not report whether the key existed. EXISTS in the same transaction does, for the choice of 200 or 201.
    existed, done = await _conditional_update(request, key, [b"EXISTS", key], args)
    if done is None:
        raise _precondition_failed()
    # A PUT may return the new tag, because the body is stored as it is (RFC 9110, 9.3.4). No further GET is needed.
    return Response(200 if existed else 201, headers=[(b"etag", await _etag_in_time(request.body))])


@routes.add(
    "DELETE",
    "/keys/{key}",
    {204: ResponseSpec("The key was deleted."), 404: NO_SUCH_KEY, 412: PRECONDITION_FAILED},
    path_parameter=KEY,
    headers=CONDITION_HEADERS,
)
async def delete_key(request: Request) -> Response:
    """Delete a key."""
    request.parameters()
    key = _key(request)
    (deleted,) = await _conditional_update(request, key, [b"DEL", key])
    if not deleted:
        raise _not_found()
    return Response(204)


@routes.add(
    "POST",
    "/keys/{key}/incr",
    {
        200: ResponseSpec("The new integer.", (NUMBER, JSON_NUMBER)),
        409: ResponseSpec("The value is not an integer, or the sum does not fit 64 bits."),
        412: PRECONDITION_FAILED,
    },
    parameters=(BY,),
    path_parameter=KEY,
    headers={"Accept": "`application/json` for the integer in JSON."} | CONDITION_HEADERS,
)
async def increment(request: Request) -> Response:
    """Add to the integer that a key holds. A missing key counts as 0."""
    key = _key(request)
    (by,) = request.parameters(BY)
    (total,) = await _conditional_update(request, key, [b"INCRBY", key, b"%d" % (1 if by is None else by)])
    if request.wants_json:
        return json_response(200, {"value": total})
    return Response(200, str(total).encode(), [(b"content-type", TEXT)])


def _key(request: Request) -> bytes:
    argument = request.path_argument
    # A plus is a plus in a path. The bytes need not be UTF-8.
    return unquote_to_bytes(argument) if b"%" in argument else argument


def _value_json(value: bytes) -> Iterator[bytes]:
    # Checked as a whole, because the name of the only member depends on it.
    try:
        value.decode()
    except UnicodeDecodeError:
        yield b'{"base64":'
        yield from json_pieces(value, base64=True)
    else:
        yield b'{"value":'
        yield from json_pieces(value)
    yield b"}"


def _not_found() -> HTTPError:
    return HTTPError(HTTP_NO_SUCH_KEY)


# ---------------------------------------------------------------- conditions


def _etag(value: bytes) -> bytes:
    """Return a value's entity tag. It depends on the bytes alone, so equal values have equal tags, in JSON or not.

    So a client that has read the value in JSON can use the tag as the condition of a PUT of bytes. Nothing is stored
    next to the value, so a change through another protocol changes the tag as well.
    """
    # A cryptographic hash: a client cannot construct another value with the same tag, which If-Match would accept.
    return b'"%b"' % blake2b(value, digest_size=16).hexdigest().encode()


async def _etag_in_time(value: bytes) -> bytes:
    """Return a value's entity tag without delaying the event loop."""
    return _etag(value) if len(value) <= MAX_HASHED_ON_LOOP else await in_worker(_etag, value)


def _etag_matches(request: Request, header: bytes, etag: bytes | None) -> bool | None:
    """Return whether a header names this entity tag, None if there is no such header.

    The entity tag of a missing key is None.
    """
    field = request.headers.get(header)
    if field is None:
        return None
    if etag is None:
        return False
    # A proxy that compresses makes the tag a weak one. It is accepted in If-Match too, although RFC 9110 (13.1.1)
    # wants a strong comparison there: the hash identifies the stored bytes in either form. No tag of this server has a
    # comma, so a plain split is enough.
    tags = [tag.strip(b" \t").removeprefix(b"W/") for tag in field.split(b",")]
    return tags == [b"*"] or etag in tags


def _check_conditions(request: Request, etag: bytes | None) -> None:
    """Raise `HTTPError` unless the entity tag meets the conditions of the headers."""
    if _etag_matches(request, b"if-match", etag) is False or _etag_matches(request, b"if-none-match", etag):
        raise _precondition_failed()


def _precondition_failed() -> HTTPError:
    return HTTPError(HTTP_PRECONDITION_FAILED)


async def _conditional_update(request: Request, key: bytes, *commands: Args) -> list[Reply]:
    """Execute commands in one step if the key's value meets the conditions of the headers. Raises `HTTPError`.

    With conditions the key is watched, so the step fails if the value changes after it was checked.
    Returns the commands' replies in order.
    """
    if request.headers.keys() & {b"if-match", b"if-none-match"}:
        # WATCH before GET, so that a change between GET and EXEC makes EXEC fail and no update is lost.
        await request.execute(b"WATCH", key)
        value = await request.execute(b"GET", key)
        _check_conditions(request, await _etag_in_time(value) if isinstance(value, bytes) else None)
    elif len(commands) == 1:  # atomic by itself, and a transaction would cost a backing Redis three commands for one
        return [await request.execute(*commands[0])]
    replies = await request.execute_all(*commands)
    if replies is None:  # the value has changed since it was checked: 412 too, so the client reads it again
        raise _precondition_failed()
    return replies


# ---------------------------------------------------------------- all keys


@routes.add(
    "GET",
    "/keys",
    {200: ResponseSpec("Some keys, and the cursor of the next ones.", (LISTING,))},
    parameters=(MATCH, CURSOR, COUNT),
    headers={"Upstash-Encoding": "`base64` for the keys in base64, if they are not UTF-8."},
    safe=True,
)
async def list_keys(request: Request) -> Response:
    """Return some of the keys, as SCAN does.

    Begin without a cursor and continue with the returned one until it is `0`.
    """
    match, cursor, count = request.parameters(MATCH, CURSOR, COUNT)
    # SCAN rather than KEYS, which would hold the store for as long as it takes to list all keys.
    args = [b"SCAN", cursor or b"0"]
    args += [b"MATCH", match] if match is not None else []
    args += [b"COUNT", b"%d" % count] if count is not None else []
    return lazy_response(JSON, _listing_json(await request.execute(*args), request.wants_base64))


def _listing_json(reply: Reply, base64: bool) -> Iterator[bytes]:
    assert isinstance(reply, list)
    # The cursor is a string: it has up to 64 bits, and JavaScript's numbers are exact up to 53.
    next_cursor, found = reply
    yield b'{"cursor":'
    yield from json_pieces(next_cursor)
    yield b',"keys":'
    yield from json_pieces(found, base64=base64)
    yield b"}"


@routes.add("DELETE", "/keys", {204: ResponseSpec("The store is empty.")})
async def delete_all(request: Request) -> Response:
    """Delete every key."""
    request.parameters()
    await request.execute(b"FLUSHDB")
    return Response(204)


@routes.add("GET", "/compact", {200: ResponseSpec("Commands of the text protocol, one a line.", (LINES,))}, safe=True)
async def compact(request: Request) -> Response:
    """Return commands that rebuild the keyspace, oldest key first."""
    request.parameters()
    # `Lines` makes each line when it is asked for, so the response never is in memory as a whole.
    lines = await request.execute(b"COMPACT")
    assert isinstance(lines, Lines)
    # In a worker, because a line is as long as its value, and a backing Redis has to be asked for it.
    return await in_worker(lazy_response, TEXT, lines.pieces(b"\n"))
