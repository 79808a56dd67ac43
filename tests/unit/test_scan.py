"""SCAN and KEYS: every key that is there throughout comes up, whatever else happens meanwhile."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from common.errors import INVALID_CURSOR, NOT_AN_INTEGER, SYNTAX_ERROR
from server.engines.embedded import EmbeddedEngine
from server.keyspace import scan as scan_module
from server.keyspace import store as store_module
from server.keyspace.observers import Entry, Removal
from server.keyspace.scan import (
    DELETIONS_BITS,
    KEY_OVERHEAD,
    MAX_DELETED_BYTES,
    MAX_SNAPSHOT_KEYS,
    POSITION_BITS,
    SNAPSHOT_OVERHEAD,
    SNAPSHOT_TIMEOUT,
    ScanSnapshots,
)
from server.keyspace.store import Store
from tests.harness.clock import Clock
from tests.harness.memory import TracedMemory, traced_memory
from tests.harness.sessions import ClientSession, execute, execute_line, new_session, send_line, send_lines
from tests.harness.stores import new_store


def step(session: ClientSession, cursor: bytes, options: str = "") -> tuple[bytes, list[bytes]]:
    reply = execute_line(session, f"SCAN {cursor.decode()} {options}")
    assert isinstance(reply, list)
    after, keys = reply
    assert isinstance(after, bytes)
    assert isinstance(keys, list)
    return after, [bytes(key) for key in keys if isinstance(key, bytes)]


def scan(session: ClientSession, options: str = "") -> list[list[bytes]]:
    """Iterate to the end; return what each step brought."""
    steps: list[list[bytes]] = []
    cursor = b"0"
    while not steps or cursor != b"0":
        cursor, keys = step(session, cursor, options)
        steps.append(keys)
        assert len(steps) < 1000, "an iteration ends"
    return steps


def fill(store: Store, count: int) -> list[bytes]:
    keys = [b"key:%03d" % number for number in range(count)]
    for key in keys:
        store.set(key, b"v")
    return keys


# ---------------------------------------------------------------- an iteration


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 95])
@pytest.mark.parametrize("size", [1, 3, 10, 1000])
def test_an_iteration_returns_every_key_once_in_steps_of_the_size_that_was_asked_for(
    session: ClientSession, store: Store, count: int, size: int
) -> None:
    keys = fill(store, count)
    steps = scan(session, f"COUNT {size}")
    assert list(itertools.chain(*steps)) == keys
    assert {len(each) for each in steps[:-1]} <= {size}
    assert len(steps) == max(1, -(-count // size))


def test_a_step_is_of_ten_keys_by_default(session: ClientSession, store: Store) -> None:
    fill(store, 25)
    assert [len(each) for each in scan(session)] == [10, 10, 5]


@pytest.mark.parametrize("seed", range(20))
def test_a_key_that_is_there_throughout_comes_up_whatever_another_session_does(
    session: ClientSession, other: ClientSession, store: Store, clock: Clock, seed: int
) -> None:
    dice = random.Random(seed)
    fixed = fill(store, 60)
    for number in range(40):
        store.set(b"passing:%d" % number, b"v")
    cursor, found = b"0", set[bytes]()
    for number in range(1000):
        cursor, keys = step(session, cursor, f"COUNT {dice.randint(1, 9)}")
        assert set(keys) <= {key for key, _, _ in store.items()}, "no key comes up that is not there"
        found |= set(keys)
        if cursor == b"0":
            break
        passing, new = b"passing:%d" % dice.randrange(40), b"new:%d" % number
        changes = [
            [b"DEL", passing],
            [b"SET", new, b"v"],
            [b"RENAME", passing, new],
            [b"SET", passing, b"v", b"PX", b"5"],
        ]
        execute(other, *dice.choice(changes))
        execute(other, b"SET", dice.choice(fixed), b"w")
        clock.forward(3)
    assert cursor == b"0"
    assert found >= set(fixed)


def test_scan_does_not_return_deleted_or_expired_keys(
    session: ClientSession, other: ClientSession, store: Store, clock: Clock
) -> None:
    fill(store, 6)
    send_line(other, "PEXPIRE key:004 5")
    cursor, first = step(session, b"0", "COUNT 2")
    send_lines(other, "DEL key:003", "SET later 1")
    clock.forward(5)
    rest, cursors = [], 0
    while cursor != b"0":
        cursor, keys = step(session, cursor, "COUNT 2")
        rest += keys
        cursors += 1
    assert (first, rest, cursors) == ([b"key:000", b"key:001"], [b"key:002", b"key:005"], 2)


def test_two_iterations_do_not_disturb_each_other(session: ClientSession, other: ClientSession, store: Store) -> None:
    keys = fill(store, 30)
    ours, first = step(session, b"0")
    assert list(itertools.chain(*scan(other, "COUNT 7"))) == keys
    ours, second = step(session, ours)
    ours, third = step(session, ours)
    assert (ours, first + second + third) == (b"0", keys)


# ---------------------------------------------------------------- cursors that were not returned


@pytest.mark.parametrize("cursor", [1, 4, 7, 5 << POSITION_BITS, (5 << POSITION_BITS) + 3, 2**64 - 1])
def test_an_iteration_with_an_invented_cursor_ends_too(session: ClientSession, store: Store, cursor: int) -> None:
    keys = fill(store, 5)
    after, found = step(session, b"%d" % cursor)
    assert after == b"0"
    assert found in [keys[place:] for place in range(6)]


def test_a_cursor_that_was_used_before_continues_from_the_same_place(session: ClientSession, store: Store) -> None:
    keys = fill(store, 30)
    cursor, _ = step(session, b"0")
    assert step(session, cursor) == step(session, cursor)
    assert step(session, cursor)[1] == keys[10:20]


def test_the_last_cursor_of_an_iteration_may_be_asked_again(session: ClientSession, store: Store) -> None:
    keys = fill(store, 15)
    cursor, _ = step(session, b"0")
    assert step(session, cursor) == (b"0", keys[10:])
    assert step(session, cursor) == (b"0", keys[10:])


def test_a_position_after_the_end_of_a_snapshot_is_the_end(session: ClientSession, store: Store) -> None:
    fill(store, 15)
    cursor, _ = step(session, b"0")
    assert step(session, b"%d" % (int(cursor) + 10_000)) == (b"0", [])


def test_flushing_ends_every_iteration(session: ClientSession, store: Store) -> None:
    fill(store, 30)
    cursor, _ = step(session, b"0")
    send_line(session, "FLUSHALL")
    assert step(session, cursor) == (b"0", [])
    fill(store, 5)
    assert len(step(session, cursor)[1]) == 5


@pytest.fixture
def room_for_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep no more than four copies of forty keys."""
    monkeypatch.setattr(scan_module, "MAX_SNAPSHOT_KEYS", 4 * (40 + SNAPSHOT_OVERHEAD))


