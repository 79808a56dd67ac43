"""CLIENT TRACKING in one process: the protocols without RESP, bounds, the state of a connection, and its cost.

What RESP clients are sent is compared with Redis in tests/differential/test_tracking.py.
"""

from __future__ import annotations

import json
import random
import struct
import threading
from collections.abc import Iterator
from itertools import islice
from time import perf_counter_ns

import pytest

from common.errors import (
    NO_CLIENT_TO_REDIRECT_TO,
    REDIRECTION_NEEDS_SUBSCRIPTION,
    SCRIPT_BUSY,
    TOO_MANY_PREFIXES,
    TRACKING_NEEDS_CONNECTION,
    CommandError,
    prefix_too_long,
)
from common.replies import OK, Reply
from common.resp_client import Push, ReplyDecoder, encode_request
from server.clients import tracking, tracking_table
from server.clients.prefixes import PrefixTable, check_collisions, overlap
from server.clients.tracking_table import EVICTIONS_PER_READ, TrackingTable
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.session.context import ServerContext
from server.session.timeouts import seconds_left
from server.settings.output_limits import OutputLimit
from tests.harness.clock import Clock
from tests.harness.sessions import (
    ClientSession,
    connect,
    execute,
    execute_line,
    feed,
    new_session,
    send_line,
    transport_of,
)
from tests.harness.waiting import TIMEOUT


def track(session: ClientSession, options: str = "") -> None:
    """Switch to RESP3, and track."""
    execute_line(session, "HELLO 3")
    assert execute_line(session, f"CLIENT TRACKING ON {options}") == OK


def pushed(session: ClientSession) -> list[Reply]:
    """Return what is sent between replies now, as RESP."""
    return ReplyDecoder().feed(session.stream.take_pushes())


def invalidated(session: ClientSession) -> list[Reply]:
    """Return the keys of the invalidations that are sent now."""
    found = []
    for push in pushed(session):
        assert isinstance(push, Push)
        assert push[0] == b"invalidate"
        found.append(push[1])
    return found


def figures(session: ClientSession) -> dict[str, int]:
    """Return what INFO shows of the tracking."""
    text = send_line(session, "INFO")
    pairs = (line.split(":") for line in text.splitlines() if line.startswith("tracking_"))
    return {name.removeprefix("tracking_"): int(value) for name, value in pairs}


# ---------------------------------------------------------------- protocols


def test_in_text_an_invalidation_is_a_line(session: ClientSession, other: ClientSession) -> None:
    assert session.feed(b'CLIENT TRACKING ON\nMGET a "b c"\n').startswith(b"OK\n")
    execute_line(other, "MSET a 1 'b c' 2")
    assert session.stream.take_pushes() == b'invalidate a\ninvalidate "b c"\n'
    execute_line(other, "FLUSHALL")
    assert session.stream.take_pushes() == b"invalidate (nil)\n"
    session.feed(b"CLIENT TRACKING OFF\nCLIENT TRACKING ON BCAST\r\n")
    execute_line(other, "MSET a 1 'b c' 2")
    assert session.stream.take_pushes() == b'invalidate a "b c"\r\n'


def test_in_frames_an_invalidation_is_an_object_with_an_array_of_keys(
    session: ClientSession, other: ClientSession
) -> None:
    body = json.dumps({"command": "CLIENT", "args": ["TRACKING", "ON", "BCAST"]}).encode()
    session.feed(struct.pack(">i", len(body)) + body)
    for command, frame in (
        ("MSET a 1 'b c' 2", b'{"push": ["invalidate", ["a", "b c"]]}'),
        ("FLUSHALL", b'{"push": ["invalidate", null]}'),
    ):
        execute_line(other, command)
        assert session.stream.take_pushes() == struct.pack(">i", len(frame)) + frame


def test_a_session_without_a_connection_cannot_track() -> None:
    session = new_session()
    assert execute_line(session, "CLIENT TRACKING ON") == TRACKING_NEEDS_CONNECTION
    assert execute_line(session, "CLIENT TRACKING OFF") == OK


# ---------------------------------------------------------------- the cost


