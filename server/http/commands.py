"""Commands over HTTP, in the form of Upstash's REST API, so that its clients work here unchanged.

No command is implemented here: arguments go into the session, and replies are returned as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from common.codec import Args
from common.errors import (
    HTTP_COMMAND_EXPECTED,
    HTTP_COMMANDS_EXPECTED,
    HTTP_CSRF_POSSIBLE,
    HTTP_HEAD_WRITES,
    HTTP_METHOD_NOT_ALLOWED,
    HTTP_NOT_FOUND,
    HTTP_TOO_MANY_ARGUMENTS,
    http_invalid_argument,
    http_invalid_json,
    http_not_in_transaction,
)
from common.replies import ErrorKind, ErrorReply, Reply
from server.http.messages import (
    JSON,
    STATUS_BY_KIND,
    HTTPError,
    Request,
    Response,
    challenges,
    in_worker,
    is_lazy,
    lazy_response,
)
from server.http.reply_json import outcome_pieces
from server.http.routes import DATABASE, BodySpec, ResponseSpec, RouteGroup, Schema
from server.protocols.json_writer import array_pieces
from server.protocols.strict_json import UnreadableJSON, parse_json, to_argument
from server.registry import Flag
from server.session.session import Session

routes = RouteGroup("commands", headers=DATABASE)

ENCODING = {"Upstash-Encoding": "`base64` for results in base64, if they are not UTF-8."}

COMMAND_SCHEMA: Schema = {
    "type": "array",
    "minItems": 1,
    "items": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]},
}
COMMANDS_SCHEMA: Schema = {"type": "array", "items": COMMAND_SCHEMA}
OUTCOME_SCHEMA: Schema = {"type": "object", "properties": {"result": {}, "error": {"type": "string"}}}

COMMAND = BodySpec("application/json", COMMAND_SCHEMA, ["SET", "greeting", "hello"])
COMMANDS = BodySpec("application/json", COMMANDS_SCHEMA, [["INCR", "visits"], ["GET", "greeting"]])
RESULT = ResponseSpec("The reply.", (BodySpec("application/json", OUTCOME_SCHEMA, {"result": "OK"}),))
RESULTS = ResponseSpec(
    "The outcomes, in order.",
    (BodySpec("application/json", {"type": "array", "items": OUTCOME_SCHEMA}, [{"result": 1}, {"result": "hello"}]),),
)
NO_SUCH_METHOD = ResponseSpec("The path is a resource that does not have this method.")
LAST_ARGUMENT = BodySpec("application/octet-stream", {"type": "string", "format": "binary"}, "hello", required=False)

PATH_ARGUMENTS: Schema = {
    "name": "args",
    "in": "path",
    "required": True,
    "description": "The command and its arguments, each percent-encoded, with slashes between: `set/greeting/hello`.",
    "schema": {"type": "string"},
    "example": "ping",  # a single argument, because Swagger UI would encode the slashes too
}

RESOURCES = {b"keys": b"DELETE, GET, HEAD, PUT", b"compact": b"GET, HEAD"}
"""First parts of paths that are resources, with their methods. They are commands too, but only in capitals.