def remove_some(store: Store, count: int = 1) -> None:
    """Let the next iteration find another number of removals, and the places of all keys the same."""
    for _ in range(count):
        store.set(b"passing", b"v")
        store.delete(b"passing")


@pytest.mark.usefixtures("room_for_four")
def test_an_iteration_whose_snapshot_was_evicted_misses_nothing(session: ClientSession, store: Store) -> None:
    keys = fill(store, 40)
    cursor, found = step(session, b"0")
    for key in keys[:5]:
        store.delete(key)
    for _ in range(5):
        remove_some(store)
        step(session, b"0")
    while cursor != b"0":
        cursor, more = step(session, cursor)
        found += more
    assert set(found) >= set(keys[5:])
    assert set(found) <= set(keys)


def test_concurrent_iterations_all_end(session: ClientSession, store: Store) -> None:
    keys = fill(store, 50)
    cursors, found = [b"0"] * 100, [set[bytes]() for _ in range(100)]
    done = [False] * len(cursors)
    for _ in range(1000):
        for number, cursor in enumerate(cursors):
            if not done[number]:
                after, more = step(session, cursor)
                cursors[number], done[number] = after, after == b"0"
                found[number] |= set(more)
                remove_some(store)
        if all(done):
            break
    assert all(done)
    assert all(each == set(keys) for each in found)


