"""Commands over HTTP, in the form that Upstash's REST API made common; so its clients work here unchanged.

No command has code here: words go into the session, and replies come out as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from common.codec import Args
from common.replies import ErrorReply, Reply
from server.http.exchange import JSON, Answer, Exchange, Problem, lazy_answer, status_of
from server.http.reply_json import array_pieces, outcome_pieces
from server.http.routes import Body, Documentation, Documented, Routes
from server.protocols.strict_json import UnreadableJSON, parse_json, word_of
from server.session.session import Session

routes = Routes("commands")

ENCODING = {"Upstash-Encoding": "`base64` for results in base64, where they are not UTF-8."}

COMMAND_SCHEMA: Documentation = {
    "type": "array",
    "minItems": 1,
    "items": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]},
}
COMMANDS_SCHEMA: Documentation = {"type": "array", "items": COMMAND_SCHEMA}
OUTCOME_SCHEMA: Documentation = {"type": "object", "properties": {"result": {}, "error": {"type": "string"}}}

COMMAND = Body("application/json", COMMAND_SCHEMA, ["SET", "greeting", "hello"])
COMMANDS = Body("application/json", COMMANDS_SCHEMA, [["INCR", "visits"], ["GET", "greeting"]])
RESULT = Documented("The reply.", (Body("application/json", OUTCOME_SCHEMA, {"result": "OK"}),))
RESULTS = Documented(
    "The outcomes, in order.",
    (Body("application/json", {"type": "array", "items": OUTCOME_SCHEMA}, [{"result": 1}, {"result": "hello"}]),),
)
LAST_WORD = Body("application/octet-stream", {"type": "string", "format": "binary"}, "hello")

WORDS: Documentation = {
    "name": "words",
    "in": "path",
    "required": True,
    "description": "The command and its arguments, each percent-encoded, with slashes between: `set/greeting/hello`.",
    "schema": {"type": "string"},
    "example": "ping",  # one word, for the page of the documentation would encode the slashes too
}


TOO_MANY_WORDS = "ERR too many words in request"

RESOURCES = {b"keys": b"DELETE, GET, HEAD, PUT", b"compact": b"GET, HEAD"}
"""First parts of paths that name both a resource and, in small letters, a command. In capitals they are the command.

With the methods that the resource knows.
"""


@routes.add("POST", "/", {200: RESULT}, headers=ENCODING, body=COMMAND, may_be_at_hand=True, runs_commands=True)
def run_command(exchange: Exchange) -> Answer:
    """Run a command.

    Every command of the table works. Its words are strings, numbers or booleans.
    """
    args = _words(_json(exchange.body))
    if len(args) > exchange.session.context.limits.max_args:
        raise Problem(400, TOO_MANY_WORDS)
    return _outcome(exchange, args)


@routes.add("POST", "/pipeline", {200: RESULTS}, headers=ENCODING, body=COMMANDS, runs_many=True, runs_commands=True)
def run_pipeline(exchange: Exchange) -> Answer:
    """Run commands one after the other; other clients' may run between them."""
    return _outcomes(_one_after_the_other(exchange.session, _all_words(exchange)), exchange.wants_base64)


def _one_after_the_other(session: Session, commands: list[Args]) -> Iterator[Reply]:
    """Run commands as their replies are asked for; none behind one that closes the connection, as on other ports."""
    for args in commands:
        yield session.answer(args)
        if session.closing:
            return


@routes.add("POST", "/multi-exec", {200: RESULTS}, headers=ENCODING, body=COMMANDS, runs_many=True, runs_commands=True)
def run_transaction(exchange: Exchange) -> Answer:
    """Run commands as one step, or none of them where one could not be queued."""
    commands = _all_words(exchange)
    for args in commands:
        command = exchange.session.context.commands.find(args[0])
        if command and command.immediate:
            raise Problem(400, f"a transaction knows no {command.name.decode()}")
    answer = exchange.session.answer
    answer([b"MULTI"])
    refusals = [reply for reply in map(answer, commands) if isinstance(reply, ErrorReply)]
    replies = answer([b"EXEC"])
    if not isinstance(replies, list):
        return _failure(refusals[0] if refusals else replies)
    return _outcomes(iter(replies), exchange.wants_base64)


