"""Observers: what they are notified of is enough to rebuild the store, whatever commands run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.rdb.payload import dump
from tests.harness.clock import Clock
from tests.harness.sessions import execute, new_session
from tests.harness.stores import Recorder, new_store

keys = st.sampled_from([b"a", b"b", b""])
values = st.sampled_from([b"", b"1", b"x"])
times = st.integers(-5, 30).map(b"%d".__mod__)

commands = st.one_of(
    st.tuples(st.just(b"SET"), keys, values),
    st.tuples(st.just(b"SET"), keys, values, st.sampled_from([b"KEEPTTL", b"NX", b"XX"])),
    st.tuples(st.sampled_from([b"PSETEX"]), keys, times, values),
    st.tuples(st.just(b"SET"), keys, values, st.just(b"PXAT"), st.integers(1, 10**13).map(b"%d".__mod__)),
    st.tuples(st.sampled_from([b"PEXPIRE"]), keys, times),
    st.tuples(st.sampled_from([b"INCR", b"DEL", b"GETDEL", b"PERSIST", b"GET"]), keys),
    st.tuples(st.sampled_from([b"RENAME", b"RENAMENX", b"COPY"]), keys, keys),
    st.tuples(st.just(b"COPY"), keys, keys, st.just(b"REPLACE")),
    st.tuples(st.sampled_from([b"APPEND", b"GETSET", b"SETNX"]), keys, values),
    st.tuples(st.just(b"SETRANGE"), keys, st.integers(0, 3).map(b"%d".__mod__), values),
    st.tuples(st.just(b"MSET"), keys, values, keys, values),
    st.tuples(st.just(b"SETBIT"), keys, st.integers(0, 20).map(b"%d".__mod__), st.sampled_from([b"0", b"1"])),
    st.tuples(
        st.just(b"BITFIELD"), keys, st.just(b"SET"), st.just(b"u5"), st.integers(0, 20).map(b"%d".__mod__), times
    ),
    st.tuples(st.just(b"BITOP"), st.sampled_from([b"AND", b"OR", b"XOR"]), keys, keys, keys),
    st.tuples(st.just(b"RESTORE"), keys, times, values.map(dump), st.just(b"REPLACE")),
    st.tuples(st.sampled_from([b"FLUSHALL", b"DBSIZE", b"RANDOMKEY"])),
)
steps = st.lists(commands | st.integers(1, 1500) | st.just("expire"), max_size=30)
"""Commands, milliseconds that pass, and active expire cycles."""


@given(steps, st.booleans())
def test_replaying_the_observed_changes_into_a_second_store_gives_the_same_items(
    drawn: list[tuple[bytes, ...] | int | str], watching: bool
) -> None:
    clock, recorder = Clock(), Recorder()
    store = new_store(clock, [recorder])
    engine = EmbeddedEngine(store)
    session, watcher = new_session(engine), new_session(engine)
    if watching:
        execute(watcher, b"WATCH", b"a", b"b")
    for step in drawn:
        if isinstance(step, int):
            clock.forward(step)
        elif isinstance(step, str):
            engine.expire_slice()
        else:
            execute(session, *step)
    store.begin_step()
    items = store.items()
    assert recorder.items() == items, "in the same order too"
    replica = new_store(Clock())
    replica.begin_step(0)  # before every expiry, so that only the recorded changes remove keys
    for change in recorder.changes:
        repeat(replica, *change)
    assert replica.items() == items
    replica.check()


def repeat(replica: Store, kind: object, *details: object) -> None:
    """Make a recorded change in another store."""
    match kind, details:
        case "set", [bytes() as key, bytes() as value, expires_at]:
            assert expires_at is None or isinstance(expires_at, int)
            replica.set(key, value, expires_at)
        case "range", [bytes() as key, int() as offset, bytes() as part]:
            replica.write_range(key, offset, part)
        case "expiry", [bytes() as key, int() as expires_at]:
            replica.expire_at(key, expires_at)
        case "expiry", [bytes() as key, None]:
            replica.persist(key)
        case "remove", [bytes() as key, _]:
            assert replica.delete(key)
        case "clear", [set() as keys_]:
            assert keys_ == {key for key, _, _ in replica.items()}
            replica.clear()
        case _:
            raise AssertionError((kind, details))