# ---------------------------------------------------------------- the snapshots alone


class FakeKeyspace:
    """Three keys, after so many deletions. It counts how often they were copied."""

    def __init__(self, deletion_count: int = 0) -> None:
        self.deletion_count = deletion_count
        self.keys = [b"a", b"b", b"c"]
        self.time = 0
        self.copies = 0

    def all_keys(self) -> list[bytes]:
        self.copies += 1
        return list(self.keys)

    def now(self) -> int:
        return self.time


def test_a_snapshot_is_evicted_when_its_iteration_ends() -> None:
    snapshots, keyspace = ScanSnapshots(), FakeKeyspace()
    cursor, _ = snapshots.page(0, 2, keyspace)
    assert len(snapshots) == 1
    assert snapshots.page(cursor, 2, keyspace) == (0, [b"c"])
    assert len(snapshots) == 0
    assert keyspace.copies == 1


def test_an_iteration_of_one_page_stores_no_snapshot() -> None:
    snapshots = ScanSnapshots()
    assert snapshots.page(0, 3, FakeKeyspace()) == (0, [b"a", b"b", b"c"])
    assert len(snapshots) == 0


def test_iterations_share_a_snapshot_while_nothing_is_deleted() -> None:
    snapshots, keyspace = ScanSnapshots(), FakeKeyspace()
    first, _ = snapshots.page(0, 2, keyspace)
    keyspace.keys.append(b"new")
    second, _ = snapshots.page(0, 2, keyspace)
    assert first == second
    assert len(snapshots) == 1
    assert snapshots.page(first, 10, keyspace) == (0, [b"c", b"new"])


def test_the_least_recently_used_snapshot_is_evicted_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "MAX_SNAPSHOT_KEYS", 4 * (3 + SNAPSHOT_OVERHEAD))
    snapshots, keyspace = ScanSnapshots(), FakeKeyspace()
    used, _ = snapshots.page(0, 1, keyspace)
    for _ in range(12):
        keyspace.deletion_count += 1
        snapshots.page(0, 1, keyspace)
        before = keyspace.copies
        assert snapshots.page(used, 1, keyspace)[1] == [b"b"]
        assert keyspace.copies == before, "its snapshot is still stored"
        assert len(snapshots) <= 4


def test_snapshots_are_bounded_and_every_cursor_fits_into_63_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "MAX_SNAPSHOT_KEYS", 10 * (3 + SNAPSHOT_OVERHEAD))
    snapshots = ScanSnapshots()
    for deletion_count in range(2**DELETIONS_BITS - 20, 2**DELETIONS_BITS + 20):
        cursor, found = snapshots.page(0, 2, FakeKeyspace(deletion_count))
        assert found == [b"a", b"b"]
        assert 0 < cursor < 2**63
        assert len(snapshots) <= 10
    assert len(snapshots) == 10
    assert snapshots.page(cursor, 2, FakeKeyspace(deletion_count)) == (0, [b"c"])


def test_the_bound_counts_no_evicted_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "MAX_SNAPSHOT_KEYS", 2 * (3 + SNAPSHOT_OVERHEAD))
    snapshots = ScanSnapshots()
    for deletion_count in range(10):
        keyspace = FakeKeyspace(deletion_count)
        cursor, _ = snapshots.page(0, 2, keyspace)
        snapshots.page(cursor, 2, keyspace)
    snapshots.page(0, 2, FakeKeyspace(10))
    snapshots.clear()
    assert len(snapshots) == 0
    snapshots.page(0, 2, FakeKeyspace(11))
    snapshots.page(0, 2, FakeKeyspace(12))
    assert len(snapshots) == 2


def test_the_newest_snapshot_is_stored_however_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "MAX_SNAPSHOT_KEYS", 1)
    snapshots = ScanSnapshots()
    for deletion_count in range(3):
        keyspace = FakeKeyspace(deletion_count)
        cursor, _ = snapshots.page(0, 2, keyspace)
        assert len(snapshots) == 1
    assert snapshots.page(cursor, 2, keyspace) == (0, [b"c"])
    assert keyspace.copies == 1


# ---------------------------------------------------------------- iterations that were abandoned


