"""redis-py's string commands."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.redis_py import milliseconds, refused

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")  # they are tested all the same

NOT_AN_INTEGER = "value is not an integer or out of range"
EVERY_BYTE = bytes(range(256))


def test_set_gives_any_bytes_to_any_bytes(client: Any) -> None:
    assert client.set(EVERY_BYTE, EVERY_BYTE[::-1]) is True
    assert client.get(EVERY_BYTE) == EVERY_BYTE[::-1]
    assert client.set("", "") is True
    assert client.get("") == b""
    assert client.get("none") is None
    assert [client.set("number", value) for value in (7, 1.5)] == [True, True]
    assert client.get("number") == b"1.5"


def test_a_value_of_ten_megabytes_comes_back_whole(client: Any) -> None:
    value = EVERY_BYTE * 40_000
    assert client.set("large", value) is True
    assert client.strlen("large") == len(value)
    assert client.get("large") == value


def test_set_with_conditions_does_what_they_say(client: Any) -> None:
    assert client.set("key", "a", xx=True) is None
    assert client.set("key", "b", nx=True) is True
    assert client.set("key", "c", nx=True) is None
    assert client.get("key") == b"b"
    assert client.set("key", "d", xx=True) is True
    assert client.get("key") == b"d"


def test_set_with_get_returns_the_value_before(client: Any) -> None:
    assert client.set("key", "a", get=True) is None
    assert client.set("key", "b", get=True) == b"a"
    assert client.set("key", "c", nx=True, get=True) == b"b"
    assert client.get("key") == b"b"
    assert client.set("key", "d", xx=True, get=True) == b"b"
    assert client.get("key") == b"d"


def test_set_with_a_moment_expires_at_exactly_that(client: Any) -> None:
    moment = milliseconds(client) // 1000 + 1000
    assert client.set("key", "value", exat=moment) is True
    assert client.pexpiretime("key") == moment * 1000
    assert client.set("key", "value", pxat=moment * 1000 + 7) is True
    assert client.pexpiretime("key") == moment * 1000 + 7


@pytest.mark.parametrize("option", [{"ex": 1000}, {"px": 1_000_000}], ids=["ex", "px"])
def test_set_with_a_time_to_live_counts_it_from_now(client: Any, option: dict[str, int]) -> None:
    before = milliseconds(client)
    assert client.set("key", "value", **option) is True
    assert before + 1_000_000 <= client.pexpiretime("key") <= milliseconds(client) + 1_000_000


def test_set_keeps_an_expiry_with_keepttl_and_removes_it_otherwise(client: Any) -> None:
    client.set("key", "a", pxat=milliseconds(client) + 1_000_000)
    moment = client.pexpiretime("key")
    assert client.set("key", "b", keepttl=True) is True
    assert (client.get("key"), client.pexpiretime("key")) == (b"b", moment)
    assert client.set("key", "c") is True
    assert (client.get("key"), client.pexpiretime("key")) == (b"c", -1)


def test_the_old_forms_of_set_do_as_set_with_options(client: Any) -> None:
    assert [client.setnx("key", value) for value in "ab"] == [True, False]
    assert client.getset("key", "c") == b"a"
    assert client.getset("other", "x") is None
    before = milliseconds(client)
    assert client.setex("key", 1000, "d") is True
    assert before + 1_000_000 <= client.pexpiretime("key") <= milliseconds(client) + 1_000_000
    assert client.psetex("key", 2_000_001, "e") is True
    assert before + 2_000_001 <= client.pexpiretime("key") <= milliseconds(client) + 2_000_001
    assert client.get("key") == b"e"


def test_getdel_and_getex_return_the_value_and_change_the_key(client: Any) -> None:
    moment = milliseconds(client) // 1000 + 1000
    client.set("key", "value")
    assert client.getex("key") == b"value"
    assert client.pexpiretime("key") == -1
    assert client.getex("key", exat=moment) == b"value"
    assert client.pexpiretime("key") == moment * 1000
    assert client.getex("key", pxat=moment * 1000 + 7) == b"value"
    assert client.pexpiretime("key") == moment * 1000 + 7
    assert client.getex("key", persist=True) == b"value"
    assert client.pexpiretime("key") == -1
    before = milliseconds(client)
    assert client.getex("key", ex=1000) == b"value"
    assert before + 1_000_000 <= client.pexpiretime("key") <= milliseconds(client) + 1_000_000
    assert client.getex("key", px=2_000_000) == b"value"
    assert before + 2_000_000 <= client.pexpiretime("key") <= milliseconds(client) + 2_000_000
    assert client.getdel("key") == b"value"
    assert client.exists("key") == 0
    assert (client.getdel("key"), client.getex("key", ex=10)) == (None, None)


def test_several_keys_are_set_and_read_at_once(client: Any) -> None:
    assert client.mset({"a": 1, b"\xff": b"\x00"}) is True
    assert client.mget("a", "none", b"\xff") == client.mget(["a", "none", b"\xff"]) == [b"1", None, b"\x00"]
    assert client.msetnx({"a": 2, "new": 2}) is False
    assert client.mget("a", "new") == [b"1", None]
    assert client.msetnx({"new": 2, "newer": 3}) is True
    assert client.mget("new", "newer") == [b"2", b"3"]


def test_parts_of_a_value_are_read_and_written(client: Any) -> None:
    assert [client.append("key", part) for part in ("Hello", " World")] == [5, 11]
    assert client.strlen("key") == 11
    assert client.strlen("none") == 0
    assert client.getrange("key", 0, 4) == client.substr("key", 0, 4) == b"Hello"
    assert client.getrange("key", -5, -1) == client.substr("key", -5) == b"World"
    assert client.getrange("key", 5, 2) == client.getrange("none", 0, -1) == b""
    assert client.setrange("key", 6, "Redis") == 11
    assert client.get("key") == b"Hello Redis"
    assert client.setrange("padded", 3, "x") == 4
    assert client.get("padded") == b"\0\0\0x"
    with refused("offset is out of range"):
        client.setrange("key", -1, "x")


def test_integers_go_up_and_down(client: Any) -> None:
    assert [client.incr("n"), client.incr("n", 41), client.incrby("n", -2)] == [1, 42, 40]
    assert [client.decr("n"), client.decr("n", 9), client.decrby("n", -70)] == [39, 30, 100]
    assert client.get("n") == b"100"
    client.set("most", 2**63 - 1)
    with refused("increment or decrement would overflow"):
        client.incr("most")
    client.set("word", "ten")
    for change in (client.incr, client.decr):
        with refused(NOT_AN_INTEGER):
            change("word")
    with refused(NOT_AN_INTEGER):
        client.incrby("n", 2**63)
    assert client.mget("most", "word", "n") == [b"%d" % (2**63 - 1), b"ten", b"100"]


def test_numbers_with_a_point_go_up_and_down(client: Any) -> None:
    assert client.incrbyfloat("f", 10.5) == 10.5
    assert client.incrbyfloat("f", "0.1") == 10.6
    assert client.incrbyfloat("f", "-10.6") == 0.0
    assert client.get("f") == b"0"
    assert client.incrbyfloat("f", "5.0e3") == 5000.0
    assert client.incr("f") == 5001
    client.set("word", "ten")
    with refused("value is not a valid float"):
        client.incrbyfloat("word", 1)
    with refused("increment would produce NaN or Infinity"):
        client.incrbyfloat("f", "inf")


def test_the_longest_common_subsequence_is_reported_in_every_form(client: Any, protocol: int) -> None:
    client.mset({"a": "ohmytext", "b": "mynewtext"})
    assert client.lcs("a", "b") == b"mytext"
    assert client.lcs("a", "none") == b""
    assert client.lcs("a", "b", len=True) == 6
    matches = [[[4, 7], [5, 8], 4], [[2, 3], [0, 1], 2]]
    for shortest, expected in ((0, matches), (4, matches[:1])):
        reply = client.lcs("a", "b", idx=True, withmatchlen=True, minmatchlen=shortest)
        if protocol == 2:
            reply = dict(zip(reply[::2], reply[1::2], strict=True))
        assert reply == {b"matches": expected, b"len": 6}


def test_errors_of_set_come_as_response_errors_and_change_nothing(client: Any) -> None:
    client.set("key", "a")
    with refused("invalid expire time in 'set' command"):
        client.set("key", "b", ex=0)
    with refused("invalid expire time in 'setex' command"):
        client.setex("key", -1, "b")
    with refused("syntax error"):
        client.execute_command("SET", "key", "b", "NX", "XX")
    with refused("wrong number of arguments for 'mset' command"):
        client.execute_command("MSET", "key", "b", "more")
    with refused("wrong number of arguments for 'get' command"):
        client.execute_command("GET")
    with refused("unknown command 'NOPE', with args beginning with: 'key' "):
        client.execute_command("NOPE", "key")
    assert (client.get("key"), client.ttl("key")) == (b"a", -1)
