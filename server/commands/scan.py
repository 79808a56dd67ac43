"""Commands that iterate over all keys: KEYS at once, SCAN page by page."""

from __future__ import annotations

from common.replies import Reply
from server.args.glob import matcher
from server.args.integers import parse_cursor, parse_integer
from server.args.options import parse_options, require
from server.keyspace.store import Store
from server.registry import NO_KEYS, CommandGroup

group = CommandGroup("generic")

DEFAULT_COUNT = 10


@group.reads("KEYS pattern", "Return all keys that match a pattern.", keys=NO_KEYS)
def keys(store: Store, pattern: bytes) -> Reply:
    matches = matcher(pattern)
    return [key for key in store.all_keys() if matches(key)]


@group.reads(
    "SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]",
    "Return some keys and the cursor for the next ones; start with 0, end when it is 0 again.",
    keys=NO_KEYS,
)
def scan(store: Store, cursor: bytes, *args: bytes) -> Reply:
    position = parse_cursor(cursor)
    options = parse_options(args, valued=(b"MATCH", b"COUNT", b"TYPE"))
    count = parse_integer(options.get(b"COUNT", b"%d" % DEFAULT_COUNT))
    require(count > 0)
    next_cursor, found = store.scan_page(position, count)
    matches = matcher(options.get(b"MATCH", b"*"))
    is_string = options.get(b"TYPE", b"string").lower() == b"string"
    return [b"%d" % next_cursor, [key for key in found if is_string and key in store and matches(key)]]
