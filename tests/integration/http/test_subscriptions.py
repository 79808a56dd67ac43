"""GET /subscribe: messages of channels as server-sent events."""

from __future__ import annotations

import json
import signal
import socket
from base64 import b64decode

import httpx
import pytest

from tests.harness.http_wire import Wire, new_http_client, request, start_with_http
from tests.harness.processes import ServerProcess, StartServer
from tests.harness.waiting import wait_until

BIG = 100_000


class Events:
    """A connection that receives events."""

    def __init__(self, wire: Wire, query: bytes, headers: bytes = b"") -> None:
        self.wire = wire
        wire.send(request(b"GET", b"/subscribe?" + query, headers=headers))
        self._lines = wire.socket.makefile("rb")
        assert self._lines.readline() == b"HTTP/1.1 200 OK\r\n"
        self.headers = {}
        while line := self._lines.readline().strip():
            name, _, value = line.partition(b": ")
            self.headers[name] = value

    def next(self) -> tuple[str, dict[str, object]]:
        """Return the next event and its data."""
        lines: list[bytes] = []
        while len(lines) < 2:
            line = self._lines.readline().strip()
            assert line != b"0", "the response has ended"
            if line.startswith((b"event: ", b"data: ")):
                lines.append(line)
        name, data = lines
        return name.removeprefix(b"event: ").decode(), json.loads(data.removeprefix(b"data: "))

    def rest(self) -> bytes:
        return self._lines.read()


def publish(http: httpx.Client, channel: str, message: str) -> int:
    result: int = http.post("/", json=["PUBLISH", channel, message]).json()["result"]
    return result


def test_messages_are_events_in_order(http: httpx.Client, wire: Wire) -> None:
    events = Events(wire, b"channel=news&pattern=n*&channel=other%20one")
    assert events.headers[b"content-type"] == b"text/event-stream"
    assert events.headers[b"cache-control"] == b"no-store"
    assert events.next() == ("subscribe", {"channel": "news", "subscriptions": 1})
    assert events.next() == ("subscribe", {"channel": "other one", "subscriptions": 2})
    assert events.next() == ("psubscribe", {"pattern": "n*", "subscriptions": 3})
    assert publish(http, "news", 'a "line"\n\nevent: forged') == 2
    assert publish(http, "other one", "é") == 1
    assert events.next() == ("message", {"channel": "news", "message": 'a "line"\n\nevent: forged'})
    assert events.next() == ("pmessage", {"pattern": "n*", "channel": "news", "message": 'a "line"\n\nevent: forged'})
    assert events.next() == ("message", {"channel": "other one", "message": "é"})


def test_a_message_that_is_not_text_can_be_had_in_base64(server: ServerProcess, wire: Wire) -> None:
    events = Events(wire, b"channel=a", b"Upstash-Encoding: base64\r\n")
    events.next()
    server.connect().ask(rb'PUBLISH a "\xff\x00"')
    _, data = events.next()
    assert b64decode(str(data["message"])) == b"\xff\x00"


def test_client_list_shows_the_subscription_until_the_client_disconnects(
    server: ServerProcess, http: httpx.Client
) -> None:
    with Wire(server.http_url) as wire:
        Events(wire, b"channel=a&pattern=p").next()
        listed = http.post("/", json=["CLIENT", "LIST", "TYPE", "pubsub"]).json()["result"]
        assert "flags=P" in listed
        assert "sub=1 psub=1" in listed
        wait_until(lambda: publish(http, "a", "x") == 1, "it is subscribed")
    wait_until(lambda: publish(http, "a", "x") == 0, "the subscription has ended with its connection")


