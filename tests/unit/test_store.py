"""The store by itself."""

from __future__ import annotations

import pytest

from server.keyspace.contents import ClearedContents
from server.keyspace.observers import Entry, Removal
from server.keyspace.store import Store
from tests.harness.clock import Clock
from tests.harness.stores import Recorder, new_store, pairs


def filled() -> Store:
    store = new_store()
    for key in (b"a", b"b", b"c"):
        store.set(key, b"1")
    return store


def test_a_new_store_is_empty(store: Store) -> None:
    assert (len(store), store.items(), store.get(b"a"), b"a" in store) == (0, [], None, False)


def test_a_value_that_was_set_is_there(store: Store) -> None:
    store.set(b"a", b"")
    assert (len(store), store.get(b"a"), b"a" in store) == (1, b"", True)


@pytest.mark.parametrize("value", [b"", b"0", b"1"])
def test_deleting_reports_whether_the_key_was_there(store: Store, value: bytes) -> None:
    store.set(b"a", value)
    assert store.delete(b"a") is True
    assert store.delete(b"a") is False
    assert b"a" not in store


def test_overwriting_keeps_a_keys_place() -> None:
    store = filled()
    store.set(b"a", b"2")
    assert pairs(store) == [(b"a", b"2"), (b"b", b"1"), (b"c", b"1")]


def test_deleting_gives_a_keys_place_up() -> None:
    store = filled()
    store.delete(b"a")
    store.set(b"a", b"2")
    assert pairs(store) == [(b"b", b"1"), (b"c", b"1"), (b"a", b"2")]


def stores_with_expiries() -> list[tuple[Store, Recorder | None]]:
    """Return a store that is observed, and one that is not: with a live expiry, an expired key, and a key without."""
    clock = Clock()
    made: list[tuple[Store, Recorder | None]] = []
    for recorder in (None, Recorder()):
        store = new_store(clock, [recorder] if recorder else [])
        store.set(b"live", b"1", clock.now + 1000)
        store.set(b"expired", b"1", clock.now + 1)
        store.set(b"plain", b"1")
        made.append((store, recorder))
    clock.forward(2)
    for store, _ in made:
        store.begin_step()
    return made


def test_the_values_of_many_keys_are_those_of_each_key() -> None:
    for store, _ in stores_with_expiries():
        assert store.get_many([b"plain", b"missing", b"plain"]) == [b"1", None, b"1"]
        assert store.get_many([b"live", b"expired", b"plain"]) == [b"1", None, b"1"]
        assert b"expired" not in store.keys_in_order()


@pytest.mark.parametrize("keys", [[b"plain", b"new", b"plain"], [b"live", b"expired", b"plain", b"live"]])
def test_to_set_many_keys_is_to_set_each(keys: list[bytes]) -> None:
    values = [b"%d" % place for place in range(len(keys))]
    for together, one_by_one in zip(stores_with_expiries(), stores_with_expiries(), strict=True):
        together[0].set_many(keys, values)
        for key, value in zip(keys, values, strict=True):
            one_by_one[0].set(key, value)
        assert together[0].items() == one_by_one[0].items()
        if together[1] and one_by_one[1]:
            assert together[1].changes == one_by_one[1].changes


def test_clearing_removes_every_key() -> None:
    store = filled()
    store.clear()
    assert (len(store), store.items()) == (0, [])


def test_the_copy_of_the_items_does_not_change_with_the_store() -> None:
    store = filled()
    items = store.items()
    store.clear()
    assert [key for key, _, _ in items] == [b"a", b"b", b"c"]


def test_stores_share_nothing() -> None:
    filled()
    assert len(new_store()) == 0


@pytest.mark.uncompiled
@pytest.mark.parametrize(
    ("key", "value"), [("a", b"1"), (b"a", "1"), (b"a", 1), (b"a", None), (b"a", bytearray(b"1"))], ids=repr
)
def test_the_check_finds_what_is_not_bytes(key: bytes, value: bytes) -> None:
    store = filled()
    store.check()
    store.set(key, value)
    with pytest.raises(AssertionError, match="bytes"):
        store.check()
    store.clear()


class ReentrantObserver:
    """An observer that breaks the rules: it sets an expiry while the key is being removed."""

    def __init__(self) -> None:
        self.store: Store | None = None

    def on_set(self, key: bytes, value: bytes, expires_at: int | None, before: Entry | None) -> None:
        pass

    def on_write_range(self, key: bytes, offset: int, part: bytes, before: bytes | None) -> None:
        pass

    def on_expiry_change(self, key: bytes, expires_at: int | None, before: int | None) -> None:
        pass

    def on_remove(self, key: bytes, cause: Removal, before: Entry) -> None:
        if self.store is not None:
            self.store.expire_at(key, 2**62)

    def on_clear(self, cleared: ClearedContents) -> None:
        pass


def test_the_check_finds_an_expiry_without_a_value() -> None:
    observer = ReentrantObserver()
    store = new_store(observers=[observer])
    observer.store = store
    store.set(b"a", b"1")
    store.delete(b"a")
    with pytest.raises(AssertionError, match="no value"):
        store.check()
    store.clear()
