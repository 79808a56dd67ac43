"""Publish/subscribe and keyspace notifications: every reply and every push, on every connection, in its order.

After each command every connection sends a PING. What arrives before its reply is compared.
"""

from __future__ import annotations

import random
from itertools import count

import pytest

from common.resp_client import encode_request
from common.text_args import split_args
from tests.harness.processes import Peer
from tests.harness.profiles import examples
from tests.harness.resp_wire import Aggregate, Reply, Servers, read_reply, replies_before
from tests.harness.waiting import wait_until

PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])

STORIES = {
    "channels": r"""
        0: SUBSCRIBE a b a
        0: SUBSCRIBE
        1: PUBLISH a hello
        1: PUBLISH b ""
        1: PUBLISH c none
        1: PUBLISH a
        2: SUBSCRIBE a
        1: PUBLISH a "two\r\nlines \x00\xff"
        0: UNSUBSCRIBE c
        0: UNSUBSCRIBE a a
        1: PUBLISH a again
        0: UNSUBSCRIBE
        0: UNSUBSCRIBE
        1: PUBLISH b gone
        0: GET k
    """,
    "patterns": r"""
        0: PSUBSCRIBE n* n?ws [mn]ews
        0: SUBSCRIBE news
        1: PUBLISH news 1
        1: PUBLISH mews 2
        1: PUBLISH n 3
        1: PUBSUB NUMPAT
        0: PUNSUBSCRIBE n* x*
        1: PUBLISH news 4
        0: PUNSUBSCRIBE
        0: PUNSUBSCRIBE
        1: PUBLISH news 5
        1: PUBSUB NUMPAT x
        1: PSUBSCRIBE
    """,
    "shard channels": r"""
        0: SSUBSCRIBE a b
        0: SUBSCRIBE a
        1: PUBLISH a normal
        1: SPUBLISH a shard
        1: SPUBLISH c none
        1: PUBSUB SHARDCHANNELS
        1: PUBSUB SHARDNUMSUB a b c
        1: PUBSUB CHANNELS
        0: SUNSUBSCRIBE a x
        0: SUNSUBSCRIBE
        0: SUNSUBSCRIBE
        0: UNSUBSCRIBE
        1: SPUBLISH a
        1: SSUBSCRIBE
    """,
    "what PUBSUB shows": r"""
        1: PUBSUB CHANNELS
        1: PUBSUB NUMSUB
        0: SUBSCRIBE a
        2: SUBSCRIBE a
        2: PSUBSCRIBE a*
        0: PSUBSCRIBE a*
        1: PUBSUB CHANNELS
        1: PUBSUB CHANNELS b*
        1: PUBSUB CHANNELS a b
        1: PUBSUB NUMSUB a b a
        1: PUBSUB NUMPAT
        1: PUBSUB
        1: PUBSUB NOPE
        1: PUBSUB NUMPAT x
        0: UNSUBSCRIBE
        1: PUBSUB NUMSUB a
    """,
    "commands that are allowed while subscribed": r"""
        0: PING
        0: PING x
        0: PING x y
        0: SUBSCRIBE a
        0: PING
        0: PING x
        0: PING x y
        0: GET k
        0: get k
        0: SET k v
        0: CLIENT LIST x
        0: HELLO 9
        0: MULTI
        0: EXEC
        0: GET
        0: SUBSCRIBE b
        0: PSUBSCRIBE p*
        0: SSUBSCRIBE s
        0: UNSUBSCRIBE
        0: PUNSUBSCRIBE
        0: GET k
        0: SUNSUBSCRIBE
        0: GET k
    """,
    "RESET ends the subscriptions": r"""
        0: SUBSCRIBE a b
        0: PSUBSCRIBE p*
        0: SSUBSCRIBE s
        0: RESET
        1: PUBLISH a x
        1: SPUBLISH s x
        1: PUBSUB NUMPAT
        0: GET k
        0: SUBSCRIBE a
        1: PUBLISH a x
    """,
    "PUBLISH in a transaction": r"""
        0: SUBSCRIBE a
        1: MULTI
        1: PUBLISH a 1
        1: SET k v
        1: PUBLISH a 2
        2: PUBLISH a between
        1: EXEC
        1: MULTI
        1: PUBLISH a 3
        1: DISCARD
        1: MULTI
        1: PUBLISH a
        1: EXEC
    """,
    "a publisher that subscribes itself": r"""
        0: HELLO 3
        0: SUBSCRIBE a
        0: PUBLISH a x
        0: PSUBSCRIBE *
        0: PUBLISH a y
        0: HELLO 2
        0: PUBLISH a y
        1: PUBLISH a z
        0: UNSUBSCRIBE
    """,
    "types of clients": r"""
        0: SUBSCRIBE a
        1: CLIENT KILL TYPE pubsub
    """,
    "keyspace events of strings": r"""
        1: CONFIG SET notify-keyspace-events KEA
        0: PSUBSCRIBE __key*
        1: SET a 1
        1: SET a 2 NX
        1: SET a 2 EX 100
        1: SET a 3 KEEPTTL
        1: SET a 3 GET
        1: SETNX a 1
        1: SETNX n 1
        1: SETEX b 100 v
        1: PSETEX b 100000 v
        1: GETSET a 4
        1: GETEX a EX 100
        1: GETEX a PERSIST
        1: GETEX a PERSIST
        1: GETEX a
        1: GETEX a PXAT 1
        1: INCR i
        1: DECR i
        1: INCRBY i 5
        1: DECRBY i 5
        1: INCRBYFLOAT i 0.5
        1: INCR i
        1: EXPIRE i 100
        1: INCRBYFLOAT i 0.5
        1: APPEND s x
        1: APPEND s y
        1: SETRANGE s 1 zz
        1: SETRANGE t 0 ""
        1: SETRANGE t 3 x
        1: MSET a 1 b 2 z 3
        1: MSETNX a 1 c 1
        1: MSETNX c 1 d 2
        1: STRLEN a
        1: GETDEL d
        1: GETDEL d
    """,
    "keyspace events of keys": r"""
        1: CONFIG SET notify-keyspace-events KEA
        0: PSUBSCRIBE __key*
        1: MSET a 1 b 2 c 3
        1: RENAME a d
        1: RENAME missing d
        1: RENAMENX b d
        1: RENAMENX b e
        1: RENAME d d
        1: COPY d f
        1: COPY d f
        1: EXPIRE d 100
        1: COPY d f REPLACE
        1: PERSIST d
        1: PERSIST d
        1: EXPIRE d 100
        1: EXPIRE d 200 NX
        1: PEXPIREAT d 4102444800000
        1: EXPIRE d -1
        1: DEL e f missing
        1: UNLINK c
        1: SET x 1
        1: FLUSHALL
        1: FLUSHDB
        1: MULTI
        1: SET m 1
        1: INCR m
        1: DEL m
        1: EXEC
    """,
    "keyspace events of databases": r"""
        1: CONFIG SET notify-keyspace-events KEAm
        0: PSUBSCRIBE __key*
        1: SET a 1
        1: SELECT 1
        1: SET a 1 EX 100
        1: MOVE a 0
        1: MOVE a 15
        1: MOVE missing 15
        1: SET b 1
        1: COPY b a DB 0
        1: COPY b a DB 0 REPLACE
        1: SWAPDB 0 1
        1: GET missing
        1: DEL a
        1: MULTI
        1: SELECT 15
        1: PERSIST a
        1: SELECT 0
        1: SET c 1
        1: EXEC
        1: FLUSHALL
        1: RESET
        1: DEL a
    """,
    "keyspace events of bitmaps and DUMP": r"""
        1: CONFIG SET notify-keyspace-events KEA
        0: PSUBSCRIBE __key*
        1: SETBIT b 1 1
        1: SETBIT b 1 1
        1: BITFIELD b SET u8 0 5
        1: BITFIELD b GET u8 0
        1: BITOP AND c b b
        1: BITOP NOT c missing
        1: SET k 1
        1: RESTORE r 0 "\x00\x05hello\n\x00cr\xdfve4 \n"
        1: RESTORE r 100000 "\x00\x05hello\n\x00cr\xdfve4 \n" REPLACE
        1: RESTORE r 0 nonsense
        1: DEL k
    """,
    "keyspace events by class": r"""
        0: PSUBSCRIBE __key*
        1: CONFIG SET notify-keyspace-events K$
        1: SET a 1 EX 100
        1: DEL a
        1: CONFIG SET notify-keyspace-events Eg
        1: SET a 1 EX 100
        1: DEL a
        1: CONFIG SET notify-keyspace-events KEx
        1: SET a 1
        1: CONFIG SET notify-keyspace-events K
        1: SET a 1
        1: CONFIG SET notify-keyspace-events A
        1: SET a 1
        1: CONFIG SET notify-keyspace-events ""
        1: SET a 1
    """,
    "new keys": r"""
        1: CONFIG SET notify-keyspace-events En
        0: PSUBSCRIBE __key*
        1: SET a 1
        1: SET a 2
        1: MSET a 1 b 2 c 3
        1: INCR i
        1: INCR i
        1: APPEND s x
        1: APPEND s x
        1: SETRANGE r 1 x
        1: RENAME a d
        1: COPY d e
        1: GETSET z 1
    """,
    "missing keys": r"""
        1: CONFIG SET notify-keyspace-events Em
        0: PSUBSCRIBE __key*
        1: SET there 1
        1: GET a
        1: GET there
        1: MGET a there b
        1: STRLEN a
        1: GETRANGE a 0 1
        1: EXISTS a there
        1: TTL a
        1: TYPE a
        1: TOUCH a
        1: GETDEL a
        1: GETEX a
        1: GETSET g 1
        1: SET h 1 GET
        1: INCR i
        1: APPEND s x
        1: SETNX n 1
        1: DEL a
        1: COPY a b
        1: LCS a b
        1: OBJECT ENCODING a
        1: PERSIST a
        1: EXPIRE a 1
    """,
}


