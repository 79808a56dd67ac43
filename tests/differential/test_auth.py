"""The password: kvline and Redis, both with ``requirepass``, get the same requests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.resp_client import encode_request
from common.text_args import split_args
from tests.differential.differences import is_accepted
from tests.harness.processes import Peer, ServerProcess
from tests.harness.redis_server import RedisServer, find_redis
from tests.harness.resp_wire import Servers, Twin

PASSWORD = "secret"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Servers]:
    """A kvline and a Redis with the same password. It is set while they run, as a started Redis must reply to PING."""
    found = find_redis()
    if found is None:
        pytest.skip("no Redis is installed to compare with")
    redis, kvline = RedisServer(*found), ServerProcess()
    try:
        for server in (redis, kvline):
            assert server.connect().ask(f"CONFIG SET requirepass {PASSWORD}".encode()).rstrip() in (b"+OK", b"OK")
        yield Servers(kvline, redis)
    finally:
        kvline.close()
        redis.close()


SESSIONS = {
    "before authentication": "PING; GET k; SET k v; MULTI; EXEC; WATCH k; CLIENT LIST; CONFIG GET *; COMMAND; MONITOR",
    "errors of the request come first": "NOSUCH; NOSUCH a b; GET; GET a b; CLIENT; CLIENT NOSUCH; SET k; AUTH",
    "AUTH": "AUTH wrong; PING; AUTH default wrong; AUTH other secret; AUTH secret x y; PING; AUTH secret; PING",
    "AUTH with a user": "AUTH default secret; PING; AUTH default wrong; PING; AUTH DEFAULT secret; AUTH \"\" secret",
    "AUTH twice": "AUTH secret; AUTH secret; AUTH wrong; PING",
    "HELLO without AUTH": "HELLO; HELLO 2; HELLO 3; HELLO 4; HELLO x; HELLO 3 NOSUCH; HELLO 3 SETNAME x; PING",
    "HELLO with AUTH": "HELLO 3 AUTH default wrong; HELLO 3 AUTH other secret; PING; HELLO 3 AUTH default secret; PING",
    "HELLO with AUTH in RESP2": "HELLO 2 AUTH default secret SETNAME me; CLIENT GETNAME; PING",
    "HELLO after AUTH": "AUTH secret; HELLO 3; GET nosuch; HELLO 2; PING",
    "RESET": "AUTH secret; SET k v; MULTI; GET k; RESET; GET k; EXEC; AUTH secret; GET k; DEL k",
    "RESET before authentication": "RESET; PING; RESET; AUTH secret; PING",
    "QUIT before authentication": "QUIT; PING",
    "a transaction": "AUTH secret; MULTI; AUTH wrong; AUTH secret; SET k 1; EXEC; GET k; DEL k",
    "CLIENT REPLY before authentication": "CLIENT REPLY OFF; PING; AUTH secret; PING",
    "the rejected calls of a command": "GET k; AUTH secret; PING",
}  # fmt: skip


@pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
def test_each_request_of_a_session_gets_the_same_reply(guarded: Servers, session: str) -> None:
    compare(guarded.connect(), [tuple(split_args(line.encode())) for line in session.split("; ")])


PIPELINES = [
    "PING; GET k; SET k v; MULTI; WATCH k; CLIENT LIST; AUTH secret; PING",
    "AUTH wrong; PING; PING; PING; PING; PING; AUTH secret; PING",
    "AUTH secret; SET k v; MULTI; GET k; RESET; GET k; AUTH secret; GET k; DEL k",
    "AUTH secret; MULTI; AUTH wrong; AUTH secret; SET k 1; EXEC; GET k; DEL k",
    "QUIT; AUTH secret; PING",
]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_pipeline_gets_the_same_replies(guarded: Servers, pipeline: str) -> None:
    twin = guarded.connect()
    try:
        ours, theirs = twin.pour(b"".join(encode_request(split_args(line.encode())) for line in pipeline.split("; ")))
    finally:
        twin.close()
    assert ours == theirs


REQUESTS = st.one_of(
    # No CLIENT GETNAME: Redis keeps the name of a HELLO that it refuses.
    st.sampled_from([(b"PING",), (b"GET", b"none"), (b"RESET",), (b"CLIENT", b"ID", b"x")]),
    st.tuples(st.just(b"AUTH"), st.sampled_from([b"secret", b"wrong"])),
    st.tuples(st.just(b"AUTH"), st.sampled_from([b"default", b"other"]), st.sampled_from([b"secret", b"wrong"])),
    # Complete options: after an error in a later one Redis keeps what the earlier ones have changed, kvline does not.
    st.builds(
        lambda version, options: (b"HELLO", version, *options),
        st.sampled_from([b"2", b"3", b"4", b"x"]),
        st.sampled_from(
            [(), (b"AUTH", b"default", b"secret"), (b"AUTH", b"default", b"wrong"), (b"SETNAME", b"x"), (b"NOSUCH",)]
        ),
    ),
)


@given(st.lists(REQUESTS, max_size=12))
def test_random_requests_get_the_same_replies(guarded: Servers, requests: list[tuple[bytes, ...]]) -> None:
    compare(guarded.connect(), requests)


@pytest.mark.parametrize(
    "data",
    [
        b"*10\r\n",
        b"*11\r\n",
        b"*1000\r\n",
        b"*-10\r\n",
        b"*x\r\n",
        b"*1\r\n$16385\r\n",
        b"*1\r\n$536870912\r\n",
        b"*1\r\n$-5\r\n",
        b"*1\r\n$x\r\n",
        b"*2\r\n$4\r\nAUTH\r\n$16384\r\n" + b"x" * 16384 + b"\r\n",
        b"*11\r\n$3\r\nDEL\r\n" + b"$1\r\nk\r\n" * 10,
        encode_request([b"AUTH", b"secret"]) + b"*11\r\n$3\r\nDEL\r\n" + b"$1\r\nk\r\n" * 10,
        encode_request([b"AUTH", b"wrong"]) + b"*11\r\n$3\r\nDEL\r\n" + b"$1\r\nk\r\n" * 10,
    ],
    ids=lambda data: repr(data[-40:]),
)
def test_requests_beyond_the_bounds_get_the_same_error(guarded: Servers, data: bytes) -> None:
    twin = guarded.connect()
    try:
        ours, theirs = twin.pour(data)
    finally:
        twin.close()
    assert ours == theirs


def test_figures_and_settings_change_alike(guarded: Servers) -> None:
    for lines in (
        ("AUTH secret", "CONFIG RESETSTAT", "CONFIG SET requirepass other", "PING"),
        ("AUTH secret", "AUTH other", "PING", 'CONFIG SET requirepass ""', "PING"),
        ("PING", "AUTH other", "AUTH default x", "CONFIG SET requirepass secret", "PING"),
        ("PING", "AUTH secret", "PING"),
    ):
        compare(guarded.connect(), [tuple(split_args(line.encode())) for line in lines])
    kvline, redis = guarded.kvline.connect(), guarded.redis.connect()
    assert rejected_calls(kvline) == rejected_calls(redis)


def rejected_calls(peer: Peer) -> bytes:
    """Return how often PING was rejected."""
    peer.send(encode_request([b"AUTH", b"secret"]) + encode_request([b"INFO", b"commandstats"]))
    assert peer.line() == b"+OK\r\n"
    lines = peer.receive(int(peer.line()[1:])).splitlines()
    (line,) = (line for line in lines if line.startswith(b"cmdstat_ping:"))
    return line.partition(b"rejected_calls=")[2].partition(b",")[0]


def compare(twin: Twin, requests: list[tuple[bytes, ...]]) -> None:
    """Send requests one by one to both servers. Fail if a reply differs. Stop when one has closed the connection."""
    story: list[tuple[bytes, ...]] = []
    try:
        for args in requests:
            story.append(args)
            ours, theirs = twin.ask(args)
            assert ours == theirs or is_accepted(args, ours, theirs), story
            if args[0] == b"QUIT":
                break
    finally:
        twin.close()
