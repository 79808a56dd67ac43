"""The expiration index alone: its cost, and what its check finds."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from server.keyspace import expiration
from server.keyspace.expiration import PERIOD, PURGE_SIZE, TUPLE_SIZE, ExpirationIndex


def size_of(index: ExpirationIndex) -> int:
    """Return the size of everything that the index stores."""
    return len(pickle.dumps(index))


def filled() -> ExpirationIndex:
    index = ExpirationIndex()
    for number in range(3):
        index.set(b"%d" % number, number * PERIOD * 1000)
    index.check()
    return index


class CountingSet(set[bytes]):
    """A set that counts how often its first member is searched. The more were removed, the longer that takes."""

    searches = 0

    def __iter__(self) -> Iterator[bytes]:
        CountingSet.searches += 1
        return super().__iter__()


def test_keys_that_expired_in_one_second_are_found_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiration, "set", CountingSet, raising=False)
    monkeypatch.setattr(CountingSet, "searches", 0)
    index = ExpirationIndex()
    for number in range(1000):
        index.set(b"%d" % number, 1000)
    assert len(list(index.pop_expired(2000))) == 1000
    assert CountingSet.searches == 0


def test_an_expiry_that_is_changed_again_and_again_does_not_make_the_index_grow() -> None:
    index = ExpirationIndex()
    index.set(b"other", 5)
    for slot in range(2 * PURGE_SIZE):
        index.set(b"changed", slot * PERIOD * 1000)
    size = size_of(index)
    for slot in range(10 * PURGE_SIZE):
        index.set(b"changed", slot * PERIOD * 1000)
    index.check()
    assert size_of(index) < 2 * size
    assert index.by_key == {b"other": 5, b"changed": slot * PERIOD * 1000}


def test_a_period_in_which_many_keys_expire_is_divided_into_seconds() -> None:
    index = ExpirationIndex()
    keys = [b"%d" % number for number in range(2 * TUPLE_SIZE)]
    for number, key in enumerate(keys):
        index.set(key, 1000 * (number % PERIOD) + number)
        index.check()
    assert set(index._slots) == set(range(PERIOD))
    for number, key in enumerate(keys):
        if number % PERIOD != 1:
            index.remove(key)
            index.check()
    assert index.soonest() in keys[1::PERIOD]
    for key in keys[1::PERIOD]:
        assert index.remove(key)
        index.check()
    assert not index._divided, "an empty period is not remembered"


@pytest.mark.parametrize("order", [1, -1], ids=["ascending", "descending"])
def test_purging_the_heap_loses_no_slot(order: int) -> None:
    index = ExpirationIndex()
    keys = [b"%d" % number for number in range(4 * PURGE_SIZE)]
    for number, key in list(enumerate(keys))[::order]:
        index.set(key, number * PERIOD * 1000)
    size = size_of(index)
    for key in keys[1::4] + keys[2::4] + keys[3::4]:
        assert index.remove(key)
    index.check()
    assert size_of(index) < size / 2
    assert index.expired(PURGE_SIZE * PERIOD * 1000 - 1) == set(keys[:PURGE_SIZE:4])
    assert list(index.pop_expired(10**9)) == keys[::4], "earliest first"
    assert index.by_key == {}


def test_removing_an_expiry_reports_whether_there_was_one() -> None:
    index = filled()
    assert index.remove(b"0") is True
    assert index.remove(b"0") is False


def test_clearing_removes_every_expiry() -> None:
    index = filled()
    index.clear()
    index.check()
    assert index.by_key == {}
    assert list(index.pop_expired(10**9)) == []


# ---------------------------------------------------------------- the check, on an index that a bug has damaged


def test_the_check_finds_an_expiry_in_no_slot() -> None:
    index = filled()
    index.by_key[b"new"] = 5000 * PERIOD
    with pytest.raises(AssertionError, match="differ"):
        index.check()


def test_the_check_finds_an_expiry_in_the_wrong_slot() -> None:
    index = filled()
    index.by_key[b"0"] = 5000 * PERIOD
    with pytest.raises(AssertionError, match="differ"):
        index.check()


def test_the_check_finds_a_slot_that_the_heap_lacks() -> None:
    index = filled()
    index._heap.remove(PERIOD)
    with pytest.raises(AssertionError, match="heap"):
        index.check()


def test_the_check_finds_a_divided_period_without_keys() -> None:
    index = filled()
    index._divided.add(7 * PERIOD)
    with pytest.raises(AssertionError, match="divided"):
        index.check()


def test_the_check_finds_a_slot_without_keys() -> None:
    index = filled()
    index._slots[7 * PERIOD] = set()
    index._heap.append(7 * PERIOD)
    with pytest.raises(AssertionError, match="without keys"):
        index.check()