Otherwise a mistaken `GET /keys/a/b` would execute KEYS, with a confusing error or a large reply.
"""


@routes.add("POST", "/", {200: RESULT}, headers=ENCODING, body=COMMAND)
async def run_command(request: Request) -> Response:
    """Execute a command.

    Every command works except MONITOR. Its arguments are strings, numbers or booleans.
    """
    args = _arguments(_json(request.body))
    # The limit of RESP requests. An argument is an object of its own, many times larger than the `0,` in a body.
    if len(args) > request.session.context.limits.max_args:
        raise HTTPError(HTTP_TOO_MANY_ARGUMENTS)
    return await _outcome(request, args)


@routes.add("POST", "/pipeline", {200: RESULTS}, headers=ENCODING, body=COMMANDS)
async def run_pipeline(request: Request) -> Response:
    """Execute commands one after the other. Commands of other clients may run between them."""
    # In one worker from beginning to end. One step per command would cost a change of threads for each that waits.
    return await in_worker(_run_pipeline, request)


def _run_pipeline(request: Request) -> Response:
    # All arguments are read first, so that malformed input executes nothing.
    return _outcomes(_execute_in_order(request.session, _all_arguments(request)), request.wants_base64)


def _execute_in_order(session: Session, commands: list[Args]) -> Iterator[Reply]:
    """Execute commands as their replies are asked for, none after one that closes the connection."""
    for args in commands:
        yield session.execute_waiting(args)
        if session.closing:  # after QUIT, as on a RESP connection
            return


@routes.add("POST", "/multi-exec", {200: RESULTS}, headers=ENCODING, body=COMMANDS)
async def run_transaction(request: Request) -> Response:
    """Execute commands in one step, or none of them if one could not be queued."""
    return await in_worker(_run_transaction, request)


def _run_transaction(request: Request) -> Response:
    commands = _all_arguments(request)
    # Commands that are not queued, such as EXEC and RESET, would end the transaction that begins below.
    for args in commands:
        command = request.session.context.commands.find(args[0])
        if command is not None and command.flags & (Flag.NOT_QUEUED | Flag.NO_MULTI):
            raise HTTPError(http_not_in_transaction(command.name.decode()))
    execute = request.session.execute_waiting
    execute([b"MULTI"])
    # All commands are queued even after an error, so that EXEC reports it as in Redis (EXECABORT).
    errors = [reply for reply in map(execute, commands) if isinstance(reply, ErrorReply)]
    replies = execute([b"EXEC"])
    if not isinstance(replies, list):
        # EXECABORT does not say why. The first command that could not be queued does.
        return _failure(errors[0] if errors else replies)
    return _outcomes(iter(replies), request.wants_base64)


@routes.add("GET", "/{args}", {200: RESULT, 405: NO_SUCH_METHOD}, path_parameter=PATH_ARGUMENTS, headers=ENCODING)
async def run_path(request: Request) -> Response:
    """Execute the command that the path gives.

    The query follows it as options: `/set/greeting/hello?EX=60&NX`. A server that other machines can reach executes
    only commands that read, unless the request has the password as a bearer token.
    """
    args = [*_path_arguments(request), *_options(request)]
    command = request.session.context.commands.find(args[0])
    if command is not None and Flag.READONLY not in command.flags:  # an unknown command fails anyway
        if request.method == b"HEAD":
            raise HTTPError(HTTP_HEAD_WRITES, [(b"allow", b"GET, POST")])
        # An <img> of any page can send this GET. See `AccessPolicy.csrf_possible`.
        if request.csrf_possible:
            raise HTTPError(HTTP_CSRF_POSSIBLE)
    return await _outcome(request, args)


@routes.add(
    "POST",
    "/{args}",
    {200: RESULT, 405: NO_SUCH_METHOD},
    path_parameter=PATH_ARGUMENTS,
    headers=ENCODING,
    body=LAST_ARGUMENT,
)
async def run_path_with_body(request: Request) -> Response:
    """Execute the command that the path gives, with the body as its last argument.

    The query follows it as options.
    """
    last = [request.body] if request.body else []  # an empty value needs another form of the request
    return await _outcome(request, [*_path_arguments(request), *last, *_options(request)])


def _path_arguments(request: Request) -> Args:
    # Split before decoding, so that %2F is a slash inside an argument.
    name, *rest = (unquote_to_bytes(part) for part in request.path_argument.split(b"/"))
    # Generated clients encode all slashes of a path parameter. No command has a slash in its name.
    args = [*name.split(b"/"), *rest]
    if not args[0]:
        raise HTTPError(HTTP_NOT_FOUND)
    if args[0] in RESOURCES:
        methods = b"DELETE, GET, HEAD" if args == [b"keys"] else RESOURCES[args[0]]
        raise HTTPError(HTTP_METHOD_NOT_ALLOWED, [(b"allow", methods)])
    return args


def _options(request: Request) -> Args:
    # `EX=60` is two arguments, and `NX` without a value is one.
    return [arg for pair in request.query_pairs() for arg in pair if arg]


# ---------------------------------------------------------------- arguments


def _json(body: bytes) -> Any:
    try:
        return parse_json(body)
    except UnreadableJSON as problem:
        raise HTTPError(http_invalid_json(str(problem))) from None


def _arguments(command: Any) -> Args:
    if not isinstance(command, list) or not command:
        raise HTTPError(HTTP_COMMAND_EXPECTED)
    return list(map(_argument, command))


def _argument(value: Any) -> bytes:
    if isinstance(value, bool):  # before numbers, because bool is a subclass of int
        return b"true" if value else b"false"
    try:
        return to_argument(value)
    except ValueError as problem:
        raise HTTPError(http_invalid_argument(str(problem))) from None


def _all_arguments(request: Request) -> list[Args]:
    commands = _json(request.body)
    if not isinstance(commands, list):
        raise HTTPError(HTTP_COMMANDS_EXPECTED)
    args = list(map(_arguments, commands))
    if sum(map(len, args)) > request.session.context.limits.max_args:
        raise HTTPError(HTTP_TOO_MANY_ARGUMENTS)
    return args


# ---------------------------------------------------------------- outcomes


async def _outcome(request: Request, args: Args) -> Response:
    reply = await request.outcome(args)
    if isinstance(reply, ErrorReply):
        return _failure(reply)
    pieces = outcome_pieces(reply, base64=request.wants_base64)
    if is_lazy(reply):
        return await in_worker(lazy_response, JSON, pieces)
    return lazy_response(JSON, pieces)


def _failure(reply: Reply) -> Response:
    # Only for a resource is the stored value the state that a 409 speaks of. Upstash replies 400.
    kind = reply.kind if isinstance(reply, ErrorReply) else ErrorKind.CLIENT
    status = STATUS_BY_KIND[ErrorKind.CLIENT if kind is ErrorKind.CONFLICT else kind]
    return Response(status, b"".join(outcome_pieces(reply)), [(b"content-type", JSON), *challenges(status)])


def _outcomes(replies: Iterator[Reply], base64: bool) -> Response:
    return lazy_response(JSON, array_pieces(outcome_pieces(each, base64=base64) for each in replies))
