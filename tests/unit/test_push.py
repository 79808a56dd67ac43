"""Pushes: a bounded queue per connection, whose content leaves in order with the replies."""

from __future__ import annotations

import pytest

from common.replies import SimpleString
from common.resp_client import encode_request
from server.clients.push import ITEM_OVERHEAD, PushLimit, PushQueue, push_to_all
from server.settings.output_limits import OutputLimit
from tests.harness.sessions import ClientSession, connect, send_line, transport_of
from tests.harness.waiting import all_at_once


class Events:
    """Counts the calls of a queue's callbacks."""

    def __init__(self) -> None:
        self.wakes = 0
        self.overflows = 0
        self.limit = PushLimit(OutputLimit(hard=10_000))
        self.queue = PushQueue(self._wake, self._overflow, self.limit)

    def _wake(self) -> None:
        self.wakes += 1
        self.queue.put(b"")  # would deadlock if the queue's lock were held

    def _overflow(self) -> None:
        self.overflows += 1
        self.queue.close()  # the same


class Quiet(Events):
    def _wake(self) -> None:
        self.wakes += 1


def test_items_are_taken_in_order() -> None:
    queue = Quiet().queue
    for item in (b"a", b"b", b"c"):
        queue.put(item)
    assert len(queue) == 3
    assert queue.take() == [b"a", b"b", b"c"]
    assert queue.take() == []


def test_the_queue_wakes_its_connection_when_it_is_no_longer_empty() -> None:
    events = Quiet()
    events.queue.put(b"a")
    events.queue.put(b"b")
    assert events.wakes == 1
    events.queue.take()
    events.queue.put(b"c")
    assert events.wakes == 2


def test_callbacks_are_called_without_the_lock() -> None:
    events = Events()
    events.queue.put(b"a")
    assert events.wakes == 1
    events.queue.put(b"x" * 10_001)
    assert events.overflows == 1


def test_more_items_than_the_hard_limit_overflow_the_queue_once() -> None:
    events = Quiet()
    items = 10_000 // ITEM_OVERHEAD
    for _ in range(items):
        events.queue.put(b"")
    assert (events.overflows, len(events.queue)) == (0, items)
    for _ in range(3):
        events.queue.put(b"")
    assert (events.overflows, len(events.queue)) == (1, 0), "what cannot be sent is not stored either"


