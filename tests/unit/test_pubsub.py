"""Publish/subscribe in one process: the protocols without RESP, bounds, and the state of a connection.

What RESP clients are sent is compared with Redis in tests/differential/test_pubsub.py.
"""

from __future__ import annotations

import json
import struct

import pytest

from common.replies import OK, ErrorReply, Push
from common.resp_client import encode_request
from server.clients import pubsub
from server.clients.pubsub import Kind
from server.clients.push import Subscriber, push_to_all
from server.keyspace.store import Store
from server.session.context import ServerContext
from server.settings.output_limits import OutputLimit
from tests.harness.sessions import (
    ClientSession,
    connect,
    execute,
    execute_line,
    feed,
    new_session,
    send_line,
    send_lines,
    transport_of,
)


def pushed(session: ClientSession) -> bytes:
    return session.stream.take_pushes()


def frame(*args: str) -> bytes:
    body = json.dumps({"command": args[0], "args": args[1:]}).encode()
    return struct.pack(">i", len(body)) + body


# ---------------------------------------------------------------- text


def test_in_text_a_push_is_a_line_whose_parts_can_be_split_like_a_request(
    session: ClientSession, other: ClientSession
) -> None:
    assert session.feed(b"SUBSCRIBE news a\n") == b""
    assert pushed(session) == b"subscribe news 1\nsubscribe a 2\n"
    session.feed(b"PSUBSCRIBE n*\r\n")
    assert pushed(session) == b"psubscribe n* 3\r\n"
    assert send_line(other, r'PUBLISH news "two\nlines"') == "2"
    assert pushed(session) == b'message news "two\\nlines"\r\npmessage n* news "two\\nlines"\r\n'
    session.feed(b"UNSUBSCRIBE\nPUNSUBSCRIBE\nUNSUBSCRIBE\n")
    assert pushed(session) == b"unsubscribe (nil) 0\n"


def test_in_text_every_command_is_allowed_while_subscribed(session: ClientSession, other: ClientSession) -> None:
    session.feed(b"SUBSCRIBE news\n")
    send_line(other, "PUBLISH news 1")
    assert session.feed(b"SET k v\nGET k\nPING\n") == b"subscribe news 1\nmessage news 1\nOK\nv\nPONG\n"


def test_confirmations_and_replies_to_a_pipeline_are_in_the_order_of_the_requests(session: ClientSession) -> None:
    output = session.feed(b"PING\nSUBSCRIBE a\nPING\nUNSUBSCRIBE a\nECHO x\n")
    assert output == b"PONG\nsubscribe a 1\nPONG\nunsubscribe a 0\nx\n"


def test_messages_have_the_protocol_of_the_last_request_about_subscriptions(
    session: ClientSession, other: ClientSession
) -> None:
    session.feed(b"SUBSCRIBE a\n")
    pushed(session)
    session.feed(encode_request([b"SUBSCRIBE", b"b"]))
    assert pushed(session) == b"*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"
    assert session.feed(b"GET k\n").startswith(b"(error) ERR Can't execute 'get'")
    session.feed(b"SUBSCRIBE c\n")
    pushed(session)
    assert session.feed(b"GET k\n") == b"(nil)\n"


# ---------------------------------------------------------------- JSON frames


def test_in_frames_a_push_is_an_object_without_a_status(session: ClientSession, other: ClientSession) -> None:
    session.feed(frame("SUBSCRIBE", "a", "b"))
    execute(other, b"PUBLISH", b"a", b'"x"\n')
    output = pushed(session)
    bodies = []
    while output:
        (size,) = struct.unpack_from(">i", output)
        bodies.append(json.loads(output[4 : 4 + size]))
        output = output[4 + size :]
    assert bodies == [
        {"push": ["subscribe", "a", 1]},
        {"push": ["subscribe", "b", 2]},
        {"push": ["message", "a", '"x"\n']},
    ]


# ---------------------------------------------------------------- encoding


def test_a_message_is_encoded_once_for_each_protocol(session: ClientSession) -> None:
    clients = [connect(session.context) for _ in range(6)]
    for client in clients[:3]:
        client.feed(encode_request([b"SUBSCRIBE", b"a"]))
    for client in clients[3:]:
        client.feed(b"SUBSCRIBE a\n")
    for client in clients:
        pushed(client)
    assert send_line(session, "PUBLISH a hello") == "6"
    queued = [client.session.pushes.queue.take()[0] for client in clients if client.session.pushes]
    assert len(queued) == 6
    assert len({id(data) for data in queued}) == 2


