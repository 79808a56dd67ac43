"""Authentication: the output does not depend on how the input is cut, and without the password nothing is changed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.resp_client import encode_request
from server.commands import COMMANDS
from server.engines.embedded import EmbeddedEngine
from server.session.context import ServerContext
from tests.harness.frame_client import frame
from tests.harness.sessions import ClientSession, feed
from tests.harness.stores import new_store
from tests.property.strategies import sizes

SECRET = b"secret"
LOGINS = [
    b"AUTH secret\n",
    b"AUTH secret\r\n",
    b"AUTH secret\r\0",
    encode_request([b"AUTH", b"default", SECRET]),
    encode_request([b"HELLO", b"3", b"AUTH", b"default", SECRET]),
    frame({"command": "AUTH", "args": ["secret"]}),
]
OTHERS = [
    b"AUTH wrong\n",
    encode_request([b"AUTH", b"wrong"]),
    b"SET k v\n",
    b"SET k v\r\0",
    b"INCR n\n",
    encode_request([b"SET", b"k", b"a\r\nb\nc\0"]),
    encode_request([b"INCR", b"n"]),
    encode_request([b"MGET", *[b"k"] * 20]),
    b"MGET" + b" k" * 20 + b"\n",
    b"MGET" + b" k" * 20 + b"\r\0",
    frame({"command": "SET", "key": "k", "value": "\n"}),
    frame({"command": "MGET", "args": ["k"] * 20}),
    b"MULTI\nEXEC\n",
    b"QUIT\n",
    b"# comment\n",
    b"\n",
    b"*0\r\n",
    b"\xff\xfd\x01",
    b"\xff\xf4",
    b"G\x08GET k\n",
    b"*x\r\n",
    b'"\n',
]


RESETS = [b"RESET\n", encode_request([b"RESET"])]
"""Not among those whose cut makes no difference: requests that were received with a RESET have the bounds before it."""


def new_client() -> ClientSession:
    context = ServerContext(EmbeddedEngine(new_store()), COMMANDS)
    context.change_settings({"password": SECRET.decode()})
    return ClientSession(context)


@given(st.lists(st.sampled_from([*LOGINS, *LOGINS, *OTHERS]), max_size=12), sizes)
def test_the_output_is_the_same_however_the_input_is_cut(drawn: list[bytes], pieces: list[int]) -> None:
    data = b"".join(drawn)
    whole, cut, by_byte = new_client(), new_client(), new_client()
    assert feed(cut, data, *pieces) == feed(whole, data) == feed(by_byte, data, 1)
    assert cut.session.authenticated == whole.session.authenticated == by_byte.session.authenticated


@given(st.lists(st.sampled_from(OTHERS + RESETS) | st.binary(max_size=20), max_size=12), sizes)
def test_without_the_password_nothing_is_changed(drawn: list[bytes], pieces: list[int]) -> None:
    client = new_client()
    feed(client, b"".join(drawn), *pieces)
    assert not client.session.authenticated
    counts = client.context.engine.key_counts()
    assert counts is not None
    assert counts.keys == 0
