"""Commands on string values."""

from __future__ import annotations

from common.replies import OK, Reply
from server.integers import add, parse_integer
from server.registry import Group
from server.store import Store

group = Group("string")


@group.reads("GET key", "Return the value of a key.")
def get(store: Store, key: bytes) -> Reply:
    return store.get(key)


@group.writes("SET key value", "Give a key a value.")
def set_(store: Store, key: bytes, value: bytes) -> Reply:
    store.set(key, value)
    return OK


@group.writes("INCR key", "Add one to the integer that a key holds; a key that is not there counts as 0.")
def incr(store: Store, key: bytes) -> Reply:
    return incrby(store, key, 1)


@group.writes("DECR key", "Take one from the integer that a key holds; a key that is not there counts as 0.")
def decr(store: Store, key: bytes) -> Reply:
    return incrby(store, key, -1)


@group.writes("INCRBY key increment", "Add to the integer that a key holds; a key that is not there counts as 0.")
def incrby(store: Store, key: bytes, increment: int) -> Reply:
    value = store.get(key)
    total = add(0 if value is None else parse_integer(value), increment)
    store.set(key, b"%d" % total)
    return total


@group.writes("DECRBY key decrement", "Take from the integer that a key holds; a key that is not there counts as 0.")
def decrby(store: Store, key: bytes, decrement: int) -> Reply:
    return incrby(store, key, -decrement)