# ---------------------------------------------------------------- the state of a connection


def test_client_list_and_info_show_the_subscriptions(session: ClientSession, other: ClientSession) -> None:
    session.feed(b"SUBSCRIBE a b\nPSUBSCRIBE p*\nSSUBSCRIBE s\n")
    shown = send_line(other, f"CLIENT LIST ID {session.client.id}")
    assert " flags=P " in shown
    assert " sub=2 psub=1 ssub=1 " in shown
    assert f"id={session.client.id} " in send_line(other, "CLIENT LIST TYPE pubsub")
    assert f"id={session.client.id} " not in send_line(other, "CLIENT LIST TYPE normal")
    figures = send_line(other, "INFO stats").splitlines()
    assert {"pubsub_channels:2", "pubsub_patterns:1", "pubsubshard_channels:1"} <= set(figures)
    session.feed(b"RESET\n")
    assert " sub=0 psub=0 ssub=0 " in send_line(other, f"CLIENT LIST ID {session.client.id}")
    assert {"pubsub_channels:0", "pubsub_patterns:0"} <= set(send_line(other, "INFO stats").splitlines())


def test_nothing_is_sent_after_reset_and_nothing_is_stored(session: ClientSession, other: ClientSession) -> None:
    session.feed(b"SUBSCRIBE a\n")
    send_line(other, "PUBLISH a 1")
    assert session.feed(b"RESET\n") == b"subscribe a 1\nmessage a 1\nRESET\n"
    assert send_line(other, "PUBLISH a 2") == "0"
    assert pushed(session) == b""


def test_a_session_that_closes_ends_its_subscriptions(session: ClientSession, other: ClientSession) -> None:
    session.feed(b"SUBSCRIBE a\nPSUBSCRIBE *\nSSUBSCRIBE s\n")
    session.close()
    assert send_lines(other, "PUBLISH a 1", "SPUBLISH s 1", "PUBSUB NUMPAT") == ["0", "0", "0"]


def test_monitor_and_subscriptions_share_a_connection(session: ClientSession, other: ClientSession) -> None:
    session.feed(b"MONITOR\nSUBSCRIBE a\n")
    pushed(session)
    send_line(other, "PUBLISH a hello")
    message, line = pushed(session).splitlines()  # MONITOR shows a request after its execution
    assert line.endswith(b'"PUBLISH" "a" "hello"')
    assert message == b"message a hello"
    assert transport_of(session).enabled == 1


def test_a_transaction_subscribes_after_its_reply(session: ClientSession, other: ClientSession) -> None:
    assert session.feed(b"MULTI\nSUBSCRIBE a\nINCR n\nEXEC\n") == b"OK\nQUEUED\nQUEUED\n1) OK\n2) 1\n"
    assert pushed(session) == b"subscribe a 1\n"
    assert send_line(other, "PUBLISH a 1") == "1"


def test_without_a_connection_subscribing_is_refused_and_publishing_is_not() -> None:
    session = new_session()
    for line in ("SUBSCRIBE a", "PSUBSCRIBE a", "SSUBSCRIBE a", "UNSUBSCRIBE"):
        reply = execute_line(session, line)
        assert isinstance(reply, ErrorReply)
        assert reply.message == b"a subscription needs a TCP connection, or GET /subscribe over HTTP"
    assert execute_line(session, "PUBLISH a 1") == 0


# ---------------------------------------------------------------- bounds


def test_backpressure_a_subscriber_that_does_not_read_is_closed_at_the_limit(
    session: ClientSession, other: ClientSession
) -> None:
    session.feed(b"SUBSCRIBE a\n")
    transport = transport_of(session)
    transport.limit.limit = OutputLimit(hard=10_000)
    for _ in range(8):
        execute(other, b"PUBLISH", b"a", b"x" * 1_000)
    assert not transport.killed
    for _ in range(3):
        execute(other, b"PUBLISH", b"a", b"x" * 1_000)
    assert transport.killed
    assert pushed(session) == b""