@pytest.mark.parametrize("count", [4, 1])
def test_more_bytes_than_the_hard_limit_overflow_the_queue_once(count: int) -> None:
    events = Quiet()
    item = bytes(10_000 // count - ITEM_OVERHEAD)
    for _ in range(count):
        events.queue.put(item)
    assert events.overflows == 0
    events.queue.put(b"x")
    events.queue.put(b"x")
    assert (events.overflows, len(events.queue)) == (1, 0)


def test_what_was_taken_does_not_count_any_more() -> None:
    events = Quiet()
    for _ in range(5):
        events.queue.put(bytes(9_000))
        assert len(events.queue.take()) == 1
    for _ in range(5):
        events.queue.put(bytes(4_000))
        events.queue.put(bytes(4_000))
        assert len(events.queue.take(1)) == 1
        assert events.queue.size == 4_000 + ITEM_OVERHEAD
        assert len(events.queue.take(1)) == 1
    assert (events.overflows, events.queue.size) == (0, 0)


def test_items_are_taken_up_to_a_size() -> None:
    queue = Quiet().queue
    for item in (b"aa", b"bb", b"cc", b"dd"):
        queue.put(item)
    assert queue.take(3) == [b"aa", b"bb"]
    assert queue.take(100) == [b"cc", b"dd"]
    assert queue.take(100) == []


def test_without_a_hard_limit_the_queue_does_not_overflow() -> None:
    events = Quiet()
    events.limit.limit = OutputLimit()
    events.queue.put(bytes(1_000_000))
    assert events.overflows == 0


def test_the_soft_limit_may_be_exceeded_for_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    events = Quiet()
    events.limit.limit = OutputLimit(soft=1_000, soft_seconds=60)
    events.queue.put(bytes(2_000))
    now += 60
    events.queue.put(b"")
    assert events.overflows == 0
    now += 1
    events.queue.put(b"")
    assert events.overflows == 1


def test_the_time_above_the_soft_limit_counts_anew_after_the_queue_was_below_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    events = Quiet()
    events.limit.limit = OutputLimit(soft=1_000, soft_seconds=60)
    events.queue.put(bytes(2_000))
    now += 50
    events.queue.take()
    events.queue.put(bytes(2_000))
    now += 50
    events.queue.put(b"")
    assert events.overflows == 0


def test_a_limit_that_is_changed_applies_to_what_waits_already() -> None:
    events = Quiet()
    events.queue.put(bytes(5_000))
    events.limit.limit = OutputLimit(hard=4_000)
    events.queue.put(b"")
    assert events.overflows == 1


def test_replies_to_the_connections_own_requests_do_not_overflow_the_queue() -> None:
    events = Quiet()
    events.queue.put_reply(bytes(1_000_000))
    assert (events.overflows, events.wakes, len(events.queue)) == (0, 1, 1)


def test_a_closed_queue_ignores_what_is_put() -> None:
    events = Quiet()
    events.queue.put(b"a")
    events.queue.close()
    events.queue.put(b"b")
    assert (events.queue.take(), events.wakes, events.overflows) == ([], 1, 0)


def test_threads_lose_no_item() -> None:
    events = Quiet()
    events.limit.limit = OutputLimit()

    def put(number: int) -> None:
        for place in range(500):
            events.queue.put(b"%d %d" % (number, place))

    all_at_once([lambda number=number: put(number) for number in range(8)])  # type: ignore[misc]
    items = events.queue.take()
    assert len(items) == 8 * 500
    for number in range(8):
        own = [int(item.split()[1]) for item in items if item.startswith(b"%d " % number)]
        assert own == list(range(500))


# ---------------------------------------------------------------- backpressure


def test_backpressure_a_monitor_that_does_not_read_is_closed_at_the_limit(
    session: ClientSession, other: ClientSession
) -> None:
    send_line(session, "MONITOR")
    transport = transport_of(session)
    transport.limit.limit = OutputLimit(hard=600)
    for _ in range(3):
        send_line(other, "GET a")
    assert not transport.killed
    for _ in range(10):
        send_line(other, "GET a")
    assert transport.killed
    assert session.stream.take_pushes() == b"", "nothing is stored for it any more"


# ---------------------------------------------------------------- the order of pushes and replies


def test_a_push_cannot_overtake_monitors_ok(
    session: ClientSession, other: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another client's command runs between the subscription and the reply."""
    hub = session.context.monitors
    subscribe = hub.subscribe

    def and_then_a_command(subscriber: object) -> None:
        subscribe(subscriber)  # type: ignore[arg-type]
        send_line(other, "GET a")

    monkeypatch.setattr(hub, "subscribe", and_then_a_command)
    output = session.feed(b"MONITOR\n")
    assert output == b"OK\n"
    assert b'"GET" "a"' in session.stream.take_pushes()


def test_pushes_leave_before_the_reply_to_the_next_request(session: ClientSession, other: ClientSession) -> None:
    session.feed(b"MONITOR\n")
    send_line(other, "GET a")
    output = session.feed(encode_request([b"PING"]) + encode_request([b"ECHO", b"x"]))
    first, pong, own, rest = output.split(b"\n", 3)
    assert first.endswith(b'"GET" "a"')
    assert pong == b"+PONG\r"
    assert own.endswith(b'"PING"')
    assert rest == b"$1\r\nx\r\n"


def test_no_push_follows_the_reply_to_reset(session: ClientSession, other: ClientSession) -> None:
    session.feed(b"MONITOR\n")
    send_line(other, "GET a")
    output = session.feed(b"RESET\n")
    assert output.endswith(b"RESET\n")
    send_line(other, "GET b")
    assert session.stream.take_pushes() == b""
    assert session.feed(b"PING\n") == b"PONG\n"


def test_a_push_that_is_put_during_reset_is_discarded(session: ClientSession, other: ClientSession) -> None:
    """A thread that publishes has read the list of subscribers before RESET removes this one."""
    session.feed(b"MONITOR\n")
    (subscriber,) = session.context.monitors.subscribers
    assert session.feed(b"RESET\n").endswith(b"RESET\n")
    push_to_all([subscriber], SimpleString(b"late"))
    assert session.stream.take_pushes() == b""
    queue = transport_of(session).queue
    assert queue is not None
    assert len(queue) == 0, "nothing is stored that will never be sent"


def test_monitoring_begins_anew_after_reset(session: ClientSession, other: ClientSession) -> None:
    session.feed(b"MONITOR\nRESET\n")
    assert session.feed(b"MONITOR\n") == b"OK\n"
    send_line(other, "GET a")
    session.stream.take_pushes()
    send_line(other, "GET b")
    assert session.stream.take_pushes().count(b"\n") == 1


def test_a_session_that_closes_leaves_no_subscriber(session: ClientSession) -> None:
    third = connect(session.context)
    third.feed(b"MONITOR\n")
    third.close()
    assert session.context.monitors.subscribers == ()


def test_a_monitor_gets_execs_reply_although_it_turned_replies_off(session: ClientSession) -> None:
    output = session.feed(b"MONITOR\nMULTI\nECHO x\nCLIENT REPLY OFF\nEXEC\nPING\n")
    assert b"\n1) x\n2) OK\n" in output
    assert b"PONG" not in output


def test_pushes_leave_in_order_after_replies_were_off_and_on(session: ClientSession, other: ClientSession) -> None:
    session.feed(b"MONITOR\nCLIENT REPLY OFF\nCLIENT REPLY ON\n")
    session.stream.take_pushes()
    send_line(other, "GET a")
    first, pong = session.feed(b"PING\n").splitlines()
    assert first.endswith(b'"GET" "a"')
    assert pong == b"PONG"