@routes.add(
    "GET",
    "/{words:path}",
    {200: RESULT, 405: Documented("The path is a resource that knows no such method.")},
    path_parameter=WORDS,
    headers=ENCODING,
    may_be_at_hand=True,
    runs_commands=True,
)
def run_path(exchange: Exchange) -> Answer:
    """Run a command that is given by the path.

    What stands in the query follows it as options: `/set/greeting/hello?EX=60&NX`. On a server that is open to other
    machines and has no token, only commands that read are run so.
    """
    args = [*_path_words(exchange), *_options(exchange)]
    command = exchange.session.context.commands.find(args[0])
    if exchange.is_forgeable and command is not None and not command.reads:
        raise Problem(403, "any page could make a browser send this; send it by POST, or give the server a token")
    return _outcome(exchange, args)


@routes.add(
    "POST",
    "/{words:path}",
    {200: RESULT, 405: Documented("The path is a resource that knows no such method.")},
    path_parameter=WORDS,
    headers=ENCODING,
    body=LAST_WORD,
    runs_commands=True,
)
def run_path_with_body(exchange: Exchange) -> Answer:
    """Run a command that is given by the path, with the body as its last argument.

    What stands in the query follows it as options.
    """
    last = [exchange.body] if exchange.body else []
    return _outcome(exchange, [*_path_words(exchange), *last, *_options(exchange)])


def _path_words(exchange: Exchange) -> Args:
    args = [unquote_to_bytes(part) for part in exchange.path[1:].split(b"/")]
    if not args[0]:
        raise Problem(404, "there is nothing here; /docs tells what there is")
    if args[0] in RESOURCES:
        methods = b"DELETE, GET, HEAD" if args == [b"keys"] else RESOURCES[args[0]]
        sentence = f"{args[0].decode()} is no command here but a resource, which knows no such method"
        raise Problem(405, sentence, [(b"allow", methods)])
    return args


def _options(exchange: Exchange) -> Args:
    return [arg for pair in exchange.query_words() for arg in pair if arg]


# ---------------------------------------------------------------- words


def _json(body: bytes) -> Any:
    try:
        return parse_json(body)
    except UnreadableJSON as problem:
        raise Problem(400, f"the body is not JSON that can be used: {problem}") from None


def _words(command: Any) -> Args:
    if not isinstance(command, list) or not command:
        raise Problem(400, 'a command is an array of its words, such as ["GET", "greeting"]')
    return list(map(_word, command))


def _word(value: Any) -> bytes:
    if isinstance(value, bool):
        return b"true" if value else b"false"
    try:
        return word_of(value)
    except ValueError as problem:
        raise Problem(400, str(problem)) from None


def _all_words(exchange: Exchange) -> list[Args]:
    commands = _json(exchange.body)
    if not isinstance(commands, list):
        raise Problem(400, 'commands are an array of arrays, such as [["INCR", "visits"], ["GET", "greeting"]]')
    args = list(map(_words, commands))
    if sum(map(len, args)) > exchange.session.context.limits.max_args:
        raise Problem(400, TOO_MANY_WORDS)
    return args


# ---------------------------------------------------------------- outcomes


def _outcome(exchange: Exchange, args: Args) -> Answer:
    reply = exchange.answer(args)
    if isinstance(reply, ErrorReply):
        return _failure(reply)
    return lazy_answer(JSON, outcome_pieces(reply, base64=exchange.wants_base64))


def _failure(reply: Reply) -> Answer:
    status = status_of(reply) if isinstance(reply, ErrorReply) else 400
    return Answer(status, b"".join(outcome_pieces(reply)), [(b"content-type", JSON)])


def _outcomes(replies: Iterator[Reply], base64: bool) -> Answer:
    return lazy_answer(JSON, array_pieces(outcome_pieces(each, base64=base64) for each in replies))
