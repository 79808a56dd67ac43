"""A length that is out of bounds is refused and the connection is closed, without effect on other clients."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from common.limits import Limits
from tests.harness.frame_client import Answer, FrameClient, answers_in, frame, framed, get, set_to, take_answer
from tests.harness.processes import StartServer
from tests.harness.sessions import feed, new_session
from tests.integration.tcp.frames.test_table import refused

LONGEST = 2**24 - 1
OUT_OF_BOUNDS = [0, -1, -(2**31), 2**24, 3 * 2**24 - 1, -(2**24)]


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize("length", OUT_OF_BOUNDS)
def test_a_length_out_of_bounds_is_400_and_the_connection_is_closed(
    client: FrameClient, connect: Callable[[], FrameClient], length: int
) -> None:
    client.send(get("k") + struct.pack(">i", length) + set_to("evil", 1))
    first, second = answers_in(client.rest())
    assert first == {"status_code": 404}, "what was sent before is answered"
    assert refused(second)
    assert str(length) in second["error"]
    assert connect().ask({"command": "GET", "key": "evil"}) == {"status_code": 404}


@pytest.mark.usefixtures("beside")
def test_the_refusal_arrives_even_when_much_more_was_sent_after_it(
    client: FrameClient, connect: Callable[[], FrameClient]
) -> None:
    client.send(struct.pack(">i", 0) + set_to("evil", 1) * 15_000)
    (answer,) = answers_in(client.rest())
    assert refused(answer)
    assert connect().ask({"command": "GET", "key": "evil"}) == {"status_code": 404}


@pytest.mark.parametrize("length", OUT_OF_BOUNDS)
def test_a_length_out_of_bounds_is_reported_as_soon_as_its_fourth_byte_is_there(length: int) -> None:
    session = new_session()
    header = struct.pack(">i", length)
    assert feed(session, header[:3], 1) == b""
    answer, rest = take_answer(feed(session, header[3:]))
    assert refused(answer)
    assert rest == b""
    assert session.closing
    assert session.feed(get("k")) == b""


def test_the_longest_frame_that_is_allowed_is_taken(client: FrameClient) -> None:
    request = b'{"command": "PING"}'
    client.send(framed(request + b" " * (LONGEST - len(request))))
    assert client.answer() == {"status_code": 200, "value": "PONG"}


def test_a_declared_length_alone_is_waited_for(beside: FrameClient, client: FrameClient) -> None:
    client.send(struct.pack(">i", LONGEST))
    assert beside.run("PING") == "PONG"
    client.finish_sending()
    assert client.rest() == b"", "it was no mistake, so nothing is answered to what never came"


def padded(size: int) -> bytes:
    return framed(b'{"command": "PING"}'.ljust(size))


@pytest.mark.parametrize("limit", [19, 100, 300, 70_000])
def test_the_bound_is_exact_wherever_it_is_set(limit: int) -> None:
    session = new_session(limits=Limits(max_frame=limit))
    ping: Answer = {"status_code": 200, "value": "PONG"}
    assert answers_in(feed(session, padded(limit))) == [ping]
    answers = answers_in(feed(session, padded(19) + padded(limit + 1)))
    assert answers[0] == ping
    assert refused(answers[1])
    assert len(answers) == 2
    assert session.closing


def test_the_bound_is_that_of_the_command_line(start_server: StartServer) -> None:
    server = start_server("--port", "0", "--max-frame", "100")
    beside, client = FrameClient(server.port), FrameClient(server.port)
    try:
        client.send(padded(100) + padded(101))
        taken, refusal = answers_in(client.rest())
        assert taken == {"status_code": 200, "value": "PONG"}
        assert refused(refusal)
        assert beside.run("PING") == "PONG"
        big = "x" * 1000
        peer = server.connect()
        assert peer.ask(b"SET k " + big.encode()) == b"OK"
        assert beside.get("k") == big, "replies have no such bound"
    finally:
        beside.close()
        client.close()


def test_a_frame_of_one_byte_is_a_frame() -> None:
    session = new_session()
    (answer,) = answers_in(feed(session, frame(1)))
    assert refused(answer)
    assert not session.closing