FIGURES = ([b"CHANNELS"], [b"SHARDCHANNELS"], [b"NUMPAT"])


class Conversation:
    """The connections to one of the servers."""

    def __init__(self, port: int, protocol: int) -> None:
        self.peers = [Peer(port) for _ in range(3)]
        self._in_multi = [False] * 3
        self._tokens = count()
        wait_until(self._is_alone, "the subscriptions of the test before have ended")
        for number, args in enumerate(([b"FLUSHALL"], [b"CONFIG", b"SET", b"notify-keyspace-events", b""])):
            assert self.send(number, args)
        for number in range(3):
            self.send(number, [b"HELLO", b"%d" % protocol])

    def send(self, number: int, args: list[bytes]) -> list[list[Reply]]:
        """Send a command on one connection. Return what each connection receives then."""
        self.peers[number].send(encode_request(args))
        name = args[0].upper()
        if name == b"MULTI" or self._in_multi[number]:
            received = [read_reply(self.peers[number])]
            self._in_multi[number] = name not in (b"EXEC", b"DISCARD")
            return [received, *(self.barrier(other) for other in range(3) if other != number)]
        if name == b"CLIENT" and args[1] == b"KILL":
            received = [read_reply(self.peers[number])]
            return [received, [self.peers[other].rest() for other in range(3) if other != number and other == 0]]
        return [self.barrier(other) for other in (number, *(each for each in range(3) if each != number))]

    def _is_alone(self) -> bool:
        self.peers[0].send(b"".join(encode_request([b"PUBSUB", *args]) for args in FIGURES))
        return [read_reply(self.peers[0]) for _ in FIGURES] == [Aggregate(b"*0\r\n", [])] * 2 + [b":0\r\n"]

    def barrier(self, number: int) -> list[Reply]:
        """Return what a connection receives before the reply to a PING that it sends now."""
        if self._in_multi[number]:
            return []
        return replies_before(self.peers[number], b"barrier-%d" % next(self._tokens))

    def close(self) -> None:
        for peer in self.peers:
            peer.close()


