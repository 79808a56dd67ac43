"""Frames are replied to completely and in order: cut, pipelined, large, and from many clients at once."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from functools import partial

import pytest

from server.session.stream import OUTPUT_SIZE
from tests.harness.cases import case
from tests.harness.frame_client import FrameClient, answers_in, frame, get, run, set_to
from tests.harness.processes import ServerProcess
from tests.harness.sessions import answers, feed, new_session
from tests.harness.waiting import all_at_once, wait_until

pytestmark = pytest.mark.every_scheduler

VALUE = {"größe": [1, -2.5, None, "\U0001f511"]}
STORY = frame({"command": "SET", "key": "k", "value": VALUE}, ascii_only=False)
GET_REPLY = {"status_code": 200, "value": VALUE}


def test_a_frame_that_arrives_byte_by_byte_is_replied_to(client: FrameClient, beside: FrameClient) -> None:
    for byte in STORY + get("k"):
        client.send(bytes([byte]))
        assert beside.run("PING") == "PONG"  # the server has read the byte alone
    assert client.answer() == {"status_code": 200}
    assert client.answer() == GET_REPLY


def test_a_frame_that_is_cut_in_two_at_any_place_is_replied_to(client: FrameClient, beside: FrameClient) -> None:
    for place in range(1, len(STORY)):
        with case(place):
            client.send(STORY[:place])
            assert beside.run("PING") == "PONG"
            client.send(STORY[place:])
            assert client.answer() == {"status_code": 200}
            assert beside.get("k") == VALUE
            beside.run("DEL", "k")


def test_two_frames_cut_in_three_at_any_two_places_are_replied_to() -> None:
    stream = STORY + get("k")
    for first, second in itertools.combinations(range(1, len(stream)), 2):
        assert answers_in(feed(new_session(), stream, first, second - first, len(stream))) == [
            {"status_code": 200},
            GET_REPLY,
        ]


def test_no_reply_is_sent_before_a_frame_is_complete() -> None:
    session = new_session()
    assert feed(session, STORY[:-1], 1) == b""
    assert answers_in(feed(session, STORY[-1:])) == [{"status_code": 200}]


def test_an_incomplete_frame_is_not_executed(client: FrameClient, beside: FrameClient) -> None:
    client.send(STORY[:-1])
    client.finish_sending()
    assert client.rest() == b""
    assert beside.ask({"command": "GET", "key": "k"}) == {"status_code": 404}


def test_frames_in_one_send_are_replied_to_in_order(client: FrameClient) -> None:
    client.send(b"".join([STORY, get("k"), run("INCR", "n"), get("none"), frame([]), run("INCR", "n"), get("n")]))
    client.finish_sending()
    answers = answers_in(client.rest())
    assert [answer["status_code"] for answer in answers] == [200, 200, 200, 404, 400, 200, 200]
    assert [answer.get("value") for answer in answers] == [None, VALUE, 1, None, None, 2, 2]


def test_ten_thousand_frames_in_one_send_get_ten_thousand_replies_in_order(client: FrameClient) -> None:
    client.send(b"".join(run("ECHO", number) for number in range(10_000)))
    client.finish_sending()
    assert [answer["value"] for answer in answers_in(client.rest())] == [str(number) for number in range(10_000)]


def test_a_value_of_ten_megabytes_is_returned_unchanged(client: FrameClient, beside: FrameClient) -> None:
    value = "zwölf\n" * (10_000_000 // 7) + "end"
    assert len(json.dumps(value, ensure_ascii=False).encode()) > 10_000_000
    client.send(frame({"command": "SET", "key": "big", "value": value}, ascii_only=False))
    assert client.answer() == {"status_code": 200}
    assert client.get("big") == value
    assert beside.run("STRLEN", "big") == len(json.dumps(value, ensure_ascii=False).encode())


def test_fifty_clients_that_count_at_once_count_exactly(
    connect: Callable[[], FrameClient], client: FrameClient
) -> None:
    def count(each: FrameClient) -> list[int]:
        return [each.run("INCR", "counter") for _ in range(40)]

    seen = all_at_once([partial(count, connect()) for _ in range(50)])
    assert all(numbers == sorted(numbers) for numbers in seen), "each connection's replies are in order"
    assert sorted(itertools.chain(*seen)) == list(range(1, 2001)), "every number is replied exactly once"
    assert client.get("counter") == 2000


def test_half_a_frame_and_a_disconnected_client_leave_no_trace(server: ServerProcess, beside: FrameClient) -> None:
    clients = server.clients()
    peer = server.connect()
    assert peer.ask(b"PING") == b"PONG"
    peer.send(set_to("partial", 1)[:-1])
    peer.reset()
    wait_until(lambda: server.clients() == clients, "the connection is closed")
    assert beside.ask({"command": "GET", "key": "partial"}) == {"status_code": 404}


@pytest.mark.parametrize("missing", range(1, 5))
def test_a_reply_is_never_cut_between_two_writes(missing: int) -> None:
    session = new_session()
    empty = feed(session, set_to("k", "") + get("k"))
    overhead = len(empty) - len(feed(session, set_to("k", "")))
    feed(session, set_to("k", "x" * (OUTPUT_SIZE - overhead - missing)) + set_to("l", 1))
    writes = list(answers(session, get("k") + get("l") + get("k")))
    assert len(writes) > 1, "the output did not fit into one write"
    assert [len(answers_in(write)) for write in writes] == [2, 1], "whole frames, or this raises"
