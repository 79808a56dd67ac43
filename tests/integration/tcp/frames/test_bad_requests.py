"""A frame that is not a request gets an error with a reason. The connection stays open."""

from __future__ import annotations

from typing import Any

import pytest

from common.limits import Limits
from tests.harness.cases import case
from tests.harness.frame_client import FrameClient, answers_in, frame, framed, run
from tests.harness.sessions import feed, new_session
from tests.integration.tcp.frames.test_table import refused


def set_text(value: bytes) -> bytes:
    """Return a SET request with this text as its value, whether it is JSON or not."""
    return b'{"command": "SET", "key": "k", "value": ' + value + b"}"


NO_OBJECTS: list[Any] = [None, True, 12, 1.5, "GET", "", [], ["GET", "k"], [{"command": "PING"}], {}]
NO_COMMANDS: list[Any] = [
    {"command": each} for each in (None, "", 1, True, ["GET"], {"GET": 1}, "FLY", " GET", "\ud800")
]
NO_KEYS: list[Any] = [
    {"command": command, "value": 1, **key}
    for command in ("GET", "SET", "DEL")
    for key in (
        {},
        {"key": ""},
        {"key": None},
        {"key": 1},
        {"key": True},
        {"key": ["k"]},
        {"key": {}},
        {"key": "\udfff"},
    )
]
NO_VALUES: list[Any] = [{"command": "SET", "key": "k"}, {"command": "SET", "key": "k", "value": None}]
NO_ARGS: list[Any] = [
    {"command": "EXISTS", "args": each}
    for each in (None, True, 1, "k", {"0": "k"}, [None], [True], [["k"]], [{}], ["k", None], ["\ud800"], [])
]
NOT_JSON = {
    "only a space": b" ",
    "not JSON": b"GET k",
    "an incomplete object": b'{"command": "PING"',
    "two objects": b'{"command": "PING"}{"command": "PING"}',
    "a trailing comma": b'{"command": "PING",}',
    "single quotes": b"{'command': 'PING'}",
    "a NUL byte": b'{"command": "PING"}\0',
    "a line break in a string": set_text(b'"a\nb"'),
    "a byte order mark": '\ufeff{"command": "PING"}'.encode(),
    "UTF-16": '{"command": "PING"}'.encode("utf-16-le"),
    "invalid UTF-8": set_text(b'"\xff"'),
    "half a character": set_text(b'"\xc3"'),
    "an overlong character": set_text(b'"\xc0\x80"'),
    "a surrogate in UTF-8": set_text(b'"\xed\xa0\x80"'),
    "NaN": set_text(b"NaN"),
    "Infinity": set_text(b"[Infinity]"),
    "-Infinity": set_text(b'{"k": -Infinity}'),
    "1e400": set_text(b"1e400"),
    "-1e400": set_text(b"[-1e400]"),
    "an integer of 5,000 digits": set_text(b"9" * 5000),
    "a negative integer of 5,000 digits": set_text(b"[-" + b"9" * 5000 + b"]"),
    "an argument of 5,000 digits": b'{"command": "ECHO", "args": [' + b"9" * 5000 + b"]}",
    "5,000 arrays": set_text(b"[" * 5000 + b"]" * 5000),
    "5,000 objects": set_text(b'{"k":' * 5000 + b"1" + b"}" * 5000),
    "5,000 arrays left open": set_text(b"[" * 5000),
    "5,000 arrays that are the whole frame": b"[" * 5000 + b"]" * 5000,
    "5,000 arrays after many that are closed": set_text(b"[" + b"[]," * 300 + b"[" * 5000 + b"]" * 5001),
    "5,000 arrays after a string with a quote": set_text(b'["\\"]]",' + b"[" * 5000 + b"]" * 5001),
    "a million arrays": set_text(b"[" * 1_000_000 + b"]" * 1_000_000),
}


def test_an_incomplete_request_is_400(client: FrameClient) -> None:
    for request in NO_OBJECTS + NO_COMMANDS + NO_KEYS + NO_VALUES + NO_ARGS:
        with case(request):
            client.send(frame(request) + run("PING"))
            assert refused(client.answer())
            assert client.answer() == {"status_code": 200, "value": "PONG"}
            assert client.run("DBSIZE") == 0


