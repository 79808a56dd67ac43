"""PEEK: what a key is, without printing all of it."""

from __future__ import annotations

from collections.abc import Callable

from client.conversation import Conversation
from common.codec import Args
from common.replies import ErrorReply, Reply, SimpleString

SHOWN_BYTES = 100
SHOWN_ELEMENTS = 10

_LAST_BYTE, _LAST_ELEMENT, _COUNT = (b"%d" % n for n in (SHOWN_BYTES - 1, SHOWN_ELEMENTS - 1, SHOWN_ELEMENTS))


def _page(reply: Reply) -> Reply:
    """Return the elements of a reply to SCAN and its relatives, without the cursor."""
    return reply[1] if isinstance(reply, list) and len(reply) == 2 else reply


def _same(reply: Reply) -> Reply:
    return reply


_BY_TYPE: dict[bytes, tuple[bytes, bytes, Args, Callable[[Reply], Reply]]] = {
    b"string": (b"STRLEN", b"bytes", [b"GETRANGE", b"0", _LAST_BYTE], _same),
    b"list": (b"LLEN", b"elements", [b"LRANGE", b"0", _LAST_ELEMENT], _same),
    b"set": (b"SCARD", b"elements", [b"SSCAN", b"0", b"COUNT", _COUNT], _page),
    b"hash": (b"HLEN", b"fields", [b"HSCAN", b"0", b"COUNT", _COUNT], _page),
    b"zset": (b"ZCARD", b"elements", [b"ZRANGE", b"0", _LAST_ELEMENT, b"WITHSCORES"], _same),
    b"stream": (b"XLEN", b"entries", [b"XRANGE", b"-", b"+", b"COUNT", _COUNT], _same),
}
"""By type: the command for the size, what it counts, the command for the beginning, and what to show of its reply."""


def peek(conversation: Conversation, key: bytes) -> Reply:
    """Describe a key: type, size, time to live, the beginning of its value. Null if it does not exist.

    The commands are not a transaction, so the parts may be of different values if another client writes meanwhile.
    Raises as `Conversation.exchange`.
    """
    kind, ttl, memory = conversation.call_all([[b"TYPE", key], [b"PTTL", key], [b"MEMORY", b"USAGE", key]])
    if not isinstance(kind, SimpleString):
        return kind
    if kind.text == b"none":
        return None
    description: dict[bytes, Reply] = {b"type": kind}
    if isinstance(ttl, int):
        description[b"expires"] = SimpleString(b"never" if ttl < 0 else b"in %.3f s" % (ttl / 1000))
    if isinstance(memory, int):
        description[b"memory"] = SimpleString(b"%d bytes" % memory)
    if kind.text in _BY_TYPE:
        size_command, unit, beginning, shown = _BY_TYPE[kind.text]
        size, value = conversation.call_all([[size_command, key], [beginning[0], key, *beginning[1:]]])
        if isinstance(size, int):
            description[b"size"] = SimpleString(b"%d %b" % (size, unit))
        if not isinstance(value, ErrorReply):
            value = shown(value)
            limit = SHOWN_ELEMENTS * (2 if kind.text == b"hash" else 1)
            whole = isinstance(size, int) and size <= (SHOWN_BYTES if kind.text == b"string" else SHOWN_ELEMENTS)
            # A small set or hash is returned as a whole, whatever COUNT says.
            value = value[:limit] if isinstance(value, list) else value
            description[b"value" if whole else b"beginning"] = value
    return description
