"""The queue of keys: every key once, in the order of creation, whatever happens during a visit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.engines.log.key_order import MIN_STALE_KEYS, KeyOrder

names = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])
steps = st.lists(st.tuples(st.sampled_from(["create", "remove", "visit", "begin", "clear"]), names, st.integers(1, 4)))


@given(steps)
def test_a_visit_returns_the_keys_that_existed_when_it_began_in_order_and_once(
    drawn: list[tuple[str, bytes, int]],
) -> None:
    order, keys = KeyOrder(), dict[bytes, None]()
    expected: list[bytes] = []  # of the visit: those that exist without interruption since it began
    found: list[bytes] = []
    for action, key, count in drawn:
        if action == "create" and key not in keys:
            keys[key] = None
            order.created(key)
        elif action == "remove" and key in keys:
            del keys[key]
            order.removed(key)
            expected = [each for each in expected if each != key or each in found]
        elif action == "clear":
            keys.clear()
            order.cleared()
            expected = [each for each in expected if each in found]
        elif action == "begin":
            order.begin_visit()
            expected, found = list(keys), []
        elif action == "visit" and order.is_visiting:
            found += order.visit(count)
            assert found == expected[: len(found)]
            if not order.is_visiting:
                assert found == expected
        assert len(order) == len(keys)
    order.begin_visit()
    found = []
    while order.is_visiting:
        found += order.visit(2)
    assert found == list(keys)


def test_removed_keys_are_forgotten_by_a_visit() -> None:
    order = KeyOrder()
    for number in range(MIN_STALE_KEYS + 1):
        key = b"%d" % number
        order.created(key)
        order.removed(key)
    assert order.needs_visit
    order.begin_visit()
    while order.is_visiting:
        assert order.visit(1000) == []
    assert not order.needs_visit
    assert len(order) == 0