@pytest.mark.usefixtures("beside")
def test_a_frame_that_is_not_json_is_400_with_a_reason(client: FrameClient) -> None:
    for name, body in NOT_JSON.items():
        with case(name):
            client.send(framed(body) + run("PING"))
            answer = client.answer()
            assert refused(answer)
            assert answer["error"].startswith("ERR not a request: ")
            assert client.answer() == {"status_code": 200, "value": "PONG"}
            assert client.run("EXISTS", "k") == 0


def test_a_quote_that_is_never_closed_does_not_block_the_server(client: FrameClient, beside: FrameClient) -> None:
    client.send(framed(set_text(b"[" * 300 + b'"' + b'\\"' * 1_000_000)))
    assert refused(client.answer())
    assert beside.run("PING") == "PONG"


@pytest.mark.parametrize("digits", ["9" * 4300, "-" + "9" * 4300])
def test_the_longest_allowed_integer_is_returned(client: FrameClient, digits: str) -> None:
    client.set("k", int(digits))
    assert client.get("k") == int(digits)
    assert client.run("ECHO", int(digits)) == digits


def test_nesting_is_bounded_for_the_whole_frame() -> None:
    session = new_session()

    def arrays(depth: int) -> bytes:
        return framed(set_text(b"[" * depth + b"]" * depth))  # the object around it counts too

    taken, refusal = answers_in(feed(session, arrays(255) + arrays(256)))
    assert taken == {"status_code": 200}
    assert refused(refusal)


IN_STRINGS: list[Any] = ["[" * 5000, "}" * 300 + "{" * 300, '"[' * 300, '\\"{' * 300, ["[]" * 300] * 300]


@pytest.mark.parametrize("value", IN_STRINGS, ids=lambda value: str(value)[:6])
def test_brackets_within_strings_do_not_count_as_nesting(client: FrameClient, value: object) -> None:
    client.set("k", value)
    assert client.get("k") == value


def test_many_arrays_side_by_side_do_not_count_as_nesting(client: FrameClient) -> None:
    value = [[{}]] * 1000
    client.set("k", value)
    assert client.get("k") == value


@pytest.mark.parametrize("command", ["MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "multi", "Exec"])
def test_transactions_are_refused(client: FrameClient, command: str) -> None:
    for more in ({}, {"args": []}, {"args": ["k"]}, {"key": "k"}):
        with case(more):
            assert refused(client.ask({"command": command, **more}))
            client.set("k", 1)
            assert client.get("k") == 1, "nothing is queued"


@pytest.mark.parametrize("command", ["\ufb02ushall", "mult\u0131", "R\u017fT", "\uff27ET", "fl\u00fcshall"])
def test_a_name_with_similar_non_ascii_letters_is_an_unknown_command(client: FrameClient, command: str) -> None:
    client.set("k", 1)
    answer = client.ask({"command": command, "args": []})
    assert refused(answer)
    assert answer["error"].startswith(f"ERR unknown command '{command}'")
    assert client.get("k") == 1


def test_an_unknown_command_is_reported_as_it_was_written(client: FrameClient) -> None:
    answer = client.ask({"command": "fly", "args": ["me", 2, "the moon"]})
    text = "ERR unknown command 'fly', with args beginning with: 'me' '2' 'the moon'"
    assert (answer["status_code"], answer["error"].rstrip()) == (400, text)


def test_wrong_arity_is_400(client: FrameClient) -> None:
    for request in ({"command": "GET", "args": []}, {"command": "INCR", "key": "k"}):
        name = request["command"].lower()  # type: ignore[attr-defined]
        text = f"ERR wrong number of arguments for '{name}' command"
        assert client.ask(request) == {"status_code": 400, "error": text}


def test_more_arguments_than_a_request_may_have_are_refused() -> None:
    session = new_session(limits=Limits(max_args=3))
    taken, refusal, after = answers_in(
        feed(session, run("EXISTS", "a", "b") + run("EXISTS", "a", "b", "c") + run("PING"))
    )
    assert taken == {"status_code": 200, "value": 0}
    assert refused(refusal)
    assert after == {"status_code": 200, "value": "PONG"}
