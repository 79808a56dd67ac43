"""Scripts in front of a backing Redis: all of them are forwarded."""

from __future__ import annotations

from common.resp_client import encode_request
from tests.harness.backing_redis import execute
from tests.harness.processes import Peer
from tests.harness.resp_wire import Aggregate, Reply, read_reply

SHA1 = b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"


def ask(peer: Peer, *args: bytes) -> Reply:
    peer.send(encode_request(args))
    return read_reply(peer)


def test_a_script_runs_on_the_backing_server(peer: Peer, direct: Peer) -> None:
    script = b"return redis.call('SET', KEYS[1], ARGV[1])"
    assert ask(peer, b"EVAL", script, b"1", b"key", b"value") == b"+OK\r\n"
    assert execute(direct, "GET key") == b"$5\r\nvalue\r\n"
    assert ask(peer, b"EVAL_RO", b"return redis.call('GET', KEYS[1])", b"1", b"key") == b"$5\r\nvalue\r\n"
    # A type that kvline does not have.
    assert ask(peer, b"EVAL", b"return redis.call('LPUSH', KEYS[1], 'x')", b"1", b"list") == b":1\r\n"
    error = ask(peer, b"EVAL", b"return nothing", b"0")
    assert isinstance(error, bytes)
    assert error.startswith(b"-ERR user_script:1: Script attempted to access nonexistent global variable 'nothing'")


def test_evalsha_and_script_use_the_scripts_of_the_backing_server(peer: Peer, direct: Peer) -> None:
    assert ask(peer, b"SCRIPT", b"FLUSH") == b"+OK\r\n"
    assert ask(peer, b"EVALSHA", SHA1, b"0") == b"-NOSCRIPT No matching script. Please use EVAL.\r\n"
    assert ask(peer, b"SCRIPT", b"LOAD", b"return 1") == b"$40\r\n%b\r\n" % SHA1
    assert ask(direct, b"SCRIPT", b"EXISTS", SHA1) == Aggregate(b"*1\r\n", [b":1\r\n"])
    assert ask(peer, b"EVALSHA", SHA1, b"0") == b":1\r\n"
    assert ask(peer, b"SCRIPT", b"KILL") == b"-NOTBUSY No scripts in execution right now.\r\n"


def test_a_script_of_a_transaction_is_a_part_of_it(peer: Peer) -> None:
    assert execute(peer, "MULTI") == b"+OK\r\n"
    assert ask(peer, b"EVAL", b"return redis.call('SET', KEYS[1], 1)", b"1", b"n") == b"+QUEUED\r\n"
    assert execute(peer, "INCR n") == b"+QUEUED\r\n"
    assert execute(peer, "EXEC") == Aggregate(b"*2\r\n", [b"+OK\r\n", b":2\r\n"])
