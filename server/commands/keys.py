"""Commands on keys, whatever their values."""

from __future__ import annotations

from common.replies import OK, Block, Reply
from common.text import command_line
from server.registry import ALL_KEYS, NO_KEYS, Group
from server.store import Store

group = Group("generic")


@group.writes("DEL key [key ...]", "Remove keys; return how many were there.", keys=ALL_KEYS)
def delete(store: Store, key: bytes, *more: bytes) -> Reply:
    return sum(map(store.delete, (key, *more)))


@group.reads("EXISTS key [key ...]", "Count the keys that are there, each as often as it is named.", keys=ALL_KEYS)
def exists(store: Store, key: bytes, *more: bytes) -> Reply:
    return sum(each in store for each in (key, *more))


@group.writes("FLUSHALL", "Remove every key.", keys=NO_KEYS)
def flushall(store: Store) -> Reply:
    store.clear()
    return OK


@group.reads("COMPACT", "Print the fewest commands that rebuild the store, oldest key first.", keys=NO_KEYS)
def compact(store: Store) -> Reply:
    # Only the copy is made under the lock; the lines are formatted as they are sent.
    return Block(command_line((b"SET", key, value)) for key, value in store.items())