def test_confirmations_do_not_exceed_the_limit(session: ClientSession) -> None:
    session.feed(b"SUBSCRIBE z\n")
    transport_of(session).limit.limit = OutputLimit(hard=1_000)
    session.feed(encode_request([b"SUBSCRIBE", *(b"%d" % number for number in range(1_000))]))
    assert not transport_of(session).killed
    assert pushed(session).count(b"subscribe") == 1_000


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ([b"SUBSCRIBE", b"ok", b"x" * 16_385], b"the name of a channel has at most 16384 bytes"),
        ([b"SSUBSCRIBE", b"ok", b"x" * 16_385], b"the name of a channel has at most 16384 bytes"),
        ([b"PSUBSCRIBE", b"ok", b"x" * 1_025], b"a pattern of channels has at most 1024 bytes"),
    ],
)
def test_a_name_that_is_too_long_subscribes_to_nothing(session: ClientSession, args: list[bytes], error: bytes) -> None:
    reply = execute(session, *args)
    assert isinstance(reply, ErrorReply)
    assert reply.message == error
    assert session.context.pubsub.count(Kind.CHANNELS) == session.context.pubsub.count(Kind.PATTERNS) == 0


def test_the_subscriptions_of_one_client_are_bounded(session: ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pubsub, "MAX_CLIENT_SUBSCRIPTIONS", 3 * (pubsub.SUBSCRIPTION_OVERHEAD + 1))
    session.feed(b"SUBSCRIBE a b\n")
    assert session.feed(b"SUBSCRIBE c d\n").endswith(b"too many subscriptions, they take more than 1539 bytes\n")
    assert session.context.pubsub.count(Kind.CHANNELS) == 2, "all or none"
    session.feed(b"SUBSCRIBE a b c\nUNSUBSCRIBE a\nSUBSCRIBE d\n")
    assert sorted(session.context.pubsub.topics(Kind.CHANNELS)) == [b"b", b"c", b"d"]


def test_the_subscriptions_of_all_clients_are_bounded(
    session: ClientSession, other: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pubsub, "MAX_SUBSCRIPTIONS", 2 * (pubsub.SUBSCRIPTION_OVERHEAD + 1))
    session.feed(b"SUBSCRIBE a b\n")
    assert b"too many channels and patterns" in other.feed(b"SUBSCRIBE a\n")
    session.close()
    other.feed(b"SUBSCRIBE a b\n")
    assert pushed(other) == b"subscribe a 1\nsubscribe b 2\n"


def test_the_different_patterns_of_all_clients_are_bounded(
    session: ClientSession, other: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pubsub, "MAX_PATTERNS", 2)
    session.feed(b"PSUBSCRIBE a* b*\n")
    assert b"too many patterns" in other.feed(b"PSUBSCRIBE c*\n")
    other.feed(b"PSUBSCRIBE a*\n")
    assert pushed(other) == b"psubscribe a* 1\n"


def test_a_hostile_pattern_is_matched_in_linear_time_of_its_length(session: ClientSession) -> None:
    session.feed(b"PSUBSCRIBE " + b"*a" * 500 + b"b\n")
    assert send_line(session, "PUBLISH " + "a" * 16_000 + " x").endswith("0")


