"""COMMAND INFO and DOCS: what kvline says of each command that Redis has too is what Redis says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest

from common.replies import SimpleString
from common.resp_client import ReplyDecoder, encode_request
from tests.harness.processes import Peer
from tests.harness.resp_wire import Servers
from tests.unit.test_commands import ENTRIES

OWN = ["CLIENT|NO-TOUCH", "CLIENT|SETINFO", "COMPACT", "DISCONNECT", "FIND", "HELP"]
"""Commands that Redis 7.0 does not have."""

OTHER_KEYS = {"MIGRATE": "the keys after KEYS are found by a function"}
"""Commands whose key specifications differ, and why."""

OTHER_ARGUMENTS = {
    "BITFIELD": "Redis documents a block in a block",
    "BITFIELD_RO": "Redis documents a repeated token",
    "BITOP": "Redis documents no operations",
    "CLIENT|KILL": "Redis documents the types of clients, and that filters can be repeated",
    "CLIENT|LIST": "in Redis the two filters can be combined, in kvline only one can be given",
    "CLIENT|TRACKING": "Redis documents a repeated token",
    "COMMAND|GETKEYS": "Redis 7.0 documents no arguments",
    "COMMAND|GETKEYSANDFLAGS": "Redis 7.0 documents no arguments",
    "CONFIG|GET": "Redis documents a block of one parameter",
    "MIGRATE": "Redis documents an empty string as a token, and a block of the two passwords",
    "LOLWUT": "kvline ignores the numbers",
    "PSUBSCRIBE": "Redis documents a block of one pattern",
}
"""Commands whose documented arguments differ, and why."""

OWN_FLAGS = {"MIGRATE": {"no_multi", "noscript"}}
"""Flags that Redis does not have. MIGRATE waits for another server, which must not happen under the keyspace lock."""


class Said(NamedTuple):
    """What one server says about an entry of the table."""

    info: list[Any]
    docs: dict[str, Any]


Entries = dict[str, tuple[Said, Said]]
"""What kvline and Redis say, by the names of the entries."""


def ask(peer: Peer, *args: bytes) -> Any:
    """Return what a server replies, in RESP3."""
    peer.send(encode_request(args))
    decoder = ReplyDecoder()
    while not (replies := decoder.feed(peer.socket.recv(65536))):
        pass
    return plain(replies[0])


def plain(reply: Any) -> Any:
    """Return a reply with text instead of bytes and statuses."""
    match reply:
        case SimpleString(text=text) | (bytes() as text):
            return text.decode()
        case list():
            return list(map(plain, reply))
        case dict():
            return {plain(key): plain(value) for key, value in reply.items()}
    return reply


def say(peer: Peer, name: str) -> Said | None:
    (info,) = ask(peer, b"COMMAND", b"INFO", name.lower().encode())
    container = name.lower().partition("|")[0]
    docs = ask(peer, b"COMMAND", b"DOCS", container.encode()).get(container, {})
    if "|" in name:
        docs = docs.get("subcommands", {}).get(name.lower())
    return None if info is None else Said(info, docs)


@pytest.fixture(scope="module")
def entries(servers: Servers) -> Entries:
    """What kvline and Redis say about each entry of kvline's table that Redis has."""
    if servers.redis.version < 7:
        pytest.skip("subcommands and these flags came with Redis 7")
    ours, theirs = servers.kvline.connect(), servers.redis.connect()
    for peer in (ours, theirs):
        ask(peer, b"HELLO", b"3")
    found = {}
    for entry in ENTRIES:
        our, their = (say(peer, entry.name.decode()) for peer in (ours, theirs))
        if our is not None and their is not None:
            found[entry.name.decode()] = our, their
    return found


def test_redis_has_most_of_the_commands(entries: Entries) -> None:
    assert sorted(entry.name.decode() for entry in ENTRIES if entry.name.decode() not in entries) == OWN


def test_the_flags_are_those_of_redis(entries: Entries) -> None:
    for name, (ours, theirs) in entries.items():
        assert set(ours.info[2]) == set(theirs.info[2]) | OWN_FLAGS.get(name, set()), name


def test_the_arity_and_the_key_positions_are_those_of_redis(entries: Entries) -> None:
    for name, (ours, theirs) in entries.items():
        assert ours.info[1] == theirs.info[1], name
        assert ours.info[3:6] == theirs.info[3:6], name


def test_the_acl_categories_are_those_of_redis(entries: Entries) -> None:
    for name, (ours, theirs) in entries.items():
        assert set(ours.info[6]) == set(theirs.info[6]), name


def test_the_key_specifications_are_those_of_redis(entries: Entries) -> None:
    for name, (ours, theirs) in entries.items():
        without_notes = [{field: spec[field] for field in spec if field != "notes"} for spec in theirs.info[8]]
        assert (ours.info[8] == without_notes) == (name not in OTHER_KEYS), name


def test_the_documentation_has_the_version_and_the_group_of_redis(entries: Entries) -> None:
    for name, (ours, theirs) in entries.items():
        assert ours.docs["group"] == theirs.docs["group"], name
        assert ("complexity" in ours.docs) == ("complexity" in theirs.docs), name
        if not name.endswith("|HELP"):  # kvline's entries of HELP are generated
            assert ours.docs["since"] == theirs.docs["since"], name


def shape(arguments: Iterable[dict[str, Any]]) -> list[Any]:
    """Return what matters of a tree of arguments: not the names of tokens and groups, and since when each exists."""
    return [
        (
            argument["name"] if argument["type"] not in ("pure-token", "oneof", "block") else "",
            argument["type"],
            argument.get("token"),
            argument.get("key_spec_index"),
            sorted(argument.get("flags", [])),
            shape(argument.get("arguments", [])),
        )
        for argument in arguments
    ]


def test_the_documented_arguments_are_those_of_redis(entries: Entries) -> None:
    for name, said in entries.items():
        ours, theirs = (shape(each.docs.get("arguments", [])) for each in said)
        assert (ours == theirs) == (name not in OTHER_ARGUMENTS), (name, ours, theirs)
