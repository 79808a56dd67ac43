"""Commands that iterate over all keys: KEYS and FIND at once, SCAN page by page."""

from __future__ import annotations

from itertools import islice

from server.args.glob import matcher
from server.args.integers import parse_cursor, parse_integer
from server.args.options import parse_options, require
from server.keyspace.contents import ItemsCopy
from server.keyspace.store import Store
from server.registry import NO_KEYS, CommandGroup, Stages

group = CommandGroup("generic", "keyspace")

DEFAULT_COUNT = 10


@group.reads_in_stages(
    "KEYS pattern",
    "Return all keys that match a pattern.",
    keys=NO_KEYS,
    since="1.0.0",
    complexity="O(N) where N is the number of keys in the database",
    categories=("dangerous",),
)
def keys(pattern: bytes) -> Stages[Store, list[bytes]]:
    matches = matcher(pattern)
    found = yield Store.all_keys
    return [key for key in found if matches(key)]


@group.reads_in_stages(
    "SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]",
    "Return some keys and the cursor for the next ones; start with 0, end when it is 0 again.",
    keys=NO_KEYS,
    since="2.8.0",
    complexity="O(N) for the first call, where N is the number of keys in the database, then O(COUNT) for each call",
)
def scan(cursor: bytes, *args: bytes) -> Stages[Store, tuple[int, list[bytes]]]:
    position = parse_cursor(cursor)
    options = parse_options(args, valued=(b"MATCH", b"COUNT", b"TYPE"))
    count = parse_integer(options.get(b"COUNT", b"%d" % DEFAULT_COUNT))
    require(count > 0)
    matches = matcher(options.get(b"MATCH", b"*"))
    is_string = options.get(b"TYPE", b"string").lower() == b"string"
    next_cursor, found = yield lambda store: _existing(store, *store.scan_page(position, count))
    return [b"%d" % next_cursor, [key for key in found if is_string and matches(key)]]


@group.reads_in_stages(
    "FIND pattern [LIMIT count]",
    "Return the keys whose value matches a pattern, oldest key first.",
    keys=NO_KEYS,
    since="0.1.0",
    complexity="O(N) where N is the number of keys in the database",
)
def find(pattern: bytes, *args: bytes) -> Stages[Store, ItemsCopy]:
    options = parse_options(args, valued=(b"LIMIT",))
    limit = None
    if b"LIMIT" in options:
        limit = parse_integer(options[b"LIMIT"])
        require(limit > 0)
    matches = matcher(pattern)
    items = yield Store.copy_items
    return list(islice((key for key, value, _ in items if matches(value)), limit))


def _existing(store: Store, next_cursor: int, page: list[bytes]) -> tuple[int, list[bytes]]:
    """Return a page of SCAN without the keys that were removed since its snapshot was made."""
    return next_cursor, [key for key in page if key in store]