def test_a_publish_that_may_take_long_does_not_delay_other_connections(
    session: ClientSession, other: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.session.defers_long_requests = True
    session.feed(b"PSUBSCRIBE a* b*\n")
    pushed(session)
    monkeypatch.setattr(pubsub, "MAX_QUICK_COMPARISONS", 3)
    for channel, message in ((b"a", bytes(pubsub.MAX_QUICK_MESSAGE + 1)), (b"aa", b"x")):
        assert other.feed(encode_request([b"PUBLISH", channel, message])) == b""
        assert other.stream.deferred
        assert other.feed(b"") + other.feed(b"") == b":1\r\n"
    assert other.feed(encode_request([b"PUBLISH", b"a", b"x"])) == b":1\r\n"


def test_patterns_that_take_long_to_compile_do_not_delay_other_connections(session: ClientSession) -> None:
    session.session.defers_long_requests = True
    patterns = [b"%d" % number + b"*" * 1_000 for number in range(3)]
    assert session.feed(encode_request([b"PSUBSCRIBE", *patterns])) == b""
    assert session.stream.deferred
    assert session.feed(b"") + session.feed(b"") == b""
    assert pushed(session).count(b"psubscribe") == 3


def test_a_message_that_is_put_while_the_subscriber_is_removed_is_not_stored(
    session: ClientSession, other: ClientSession
) -> None:
    session.feed(b"SUBSCRIBE a\n")
    queue = transport_of(session).queue
    assert queue is not None
    subscriber = Subscriber(queue, session.stream.encoder)
    session.close()
    push_to_all([subscriber], Push((b"message", b"a", b"late")))
    assert len(queue) == 0


# ---------------------------------------------------------------- keyspace events on each path of execution


def test_events_are_published_for_pipelined_requests_transactions_and_frames(
    session: ClientSession, other: ClientSession
) -> None:
    assert execute_line(other, "CONFIG SET notify-keyspace-events E$g") == OK
    session.feed(b"PSUBSCRIBE *\n")
    pushed(session)
    other.feed(b"".join(encode_request([b"SET", b"k%d" % number, b"v"]) for number in range(8)))
    assert pushed(session).splitlines() == [b"pmessage * __keyevent@0__:set k%d" % number for number in range(8)]
    other.feed(b"MULTI\nINCR n\nRENAME n m\nEXEC\n")
    assert [line.split(b":")[1] for line in pushed(session).splitlines()] == [
        b"incrby n",
        b"rename_from n",
        b"rename_to m",
    ]
    other.feed(frame("SETRANGE", "r", "0", "x"))
    assert pushed(session) == b"pmessage * __keyevent@0__:setrange r\n"


def test_a_change_that_no_command_makes_has_no_event(
    session: ClientSession, other: ClientSession, store: Store
) -> None:
    """A durable log undoes changes that it could not write."""
    execute_line(other, "CONFIG SET notify-keyspace-events KEA")
    session.feed(b"PSUBSCRIBE *\n")
    pushed(session)
    store.set(b"k", b"v")
    store.delete(b"k")
    session.context.key_events.publish_pending()
    assert pushed(session) == b""


def test_evicted_keys_have_an_event(session: ClientSession, other: ClientSession) -> None:
    other.feed(b"".join(encode_request([b"SET", b"k%d" % number, bytes(1_000)]) for number in range(100)))
    execute_line(other, "CONFIG SET notify-keyspace-events Ee")
    session.feed(b"PSUBSCRIBE *\n")
    pushed(session)
    execute_line(other, "CONFIG SET maxmemory-policy allkeys-random maxmemory 50000")
    send_line(other, "SET more x")
    events = pushed(session).splitlines()
    assert events
    assert all(event.startswith(b"pmessage * __keyevent@0__:evicted k") for event in events)


def test_before_authentication_nothing_can_be_subscribed_to(context: ServerContext, session: ClientSession) -> None:
    execute_line(session, "CONFIG SET requirepass secret")
    other = connect(context, "10.0.0.2:6000")
    assert other.feed(b"SUBSCRIBE a\n") == b"(error) NOAUTH Authentication required.\n"
    feed(other, encode_request([b"AUTH", b"secret"]) + encode_request([b"SUBSCRIBE", b"a"]))
    assert feed(other, encode_request([b"GET", b"k"])).endswith(b"allowed in this context\r\n")
    feed(other, encode_request([b"UNSUBSCRIBE"]))
    assert feed(other, encode_request([b"GET", b"k"])).endswith(b"$-1\r\n")


def test_while_notifications_are_off_no_event_is_made(session: ClientSession, other: ClientSession) -> None:
    session.feed(b"PSUBSCRIBE *\n")
    pushed(session)
    for classes in ("KEA", "K", "A", ""):
        execute_line(other, f"CONFIG SET notify-keyspace-events '{classes}'")
        is_on = classes == "KEA"
        assert (session.context.key_events.is_on) == is_on
        send_line(other, "SET k v")
        assert (pushed(session) != b"") == is_on


def test_events_of_keys_with_names_that_are_too_long_are_published_by_event_only(
    session: ClientSession, other: ClientSession
) -> None:
    execute_line(other, "CONFIG SET notify-keyspace-events KEA")
    session.feed(b"PSUBSCRIBE *\n")
    pushed(session)
    execute(other, b"SET", b"k" * 16_384, b"v")
    assert [line[:31] for line in pushed(session).splitlines()] == [b"pmessage * __keyevent@0__:set k"]