@pytest.mark.parametrize(
    "more",
    [request(b"GET", b"/healthz"), request(b"GET", b"/healthz") * 5000, b"no HTTP"],
    ids=["request", "requests", "no HTTP"],
)
def test_the_events_end_with_the_input_of_the_client_whatever_follows_the_request(
    http: httpx.Client, wire: Wire, more: bytes
) -> None:
    events = Events(wire, b"channel=a")
    assert events.headers[b"connection"] == b"close"
    events.next()
    wire.send(more)
    publish(http, "a", "x")
    assert events.next()[0] == "message"
    wire.socket.shutdown(socket.SHUT_WR)
    assert events.rest().endswith(b"0\r\n\r\n")
    wait_until(lambda: publish(http, "a", "x") == 0, "the subscription has ended")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("", "give a channel or a pattern, such as /subscribe?channel=news"),
        ("?chanel=x", "unknown parameter 'chanel'"),
        (f"?pattern={'*' * 1025}", "ERR a pattern of channels has at most 1024 bytes"),
    ],
)
def test_a_wrong_query_is_refused(http: httpx.Client, query: str, error: str) -> None:
    got = http.get("/subscribe" + query)
    assert (got.status_code, got.json()) == (400, {"error": error})
    assert http.post("/", json=["PUBSUB", "NUMPAT"]).json() == {"result": 0}


def test_many_long_patterns_are_subscribed_to(http: httpx.Client, wire: Wire) -> None:
    events = Events(wire, b"&".join(b"pattern=%d%b" % (number, b"*a" * 400) for number in range(10)))
    assert [events.next()[1]["subscriptions"] for _ in range(10)] == list(range(1, 11))
    assert publish(http, "3" + "a" * 400, "x") == 1
    assert events.next()[0] == "pmessage"


def test_a_head_request_subscribes_to_nothing(http: httpx.Client) -> None:
    got = http.head("/subscribe?channel=a")
    assert (got.status_code, got.headers["content-type"]) == (200, "text/event-stream")
    assert publish(http, "a", "x") == 0


def test_subscribe_as_a_command_is_refused(http: httpx.Client) -> None:
    for command in ("SUBSCRIBE", "PSUBSCRIBE", "UNSUBSCRIBE"):
        got = http.post("/", json=[command, "x"])
        assert got.json() == {"error": "ERR a subscription needs a TCP connection, or GET /subscribe over HTTP"}


def test_the_token_is_needed_and_other_origins_are_refused(start_server: StartServer) -> None:
    server = start_with_http(start_server, KVLINE_HTTP_TOKEN="t0ken")
    with new_http_client(server.http_url) as http:
        assert http.get("/subscribe?channel=a").status_code == 401
        headers = {"Authorization": "Bearer t0ken", "Origin": "http://example.org"}
        assert http.get("/subscribe?channel=a", headers=headers).status_code == 403
    with Wire(server.http_url) as wire:
        assert Events(wire, b"channel=a", b"Authorization: Bearer t0ken\r\n").next()[0] == "subscribe"


def test_backpressure_a_client_that_does_not_read_is_closed_at_the_limit(
    start_server: StartServer,
) -> None:
    server = start_with_http(start_server, "--client-output-buffer-limit", "pubsub 1mb 0 0")
    with new_http_client(server.http_url) as http, Wire(server.http_url) as wire:
        Events(wire, b"channel=a").next()
        message = "x" * BIG
        wait_until(lambda: publish(http, "a", message) == 0, "the connection is closed")
        assert http.get("/healthz").status_code == 200
    wait_until(lambda: "is closed: it does not read what is pushed to it" in server.log, "the log says so")


def test_client_kill_closes_it(server: ServerProcess, http: httpx.Client, wire: Wire) -> None:
    events = Events(wire, b"channel=a")
    events.next()
    assert http.post("/", json=["CLIENT", "KILL", "TYPE", "pubsub"]).json() == {"result": 1}
    wait_until(lambda: publish(http, "a", "x") == 0, "the subscription has ended")


def test_the_events_end_in_an_orderly_way_when_the_server_stops(start_server: StartServer) -> None:
    server = start_with_http(start_server)
    with Wire(server.http_url) as wire:
        events = Events(wire, b"channel=a")
        events.next()
        server.signal(signal.SIGTERM)
        assert events.rest().endswith(b"0\r\n\r\n")
    assert server.exit_status() == 0