def test_without_a_tracking_client_requests_and_changes_are_not_looked_at(
    session: ClientSession, other: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    track(session)
    execute_line(session, "CLIENT TRACKING OFF")
    assert not session.context.inspection.needed

    def fail(*_: object) -> None:
        raise AssertionError("tracking is off")

    for name in ("on_set", "on_remove", "on_clear", "observing"):
        monkeypatch.setattr(tracking.Tracking, name, fail)
    for each in (session, other):
        for line in ("GET k", "SET k 1", "DEL k", "FLUSHALL"):
            execute_line(each, line)


def test_when_the_last_tracking_client_disconnects_the_table_is_freed(
    session: ClientSession, other: ClientSession
) -> None:
    track(session)
    track(other)
    execute_line(session, "MGET a b c")
    session.close()
    assert figures(other) == {"clients": 1, "total_keys": 3, "total_items": 3, "total_prefixes": 0}
    other.close()
    third = connect(other.context)
    assert figures(third) == {"clients": 0, "total_keys": 0, "total_items": 0, "total_prefixes": 0}
    assert not third.context.inspection.needed


class Blocker:
    """An observer that keeps the keyspace lock taken while a key is set, as a slow script does."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()

    def observer_of(self, store: Store) -> Blocker:
        return self

    def on_set(self, *_: object) -> None:
        self.entered.set()
        assert self.leave.wait(TIMEOUT)

    def on_clear(self, *_: object) -> None: ...


def test_the_end_of_the_last_tracking_client_does_not_wait_for_the_keyspace_lock(
    session: ClientSession, other: ClientSession, engine: EmbeddedEngine
) -> None:
    def refuse() -> None:
        raise CommandError(SCRIPT_BUSY)

    track(session)
    execute_line(session, "MGET a b")
    engine.limit_waits(refuse)
    blocker = Blocker()
    engine.observe_keys(blocker, lambda: None)  # type: ignore[arg-type]
    setting = threading.Thread(target=execute_line, args=(connect(session.context), "SET k 1"))
    setting.start()
    try:
        assert blocker.entered.wait(TIMEOUT)
        session.close()
        assert not session.context.inspection.needed
        assert execute_line(other, "CLIENT TRACKING ON") == SCRIPT_BUSY
        assert execute_line(other, "CLIENT GETREDIR") == -1
    finally:
        blocker.leave.set()
        setting.join()
    engine.stop_observing_keys(blocker, lambda: None)  # type: ignore[arg-type]
    assert session.context.tracking.figures.keys == 2
    engine.expire_slice()
    assert session.context.tracking.figures.keys == 0
    assert execute_line(other, "CLIENT TRACKING ON") == OK


def test_a_pipeline_of_a_tracking_client_is_tracked_and_one_of_another_client_invalidates(
    session: ClientSession, other: ClientSession
) -> None:
    track(session)
    session.feed(b"".join(encode_request([b"GET", b"k%d" % number]) for number in range(8)))
    assert not session.context.inspection.one_by_one, "so the next requests are executed as a batch"
    other.feed(b"".join(encode_request([b"SET", b"k%d" % number, b"v"]) for number in range(9)))
    assert invalidated(session) == [[b"k%d" % number] for number in range(8)]
    execute_line(session, "CLIENT TRACKING OFF")
    execute_line(session, "CLIENT TRACKING ON BCAST")
    other.feed(b"".join(encode_request([b"SET", b"k%d" % number, b"v"]) for number in range(9)))
    assert invalidated(session) == [[b"k%d" % number for number in range(9)]], "one message of the whole batch"


# ---------------------------------------------------------------- what changes keys


def test_an_expired_key_is_invalidated_on_access_and_by_the_active_expire_cycle(
    session: ClientSession, other: ClientSession, clock: Clock
) -> None:
    execute_line(other, "SET a 1 PX 10")
    execute_line(other, "SET b 1 PX 20")
    track(session)
    execute_line(session, "MGET a b")
    clock.forward(15)
    execute_line(other, "GET a")
    assert invalidated(session) == [[b"a"]]
    clock.forward(2000)
    engine = session.context.engine
    engine.expire_slice()  # type: ignore[attr-defined]
    session.context.publish_changes()
    assert invalidated(session) == [[b"b"]]


def test_the_invalidation_of_a_key_that_has_expired_follows_the_reply_to_the_access(
    session: ClientSession, clock: Clock
) -> None:
    track(session, "NOLOOP")
    assert feed(session, encode_request([b"SET", b"x", b"1"]) + encode_request([b"SET", b"y", b"2", b"PX", b"9"]))
    execute_line(session, "GET y")
    clock.forward(10)
    assert execute_line(session, "MGET x y") == [b"1", None]
    assert invalidated(session) == [], "with NOLOOP the client knows what its own command has met"
    execute_line(session, "CLIENT TRACKING ON")
    execute_line(session, "SET y 2 PX 9")
    pushed(session)
    execute_line(session, "GET y")
    clock.forward(10)
    assert execute_line(session, "MGET x y") == [b"1", None]
    assert invalidated(session) == [[b"y"]]


def test_with_noloop_a_client_in_bcast_mode_is_sent_an_expired_key_that_its_own_command_meets(
    session: ClientSession, clock: Clock
) -> None:
    track(session, "BCAST NOLOOP")
    execute_line(session, "SET k 1 PX 10")
    assert invalidated(session) == []
    clock.forward(10)
    execute_line(session, "GET k")
    assert invalidated(session) == [[b"k"]]


def test_an_evicted_key_is_invalidated(session: ClientSession, other: ClientSession) -> None:
    names = [b"k%d" % number for number in range(50)]
    for name in names:
        execute(other, b"SET", name, bytes(1_000))
    track(session)
    execute(session, b"MGET", *names)
    execute_line(other, "CONFIG SET maxmemory-policy allkeys-random maxmemory 30000")
    execute_line(other, "SET more x")
    gone = [name for name in names if execute(other, b"EXISTS", name) == 0]
    assert gone
    assert sorted(key for keys in invalidated(session) for key in keys) == sorted(gone)  # type: ignore[union-attr, misc]


def test_a_change_that_no_command_makes_is_invalidated(session: ClientSession, store: Store) -> None:
    """A durable log undoes changes that it could not write."""
    track(session, "NOLOOP")
    execute_line(session, "GET k")
    store.set(b"k", b"v")
    session.context.publish_changes()
    assert invalidated(session) == [[b"k"]]


def test_keyspace_notifications_and_tracking_observe_the_same_commands(
    session: ClientSession, other: ClientSession
) -> None:
    execute_line(other, "CONFIG SET notify-keyspace-events KEA")
    other.feed(b"PSUBSCRIBE __keyevent*\n")
    other.stream.take_pushes()
    track(session)
    for line in ("GET k", "SET k 1", "BITCOUNT k", "RENAME k n"):
        session.feed(encode_request(line.encode().split()))
    session.feed(b"".join(map(encode_request, ([b"MULTI"], [b"GET", b"n"], [b"SET", b"n", b"1"], [b"EXEC"]))))
    assert invalidated(session) == [[b"n"]]
    events = [line.split(b":")[1] for line in other.stream.take_pushes().splitlines()]
    assert events == [b"set k", b"rename_from k", b"rename_to n", b"set n"]


def test_a_key_is_invalidated_whatever_its_database(session: ClientSession, other: ClientSession) -> None:
    track(session)
    execute_line(session, "GET k")
    other.feed(b"SELECT 3\nSET k 1\n")
    assert invalidated(session) == [[b"k"]]
    execute_line(session, "GET k")
    other.feed(b"MOVE k 0\n")
    assert invalidated(session) == [[b"k"]]
    other.feed(b"FLUSHALL\n")
    assert invalidated(session) == [None], "once, however many databases there are"


# ---------------------------------------------------------------- the state of a connection


def test_client_list_shows_the_tracking(session: ClientSession, other: ClientSession) -> None:
    def shown() -> str:
        fields = dict(field.split("=") for field in send_line(session, "CLIENT INFO").split())
        return f"{fields['flags']} {fields['redir']}"

    target = execute_line(other, "CLIENT ID")
    assert shown() == "N -1"
    send_line(session, "CLIENT TRACKING ON")
    assert shown() == "t 0"
    send_line(session, f"CLIENT TRACKING ON REDIRECT {target}")
    assert shown() == f"t {target}"
    execute_line(session, "GET k")
    other.close()
    execute_line(session, "SET k 1")
    assert session.stream.take_pushes() == f"tracking-redir-broken {target}\n".encode()
    assert shown() == f"tR {target}"
    send_line(session, "CLIENT TRACKING OFF")
    send_line(session, "CLIENT TRACKING ON BCAST")
    assert shown() == "tB 0"


def test_reset_ends_the_tracking_and_discards_invalidations(session: ClientSession, other: ClientSession) -> None:
    track(session)
    execute_line(session, "GET k")
    execute_line(other, "SET k 1")
    session.feed(encode_request([b"RESET"]))
    assert pushed(session) == []
    assert figures(session)["clients"] == 0
    assert not session.context.inspection.needed


def test_a_tracking_client_is_not_exempt_from_the_idle_timeout(session: ClientSession, other: ClientSession) -> None:
    execute_line(session, "CONFIG SET timeout 1000")
    track(session)
    other.feed(b"SUBSCRIBE a\n")
    for each in (session, other):
        each.client.call.started = each.client.touched_at = perf_counter_ns() - 2000 * 10**9  # silent for 2,000 seconds
    assert seconds_left(session.session) < 0 < seconds_left(other.session)


def test_invalidations_are_sent_although_replies_are_off(session: ClientSession, other: ClientSession) -> None:
    track(session)
    assert session.feed(b"".join(map(encode_request, ([b"CLIENT", b"REPLY", b"OFF"], [b"GET", b"k"])))) == b""
    execute_line(other, "SET k 1")
    assert invalidated(session) == [[b"k"]]


def test_a_tracking_client_that_never_reads_is_disconnected(session: ClientSession, other: ClientSession) -> None:
    transport_of(session).limit.limit = OutputLimit(1_000, 0, 0)
    track(session, "BCAST")
    for number in range(100):
        execute_line(other, f"SET k{number} 1")
    assert transport_of(session).killed


# ---------------------------------------------------------------- redirection


def test_a_client_with_resp3_receives_redirected_invalidations_without_a_subscription(
    session: ClientSession, other: ClientSession
) -> None:
    execute_line(other, "HELLO 3")
    assert send_line(session, f"CLIENT TRACKING ON REDIRECT {other.client.id}") == "OK"
    for number in range(2):
        execute_line(session, f"GET k{number}")
        execute_line(session, f"SET k{number} 1")
    redirected = transport_of(other).redirected
    assert redirected is not None
    assert ReplyDecoder().feed(b"".join(redirected.take())) == [[b"invalidate", [b"k0"]], [b"invalidate", [b"k1"]]]
    assert pushed(session) == []


def test_after_reset_or_hello_2_a_client_receives_no_redirected_invalidations(
    session: ClientSession, other: ClientSession
) -> None:
    execute_line(other, "HELLO 3")
    send_line(session, f"CLIENT TRACKING ON REDIRECT {other.client.id}")
    for command in ("RESET", "HELLO 2"):
        execute_line(other, "HELLO 3")
        execute_line(session, "GET k")
        execute_line(session, "SET k 1")
        redirected = transport_of(other).redirected
        assert redirected is not None
        execute_line(other, command)
        assert redirected.take() == []  # what was pushed in RESP3 before, too
        execute_line(session, "GET k")
        execute_line(session, "SET k 2")
        assert redirected.take() == []


def test_a_client_that_cannot_be_woken_must_subscribe_before_it_is_redirected_to(
    session: ClientSession, other: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_of(other), "redirect_queue", lambda: None)  # a connection with a thread of its own
    execute_line(other, "HELLO 3")
    redirect = f"CLIENT TRACKING ON REDIRECT {other.client.id}"
    assert execute_line(session, redirect) == REDIRECTION_NEEDS_SUBSCRIPTION
    other.feed(encode_request([b"SUBSCRIBE", b"x"]))
    assert execute_line(session, redirect) == OK
    assert execute_line(session, "CLIENT TRACKING ON REDIRECT 12345") == NO_CLIENT_TO_REDIRECT_TO


# ---------------------------------------------------------------- bounds


def test_a_table_that_overflows_evicts_the_oldest_keys_and_invalidates_them(
    session: ClientSession, other: ClientSession
) -> None:
    execute_line(other, "CONFIG SET tracking-table-max-keys 3")
    track(session)
    execute_line(session, "MGET a b c")
    assert invalidated(session) == []
    execute_line(session, "MGET d a e")
    assert invalidated(session) == [[b"a"], [b"b"]]
    assert figures(other) == {"clients": 1, "total_keys": 3, "total_items": 3, "total_prefixes": 0}
    execute_line(other, "SET a 1")
    assert invalidated(session) == []


def test_a_lower_limit_evicts_a_bounded_number_of_keys_per_read(session: ClientSession, other: ClientSession) -> None:
    track(session)
    execute(session, b"MGET", *(b"k%d" % number for number in range(250)))
    execute_line(other, "CONFIG SET tracking-table-max-keys 1")
    for expected in (EVICTIONS_PER_READ + 1, EVICTIONS_PER_READ + 1, 48):
        execute_line(session, "GET k")
        assert len(invalidated(session)) == expected
    assert figures(other)["total_keys"] == 1


def test_the_size_of_the_table_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_table, "MAX_TABLE_SIZE", 10_000)
    table = TrackingTable()
    table.max_keys = 0
    table.add([b"small"], 1)
    table.add([bytes(9_000)], 1)
    assert list(table.evict(10)) == []
    table.add([b"k%d" % number for number in range(2)], 1)
    assert [key for key, _ in table.evict(10)] == [b"small"]
    for client in range(100):
        table.add([b"k0"], client)
    assert [len(clients) for _, clients in table.evict(10)] == [1, 100]
    assert (len(table), table.items) == (1, 1)


def test_the_table_counts_each_client_of_a_key_once() -> None:
    table = TrackingTable()
    for client in (1, 1, 2, 2, 3, 1):
        table.add([b"k", b"k"], client)
    assert (len(table), table.items) == (1, 3)
    assert sorted(table.pop(b"k")) == [1, 2, 3]
    assert list(table.pop(b"k")) == []
    assert (len(table), table.items) == (0, 0)


def test_10000_prefixes_are_the_most(session: ClientSession, other: ClientSession) -> None:
    track(session, " ".join(["BCAST", *(f"PREFIX p{number:04}" for number in range(9_999))]))
    assert figures(other)["total_prefixes"] == 9_999
    track(other, "BCAST PREFIX p0001 PREFIX q")
    refused = connect(other.context)
    assert execute_line(refused, "CLIENT TRACKING ON BCAST PREFIX r") == TOO_MANY_PREFIXES
    assert figures(other)["clients"] == 2
    execute_line(refused, "MSET p0001x 1 p9998 1 p9999 1 q 1")
    assert invalidated(session) == [[b"p0001x"], [b"p9998"]]
    assert invalidated(other) == [[b"p0001x"], [b"q"]]
    session.close()
    assert figures(other)["total_prefixes"] == 2


def test_a_prefix_that_is_too_long_is_refused(session: ClientSession) -> None:
    length = tracking.MAX_PREFIX_LENGTH
    assert execute_line(session, f"CLIENT TRACKING ON BCAST PREFIX {'x' * (length + 1)}") == prefix_too_long(length)
    assert execute_line(session, "CLIENT GETREDIR") == -1


# ---------------------------------------------------------------- prefixes


def naive_collision(prefixes: list[bytes], existing: list[bytes]) -> tuple[bytes, bytes] | None:
    """As Redis's `checkPrefixCollisionsOrReply`: compare each with each."""
    for place, prefix in enumerate(prefixes):
        for other in (*sorted(existing), *prefixes[place + 1 :]):
            if overlap(prefix, other):
                return prefix, other
    return None


@pytest.mark.parametrize("seed", range(20))
def test_collisions_of_prefixes_are_those_of_a_comparison_of_each_with_each(seed: int) -> None:
    source = random.Random(seed)

    def prefixes() -> Iterator[bytes]:
        while True:
            yield bytes(source.choices(b"ab", k=source.randint(1, 9)))

    for _ in range(50):
        existing = []
        for each in islice(prefixes(), 3):
            if not any(overlap(each, other) for other in existing):
                existing.append(each)
        if source.random() < 0.1:
            existing.append(b"")
        given = list(islice(prefixes(), source.randint(0, 4)))
        expected = naive_collision(given, existing)
        if expected is None:
            check_collisions(given, existing)
        else:
            with pytest.raises(CommandError) as refused:
                check_collisions(given, existing)
            assert b"'%b' overlaps" % expected[0] in refused.value.reply.text
            assert b"prefix '%b'" % expected[1] in refused.value.reply.text


def test_a_prefix_table_finds_the_prefixes_of_a_key() -> None:
    table: PrefixTable[int] = PrefixTable()
    for number, prefix in enumerate((b"", b"a", b"ab", b"b", b"abcdef", b"a")):
        table.add(prefix, number)
    assert sorted(table.matching(b"abc")) == [b"", b"a", b"ab"]
    assert list(table.items(b"a")) == [1, 5]
    table.remove(b"a", 1)
    table.remove(b"ab", 2)
    table.remove(b"", 0)
    assert list(table.matching(b"abc")) == [b"a"]
    table.remove(b"a", 5)
    assert list(table.matching(b"abc")) == []
    assert len(table) == 2


# ---------------------------------------------------------------- a client with a cache


class CachingClient:
    """A client that caches what it reads until it is invalidated."""

    def __init__(self, context: ServerContext, options: str) -> None:
        self.connection = connect(context)
        self._decoder = ReplyDecoder()
        track(self.connection, options)
        self.cache: dict[bytes, Reply] = {}

    def get(self, key: bytes) -> None:
        self._receive(self.connection.feed(encode_request([b"GET", key])), key)

    def execute(self, *args: bytes) -> None:
        self._receive(self.connection.feed(encode_request(args)), None)

    def receive(self) -> None:
        self._receive(self.connection.stream.take_pushes(), None)

    def _receive(self, data: bytes, key: bytes | None) -> None:
        for reply in self._decoder.feed(data):
            if not isinstance(reply, Push):
                if key is not None:
                    self.cache[key] = reply
            elif reply[1] is None:
                self.cache.clear()
            else:
                assert isinstance(reply[1], list)
                for each in reply[1]:
                    assert isinstance(each, bytes)
                    self.cache.pop(each, None)


@pytest.mark.parametrize("options", ["", "BCAST", "BCAST PREFIX a PREFIX b", "OPTOUT"])
def test_a_cache_that_obeys_invalidations_is_never_stale(
    context: ServerContext, store: Store, clock: Clock, options: str
) -> None:
    source = random.Random(options)
    keys = [b"a", b"ab", b"b", b"ba", b"bb"]
    clients = [CachingClient(context, options) for _ in range(3)]
    execute_line(clients[0].connection, "CONFIG SET tracking-table-max-keys 3")
    writer = connect(context)
    cached = 0
    for _ in range(800):
        key, value = source.choice(keys), b"%d" % source.randrange(100)
        client = source.choice(clients)
        match source.randrange(8):
            case 0:
                execute(writer, b"SET", key, value)
            case 1:
                client.execute(b"SET", key, value, b"PX", b"3")
            case 2:
                execute(writer, b"DEL", key)
            case 3:
                client.execute(b"APPEND", key, value)
            case 4:
                clock.forward(1)
            case 5:
                execute_line(writer, "FLUSHALL") if source.random() < 0.1 else client.execute(b"RENAME", key, keys[0])
            case _:
                client.get(key)
        for key in keys:
            execute(writer, b"GET", key)  # an expired key is invalidated when it is accessed, or by the cycle
        for each in clients:
            each.receive()
            assert all(store.get(key) == value for key, value in each.cache.items())
            cached += len(each.cache)
    assert cached