def in_any_order(args: list[bytes], received: list[list[Reply]]) -> object:
    """Return what was received, without the order that Redis's hash tables have."""
    name = args[0].upper()
    if name == b"HELLO":  # the name of the server and the ID differ
        return [len(each) for each in received]
    is_for_all = len(args) == 1 and name in (b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE")
    if is_for_all:  # the counts in the confirmations have an order, the names have none
        return [len(each) for each in received]
    if name in (b"PUBLISH", b"SPUBLISH"):  # a publisher that is subscribed itself gets the reply first in kvline
        return [sorted(map(repr, each)) for each in received]
    if args[:2] == [b"PUBSUB", b"CHANNELS"] or args[:2] == [b"PUBSUB", b"SHARDCHANNELS"]:
        return [[_sorted(reply) for reply in each] for each in received]
    return received


def _sorted(reply: Reply) -> object:
    return sorted(map(repr, reply.items)) if isinstance(reply, Aggregate) else reply


def compare(servers: Servers, protocol: int, story: list[tuple[int, list[bytes]]]) -> None:
    """Send a story to both servers."""
    if servers.redis.version < 7:
        pytest.skip("shard channels and some events came with Redis 7")
    ours = theirs = None
    try:
        ours, theirs = (Conversation(server.port, protocol) for server in servers)
        for place, (number, args) in enumerate(story):
            ours_received, theirs_received = ours.send(number, args), theirs.send(number, args)
            assert in_any_order(args, ours_received) == in_any_order(args, theirs_received), story[: place + 1]
    finally:
        for each in (ours, theirs):
            if each is not None:
                each.close()


def parse(story: str) -> list[tuple[int, list[bytes]]]:
    lines = [line.strip() for line in story.splitlines() if line.strip()]
    return [(int(line[0]), split_args(line[3:].encode())) for line in lines]


@PROTOCOLS
@pytest.mark.parametrize("name", STORIES)
def test_stories(servers: Servers, protocol: int, name: str) -> None:
    compare(servers, protocol, parse(STORIES[name]))


CHANNELS = [b"a", b"ab", b"b", b"\r\n"]
PATTERNS = [b"*", b"a*", b"?", b"[ab]"]


def random_step(source: random.Random) -> tuple[int, list[bytes]]:
    channels = source.sample(CHANNELS, source.randint(1, 2))
    patterns = source.sample(PATTERNS, source.randint(1, 2))
    args = source.choice(
        [
            [b"SUBSCRIBE", *channels],
            [b"UNSUBSCRIBE", *channels],
            [b"PSUBSCRIBE", *patterns],
            [b"PUNSUBSCRIBE", *patterns],
            [b"SSUBSCRIBE", *channels],
            [b"SUNSUBSCRIBE", *channels],
            [b"PUBLISH", channels[0], b"%d" % source.randint(0, 99)],
            [b"SPUBLISH", channels[0], b"%d" % source.randint(0, 99)],
            [b"PUBSUB", b"NUMSUB", *CHANNELS],
            [b"PUBSUB", b"NUMPAT"],
            [b"RESET"],
            [b"GET", b"k"],
        ]
    )
    return source.randrange(3), args


@PROTOCOLS
@pytest.mark.parametrize("seed", range(examples(12)))
def test_random_subscriptions(servers: Servers, protocol: int, seed: int) -> None:
    source = random.Random(seed)
    # After RESET the protocol is RESP2 again, and while it is subscribed a connection cannot change that.
    compare(servers, protocol, [random_step(source) for _ in range(60)])


@PROTOCOLS
def test_expired_keys_have_an_event(servers: Servers, protocol: int) -> None:
    received = []
    for server in servers:
        conversation = Conversation(server.port, protocol)
        try:
            conversation.send(1, [b"CONFIG", b"SET", b"notify-keyspace-events", b"Ex"])
            conversation.send(0, [b"PSUBSCRIBE", b"__key*"])
            conversation.send(1, [b"SET", b"active", b"1", b"PX", b"20"])
            events: list[Reply] = []

            def has_event(conversation: Conversation = conversation, events: list[Reply] = events) -> bool:
                events += conversation.barrier(0)
                return bool(events)

            wait_until(has_event, "the event arrives without an access to the key")
            received.append(events)
        finally:
            conversation.close()
    assert received[0] == received[1]


@PROTOCOLS
def test_confirmations_are_sent_although_replies_are_off(servers: Servers, protocol: int) -> None:
    received = []
    for server in servers:
        peer, publisher = Peer(server.port), Peer(server.port)
        peer.send(encode_request([b"HELLO", b"%d" % protocol]))
        read_reply(peer)
        peer.send(encode_request([b"CLIENT", b"REPLY", b"OFF"]) + encode_request([b"SUBSCRIBE", b"a", b"b"]))
        replies = [read_reply(peer), read_reply(peer)]
        publisher.send(encode_request([b"PUBLISH", b"a", b"x"]))
        read_reply(publisher)
        replies.append(read_reply(peer))
        received.append(replies)
        peer.close()
        publisher.close()
    assert received[0] == received[1]