LARGE = 64 * 1024


@pytest.fixture
def memory() -> Iterator[TracedMemory]:
    with traced_memory() as memory:
        yield memory


def fill_with_large_keys(store: Store, size: int, expires_at: int | None = None) -> None:
    for number in range(size // LARGE):
        store.set(b"%08d" % number * (LARGE // 8), b"v", expires_at)


def delete_large_keys(store: Store, size: int) -> None:
    for number in range(size // LARGE):
        store.delete(b"%08d" % number * (LARGE // 8))


def test_an_abandoned_iteration_keeps_a_bounded_size_of_deleted_keys_in_memory(
    session: ClientSession, store: Store, memory: TracedMemory
) -> None:
    fill_with_large_keys(store, 2 * MAX_DELETED_BYTES)
    step(session, step(session, b"0")[0])
    delete_large_keys(store, MAX_DELETED_BYTES // 2)
    assert memory.in_use > 2 * MAX_DELETED_BYTES, "the snapshot refers to them"
    delete_large_keys(store, 2 * MAX_DELETED_BYTES)
    assert memory.in_use < MAX_DELETED_BYTES // 4


def test_an_abandoned_iteration_keeps_a_bounded_size_of_expired_keys_in_memory(
    session: ClientSession, engine: EmbeddedEngine, store: Store, clock: Clock, memory: TracedMemory
) -> None:
    fill_with_large_keys(store, 2 * MAX_DELETED_BYTES, clock.now + 1000)
    step(session, b"0")
    clock.forward(5000)
    while not engine.expire_slice():
        pass
    assert memory.in_use < MAX_DELETED_BYTES // 4


def test_the_snapshot_of_an_abandoned_iteration_is_evicted_after_a_time_limit(
    session: ClientSession, engine: EmbeddedEngine, store: Store, clock: Clock, memory: TracedMemory
) -> None:
    fill_with_large_keys(store, MAX_DELETED_BYTES // 2)
    step(session, b"0")
    delete_large_keys(store, MAX_DELETED_BYTES // 2)
    clock.forward(SNAPSHOT_TIMEOUT * 1000 - 1)
    engine.expire_slice()
    assert memory.in_use > MAX_DELETED_BYTES // 2
    clock.forward(1)
    engine.expire_slice()
    assert memory.in_use < MAX_DELETED_BYTES // 4


def test_a_snapshot_that_is_used_is_not_evicted_by_the_time_limit() -> None:
    snapshots, keyspace = ScanSnapshots(), FakeKeyspace()
    used, _ = snapshots.page(0, 1, keyspace)
    keyspace.deletion_count += 1
    snapshots.page(0, 1, keyspace)
    keyspace.time = SNAPSHOT_TIMEOUT * 1000
    snapshots.page(used, 1, keyspace)
    snapshots.evict_unused(keyspace.time)
    assert len(snapshots) == 1
    assert snapshots.page(used, 10, keyspace) == (0, [b"b", b"c"])
    assert keyspace.copies == 2


def test_many_small_deleted_keys_count_too() -> None:
    snapshots, keyspace = ScanSnapshots(), FakeKeyspace()
    snapshots.page(0, 1, keyspace)
    for _ in range(MAX_DELETED_BYTES // KEY_OVERHEAD):
        snapshots.on_remove(b"", Removal.DELETED, (b"", None))
    assert len(snapshots) == 1
    snapshots.on_remove(b"", Removal.EXPIRED, (b"", None))
    assert len(snapshots) == 0
    snapshots.page(0, 1, keyspace)
    snapshots.on_remove(b"", Removal.DELETED, (b"", None))
    assert len(snapshots) == 1, "what was deleted before does not count"


def test_deleted_keys_count_although_the_snapshot_is_used_meanwhile() -> None:
    snapshots, keyspace = ScanSnapshots(), FakeKeyspace()
    cursor, _ = snapshots.page(0, 1, keyspace)
    snapshots.on_remove(b"k" * (MAX_DELETED_BYTES // 2), Removal.DELETED, (b"", None))
    assert snapshots.page(cursor, 1, keyspace)[1] == [b"b"]
    snapshots.on_remove(b"k" * (MAX_DELETED_BYTES // 2), Removal.DELETED, (b"", None))
    assert len(snapshots) == 0


def test_an_iteration_whose_snapshot_was_evicted_because_of_deleted_keys_misses_nothing(
    session: ClientSession, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "MAX_DELETED_BYTES", 3 * KEY_OVERHEAD)
    keys = fill(store, 40)
    cursor, found = step(session, b"0")
    for key in keys[:5]:
        store.delete(key)
    while cursor != b"0":
        cursor, more = step(session, cursor)
        found += more
    assert set(keys[5:]) <= set(found) <= set(keys)


class SpySnapshots(ScanSnapshots):
    """Snapshots that count the notifications of the store."""

    notified = 0

    def on_set(self, key: bytes, value: bytes, expires_at: int | None, before: Entry | None) -> None:
        SpySnapshots.notified += 1


def test_the_snapshots_are_notified_of_changes_only_while_there_are_any(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "ScanSnapshots", SpySnapshots)
    SpySnapshots.notified = 0
    store = new_store(clock)
    session = new_session(EmbeddedEngine(store))
    fill(store, 40)
    assert SpySnapshots.notified == 0
    cursor, _ = step(session, b"0")
    store.set(b"k", b"v")
    assert SpySnapshots.notified == 1
    step(session, cursor, "COUNT 100")
    store.set(b"k", b"v")
    step(session, b"0")
    store.clear().free()
    store.set(b"k", b"v")
    assert SpySnapshots.notified == 1


def test_small_snapshots_are_bounded_in_number() -> None:
    snapshots = ScanSnapshots()
    count = MAX_SNAPSHOT_KEYS // SNAPSHOT_OVERHEAD
    for deletion_count in range(count + 100):
        snapshots.page(0, 2, FakeKeyspace(deletion_count))
    assert len(snapshots) < count


def test_deletions_are_counted_beyond_what_a_cursor_holds_of_them() -> None:
    cursor, _ = ScanSnapshots().page(0, 2, FakeKeyspace(2**DELETIONS_BITS - 1))
    again = ScanSnapshots().page(cursor, 2, FakeKeyspace(2**DELETIONS_BITS))
    assert again == (0, [b"b", b"c"]), "one key was deleted since"


# ---------------------------------------------------------------- options


def test_match_and_type_filter_what_a_step_brings(session: ClientSession, store: Store) -> None:
    fill(store, 30)
    assert scan(session, "MATCH *5") == [[b"key:005"], [b"key:015"], [b"key:025"]]
    assert scan(session, "match key:01[0-1] COUNT 100") == [[b"key:010", b"key:011"]]
    assert [len(each) for each in scan(session, "TYPE string")] == [10, 10, 10]
    assert scan(session, "TYPE list") == [[], [], []]
    assert scan(session, "TYPE STRING COUNT 100 MATCH none") == [[]]


@pytest.mark.parametrize("cursor", ["x", "''", "-1", "1.0", "' 1'", "18446744073709551616", "9" * 30])
def test_a_cursor_that_is_no_unsigned_integer_of_64_bits_is_refused(session: ClientSession, cursor: str) -> None:
    assert execute_line(session, f"SCAN {cursor}") == INVALID_CURSOR


@pytest.mark.parametrize("options", ["COUNT 0", "COUNT -1", "COUNT", "MATCH", "EVERY 1", "COUNT 5 TYPE"])
def test_an_option_that_is_none_is_a_syntax_error(session: ClientSession, options: str) -> None:
    assert execute_line(session, f"SCAN 0 {options}") == SYNTAX_ERROR


def test_a_count_that_is_no_integer_is_refused(session: ClientSession) -> None:
    assert execute_line(session, "SCAN 0 COUNT ten") == NOT_AN_INTEGER


def test_keys_returns_what_matches_oldest_first(session: ClientSession) -> None:
    send_lines(session, "MSET two 2 one 1 three 3 '' 0")
    assert execute_line(session, "KEYS t*") == [b"two", b"three"]
    assert execute_line(session, "KEYS *") == [b"two", b"one", b"three", b""]
    assert execute_line(session, "KEYS none") == []
