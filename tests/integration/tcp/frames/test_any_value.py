"""A stored JSON value is returned equal and of the same type, wherever the stream is cut."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.harness.frame_client import answers_in, frame, framed, get
from tests.harness.sessions import feed, new_session
from tests.property.strategies import sizes

LIKE_SOMETHING_ELSE = [
    *("12", "-0", "1.0", "1e5", "true", "null", "NaN", "[1]", '{"a": 1}', "", " ", '"', "\\", '"12"', "\\u0041"),
    *("\0", "\r\n", "*1\r\n", "\x7f", "\u2028", "\ufeff", "\ufffd", "\uffff", "\U0001f511", "\ud83d\ude00", "\ud800"),
]

strings = st.text() | st.text(st.characters()) | st.sampled_from(LIKE_SOMETHING_ELSE)

integers = (
    st.integers()
    | st.sampled_from([2**53 + 1, 2**63, -(2**63) - 1, 2**64])
    | st.builds(
        lambda head, zeros, tail: head * 10**zeros + tail, st.integers(-99, 99), st.integers(0, 3997), st.integers()
    )
)

floats = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [-0.0, 5e-324, 1.0, 1e22, 2.0**53, 0.1 + 0.2]
)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | integers | floats | strings,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4),
    max_leaves=15,
)

storable = json_values.filter(lambda value: value is not None)

keys = strings.filter(lambda key: key != "" and not any("\ud800" <= each <= "\udfff" for each in key))


def after_round_trip(value: Any) -> Any:
    """Return a value after a JSON round trip. It joins two adjacent halves of a surrogate pair to one character."""
    return json.loads(json.dumps(value))


def written(request: dict[str, Any], *, ascii_only: bool, indent: int | None) -> bytes:
    """Encode a request in one of the ways that JSON allows."""
    try:
        return framed(json.dumps(request, ensure_ascii=ascii_only, indent=indent).encode())
    except UnicodeEncodeError:  # half a surrogate pair
        return frame(request)


@given(keys, storable, sizes, st.booleans(), st.none() | st.integers(0, 3))
def test_any_value_is_returned_equal_and_of_the_same_type(
    key: str, value: Any, pieces: list[int], ascii_only: bool, indent: int | None
) -> None:
    request = {"command": "SET", "key": key, "value": value}
    stream = written(request, ascii_only=ascii_only, indent=indent) + get(key)
    done, found = answers_in(feed(new_session(), stream, *pieces))
    assert done == {"status_code": 200}
    # Compared by repr(), because 1 == 1.0 == True, and 0.0 == -0.0.
    assert repr(found) == repr({"status_code": 200, "value": after_round_trip(value)})


@given(st.dictionaries(keys, storable, min_size=1, max_size=6), sizes)
def test_each_key_has_its_own_value(drawn: dict[str, Any], pieces: list[int]) -> None:
    sets = [frame({"command": "SET", "key": key, "value": value}) for key, value in drawn.items()]
    stream = b"".join(sets + [get(key) for key in drawn])
    answers = answers_in(feed(new_session(), stream, *pieces))
    assert answers[: len(drawn)] == [{"status_code": 200}] * len(drawn)
    expected = [{"status_code": 200, "value": after_round_trip(value)} for value in drawn.values()]
    assert repr(answers[len(drawn) :]) == repr(expected)


@given(json_values, sizes)
def test_any_json_as_a_request_gets_one_reply_and_keeps_the_connection_open(value: Any, pieces: list[int]) -> None:
    session = new_session()
    refusal, pong = answers_in(feed(session, frame(value) + frame({"command": "PING"}), *pieces))
    assert refusal["status_code"] == 400
    assert pong == {"status_code": 200, "value": "PONG"}


@given(st.binary(min_size=1, max_size=60), sizes)
def test_any_bytes_as_a_request_get_one_reply_and_keep_the_connection_open(body: bytes, pieces: list[int]) -> None:
    session = new_session()
    refusal, pong = answers_in(feed(session, framed(body) + frame({"command": "PING"}), *pieces))
    assert refusal["status_code"] == 400
    assert pong == {"status_code": 200, "value": "PONG"}
