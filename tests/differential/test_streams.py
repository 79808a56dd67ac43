"""Pipelines, byte for byte: CLIENT REPLY, QUIT, protocol errors, CLIENT KILL."""

from __future__ import annotations

import pytest

from common.resp_client import encode_request
from common.text_args import split_args
from tests.differential.comparison import Sessions
from tests.harness.resp_wire import Servers, scalar

STREAMS = {
    "off and on": "PING 1; CLIENT REPLY OFF; PING 2; SET k v; CLIENT REPLY ON; GET k",
    "off to the end": "PING 1; CLIENT REPLY OFF; SET k v; GET; PING 2",
    "skip": "PING 1; CLIENT REPLY SKIP; PING 2; PING 3",
    "skip an error": "CLIENT REPLY SKIP; GET; PING 1",
    "skip an unknown command": "CLIENT REPLY SKIP; NOSUCH; PING 1",
    "skip twice": "CLIENT REPLY SKIP; CLIENT REPLY SKIP; PING 1; PING 2; PING 3",
    "skip and on": "CLIENT REPLY SKIP; CLIENT REPLY ON; PING 1; PING 2",
    "skip and off": "CLIENT REPLY SKIP; CLIENT REPLY OFF; PING 1; CLIENT REPLY ON; PING 2",
    "off and skip": "CLIENT REPLY OFF; CLIENT REPLY SKIP; PING 1; PING 2; CLIENT REPLY ON; PING 3",
    "on": "CLIENT REPLY ON; CLIENT REPLY on; PING 1",
    "a wrong mode while off": "CLIENT REPLY OFF; CLIENT REPLY FOO; CLIENT REPLY; PING 1; CLIENT REPLY ON; PING 2",
    "skip a transaction's beginning": "CLIENT REPLY SKIP; MULTI; SET k 1; INCR k; EXEC",
    "off, and reset": "CLIENT REPLY OFF; PING 1; RESET; PING 2",
    "quit": "PING 1; QUIT; PING 2",
    "quit with arguments": "PING 1; QUIT now; PING 2",
    "quit in a transaction": "MULTI; SET k v; QUIT; EXEC",
    "reset in a transaction": "SET k 1; WATCH k; MULTI; SET k 2; RESET; EXEC; GET k",
    "reset takes the name": "CLIENT SETNAME me; RESET; CLIENT GETNAME",
    "reset ends RESP3": "CLIENT REPLY SKIP; HELLO 3; GET nosuch; RESET; GET nosuch",
}


DIFFERENT = {
    "MULTI; SET k 1; CLIENT REPLY SKIP; EXEC; PING 1": "Redis announces two replies of EXEC, and sends one",
    "MULTI; CLIENT REPLY OFF; SET k 1; EXEC; CLIENT REPLY ON; GET k": "Redis announces replies of EXEC, and sends none",
    "CLIENT REPLY SKIP; RESET; PING 1; PING 2": "the reply to RESET after SKIP is sent by kvline only",
}
"""Accepted differences, by stream."""


@pytest.mark.parametrize(
    "stream",
    [
        *(pytest.param(stream, id=name) for name, stream in STREAMS.items()),
        *(pytest.param(each, marks=pytest.mark.xfail(reason=why, strict=True)) for each, why in DIFFERENT.items()),
    ],
)
def test_a_stream_gets_the_same_reply(servers: Servers, stream: str) -> None:
    with Sessions(servers, 1):  # empties both servers
        twin = servers.connect()
    requests = [encode_request(split_args(line.encode())) for line in stream.split("; ")]
    try:
        ours, theirs = twin.pour(b"".join(requests))
    finally:
        twin.close()
    assert ours == theirs


@pytest.mark.parametrize("args", [[b"*0\r\n"], [b"*-1\r\n"], [b"*1\r\n$4\r\nPING\r\n", b"*0\r\n"]])
def test_a_request_without_arguments_gets_no_reply(servers: Servers, args: list[bytes]) -> None:
    twin = servers.connect()
    try:
        ours, theirs = twin.pour(b"".join(args))
    finally:
        twin.close()
    assert ours == theirs


@pytest.mark.parametrize("skip", [b"", b"yes", b"no"])
def test_a_client_ends_itself_or_not(servers: Servers, skip: bytes) -> None:
    twin = servers.connect()
    try:
        numbers = [int(scalar(reply)[1:]) for reply in twin.ask([b"CLIENT", b"ID"])]
        args = [b"SKIPME", skip] if skip else []
        kills = [encode_request([b"CLIENT", b"KILL", b"ID", b"%d" % number, *args]) for number in numbers]
        ours, theirs = twin.pour(*(kill + encode_request([b"PING"]) for kill in kills))
        assert ours == theirs
    finally:
        twin.close()
