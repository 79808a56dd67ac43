"""COMMAND INFO: the flags, the arity and the key positions of every command that Redis has too are Redis's."""

from __future__ import annotations

from typing import Any

import pytest

from common.replies import SimpleString
from common.resp_client import ReplyDecoder, encode_request
from tests.harness.processes import Peer
from tests.harness.resp_wire import Servers
from tests.unit.test_commands import ENTRIES

ACCEPTED_ARITY = {b"QUIT": "kvline refuses arguments of QUIT"}
"""Commands whose arity differs, and why."""

OWN_FLAGS = {b"MIGRATE": {"no_multi", "noscript"}}
"""Flags that Redis does not have. MIGRATE waits for another server, which must not happen under the keyspace lock."""


def command_info(peer: Peer, name: bytes) -> list[Any] | None:
    """Return what a server replies to COMMAND INFO for one command or subcommand."""
    peer.send(encode_request([b"COMMAND", b"INFO", name]))
    decoder = ReplyDecoder()
    while not (replies := decoder.feed(peer.socket.recv(65536))):
        pass
    ((info,),) = replies
    return info


@pytest.fixture(scope="module")
def entries(servers: Servers) -> dict[bytes, tuple[list[Any], list[Any]]]:
    """What both servers say about each entry of kvline's table that Redis has."""
    if servers.redis.version < 7:
        pytest.skip("subcommands and these flags came with Redis 7")
    ours, theirs = servers.kvline.connect(), servers.redis.connect()
    found = {}
    for entry in ENTRIES:
        pair = command_info(ours, entry.name.lower()), command_info(theirs, entry.name.lower())
        if pair[0] is not None and pair[1] is not None:
            found[entry.name] = pair
    return found


def flags_of(info: list[Any]) -> set[str]:
    return {flag.text.decode() for flag in info[2] if isinstance(flag, SimpleString)}


def test_redis_has_most_of_the_commands(entries: dict[bytes, Any]) -> None:
    missing = sorted(entry.name.decode() for entry in ENTRIES if entry.name not in entries)
    assert missing == ["CLIENT|NO-TOUCH", "CLIENT|SETINFO", "COMPACT", "DISCONNECT", "FIND", "HELP"]


@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES], ids=bytes.decode)
def test_the_flags_are_those_of_redis(entries: dict[bytes, tuple[list[Any], list[Any]]], name: bytes) -> None:
    if name not in entries:
        return
    ours, theirs = map(flags_of, entries[name])
    assert ours == theirs | OWN_FLAGS.get(name, set())


@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES], ids=bytes.decode)
def test_the_arity_and_the_key_positions_are_those_of_redis(
    entries: dict[bytes, tuple[list[Any], list[Any]]], name: bytes
) -> None:
    if name not in entries:
        return
    ours, theirs = entries[name]
    if name not in ACCEPTED_ARITY:
        assert ours[1] == theirs[1]
    assert ours[3:6] == theirs[3:6]
