"""CLIENT TRACKING: every reply and every invalidation, on every connection, in its order.

The stories contain the cases of Redis's tests/unit/tracking.tcl. After each step every connection sends a PING. What
arrives before its reply is compared. A step may be a pipeline, because a PING ends the effect of CLIENT CACHING.
"""

from __future__ import annotations

import random
from itertools import count

import pytest

from common.resp_client import encode_request
from common.text_args import split_args
from tests.harness.processes import Peer
from tests.harness.profiles import examples
from tests.harness.redis_server import RedisServer, find_redis
from tests.harness.resp_wire import Aggregate, Reply, Servers, read_reply, replies_before
from tests.harness.waiting import wait_until

CONNECTIONS = 3
"""By convention 0 tracks, 1 changes keys, and invalidations are redirected to 2."""

REDIRECTED = "2: SUBSCRIBE __redis__:invalidate\n"

STORIES = {
    "redirection": REDIRECTED
    + """
        0: CLIENT TRACKING on REDIRECT $2
        0: SET a 1 ; SET b 1 ; GET a
        0: INCR b
        0: INCR a
        0: INCR a
        0: MGET a b c d e f g
        0: CLIENT TRACKING off
        1: SET a 1
        0: CLIENT TRACKING on BCAST REDIRECT $2
        0: MSET c 3 a 1 b 2
        0: CLIENT TRACKING off
        0: CLIENT TRACKING off
        1: MSET c 3 a 1 b 2
    """,
    "BCAST with prefixes": REDIRECTED
    + """
        0: CLIENT TRACKING on BCAST REDIRECT $2 PREFIX b: PREFIX a:
        0: MULTI ; INCR a:1 ; INCR a:2 ; INCR b:1 ; INCR b:2 ; INCR c:1 ; EXEC
        0: CLIENT TRACKING on BCAST REDIRECT $2 PREFIX c:
        0: CLIENT TRACKINGINFO
        0: INCR c:1234
        1: MSET c: 1 c 2 a:x 3 "" 4
        1: DEL a:x c: none
        1: FLUSHDB
        0: CLIENT TRACKING on BCAST
        0: CLIENT TRACKINGINFO
        1: SET a:1 1
        0: CLIENT TRACKING on BCAST PREFIX d:
    """,
    "NOLOOP": REDIRECTED
    + """
        0: CLIENT TRACKING on REDIRECT $2 NOLOOP
        0: MGET other loop another
        1: SET other 1
        0: SET loop 1
        1: SET another 1
        0: CLIENT TRACKING off
        0: CLIENT TRACKING on BCAST REDIRECT $2 NOLOOP
        1: SET other 1
        0: SET loop 1
        1: SET another 1
        0: FLUSHALL
    """,
    "NOLOOP with own changes between others": """
        0: HELLO 3
        0: CLIENT TRACKING on NOLOOP
        0: SET k 1 ; GET k ; SET k 2 ; GET k
        1: SET k 3
        1: SET k 4
        0: GET k ; MULTI ; SET k 5 ; GET k ; EXEC
        1: SET k 6
    """,
    "RESP3": """
        0: HELLO 3
        0: CLIENT TRACKING on
        1: SET key1 1
        0: GET key1
        1: SET key1 2
        1: SET key1 3
        0: GET key1
        1: DEL key1
        0: GET key1
        1: SET key1 2
        0: CLIENT TRACKING off
        0: GET key1
        1: SET key1 2
    """,
    "the protocol changes": REDIRECTED
    + """
        0: CLIENT TRACKING on
        0: GET k
        1: SET k 1
        0: GET k
        0: HELLO 3
        1: SET k 2
        0: CLIENT TRACKING on REDIRECT $2
        0: GET k
        0: HELLO 2
        1: SET k 3
        0: GET k
        0: HELLO 3
        1: SET k 4
        0: GET k
        1: SET k 5
    """,
    "several clients": REDIRECTED
    + """
        0: CLIENT TRACKING on REDIRECT $2
        1: CLIENT TRACKING on REDIRECT $2
        1: MSET a 1 b 1
        0: GET a
        1: GET b
        0: INCR a
        0: INCR b
        0: MGET a b
        1: MGET b a
        1: MSET a 1 b 1
        1: CLIENT TRACKING off
        1: HELLO 3
        1: CLIENT TRACKING on
        1: GET a
        0: GET a
        0: INCR a
        1: GET a
        0: GET a
        1: INCR a
    """,
    "OPTIN": """
        0: HELLO 3
        0: CLIENT CACHING yes
        0: CLIENT TRACKING on OPTIN
        0: GET k
        1: SET k 1
        0: CLIENT CACHING yes ; GET k ; GET other
        1: MSET k 2 other 2
        0: CLIENT CACHING yes ; CLIENT TRACKINGINFO ; CLIENT ID ; GET k
        1: SET k 3
        0: CLIENT CACHING yes ; PING ; GET k
        1: SET k 4
        0: CLIENT CACHING yes ; GET ; GET k
        1: SET k 4
        0: CLIENT CACHING yes ; NOPE ; GET k
        1: SET k 4
        0: CLIENT CACHING yes ; MULTI ; GET k ; GET other ; EXEC ; GET third
        1: MSET k 5 other 5 third 5
        0: CLIENT CACHING yes ; MULTI ; GET ; GET k ; DISCARD ; GET k
        1: SET k 6
        0: CLIENT CACHING no
        0: CLIENT CACHING maybe
        0: CLIENT CACHING
        0: CLIENT TRACKING on
        0: CLIENT CACHING yes
        0: GET k
        1: SET k 7
    """,
    "OPTOUT": """
        0: HELLO 3
        0: CLIENT TRACKING on OPTOUT
        0: GET k
        1: SET k 1
        0: CLIENT CACHING no ; GET k ; GET other
        1: MSET k 2 other 2
        0: CLIENT CACHING no ; CLIENT TRACKINGINFO
        0: CLIENT CACHING no ; MULTI ; GET k ; GET other ; EXEC ; GET third
        1: MSET k 5 other 5 third 5
        0: CLIENT CACHING yes
    """,
    "options that do not fit together": """
        0: CLIENT TRACKING
        0: CLIENT TRACKING maybe
        0: CLIENT TRACKING on NOPE
        0: CLIENT TRACKING off NOPE
        0: CLIENT TRACKING off REDIRECT 123456789
        0: CLIENT TRACKING on REDIRECT
        0: CLIENT TRACKING on REDIRECT x
        0: CLIENT TRACKING on REDIRECT 0
        0: CLIENT TRACKING on REDIRECT -1
        0: CLIENT TRACKING on REDIRECT $1 REDIRECT $2
        0: CLIENT TRACKING on PREFIX
        0: CLIENT TRACKING on PREFIX a
        0: CLIENT TRACKING on OPTIN OPTOUT
        0: CLIENT TRACKING on BCAST OPTIN
        0: CLIENT TRACKING on BCAST OPTOUT
        0: CLIENT TRACKING on BCAST PREFIX FOOBAR PREFIX FOO
        0: CLIENT TRACKING on BCAST PREFIX FOO PREFIX FOOBAR
        0: CLIENT TRACKING on BCAST PREFIX a PREFIX b PREFIX a
        0: CLIENT TRACKING on BCAST PREFIX a PREFIX ""
        0: CLIENT TRACKINGINFO
        0: CLIENT TRACKING on BCAST PREFIX FOO PREFIX BAR
        0: CLIENT TRACKING on BCAST PREFIX FO
        0: CLIENT TRACKING on BCAST PREFIX BARB
        0: CLIENT TRACKING on BCAST PREFIX BARB PREFIX FO
        0: CLIENT TRACKING on BCAST PREFIX Z PREFIX FO
        0: CLIENT TRACKING on BCAST PREFIX FOO
        0: CLIENT TRACKING on BCAST PREFIX ""
        0: CLIENT TRACKING on
        0: CLIENT TRACKING on OPTIN
        0: CLIENT TRACKINGINFO
        0: CLIENT CACHING yes
        0: CLIENT TRACKING off
        0: CLIENT TRACKING on OPTIN
        0: CLIENT TRACKING on OPTOUT
        0: CLIENT TRACKING on BCAST
        0: CLIENT TRACKING on
        0: CLIENT TRACKING on OPTOUT
        0: CLIENT TRACKING on OPTIN
        0: CLIENT CACHING yes
    """,
    "what CLIENT shows": REDIRECTED
    + """
        0: CLIENT GETREDIR
        0: CLIENT TRACKINGINFO
        0: HELLO 3
        0: CLIENT TRACKINGINFO
        0: CLIENT TRACKING on
        0: CLIENT GETREDIR
        0: CLIENT TRACKINGINFO
        0: CLIENT TRACKING on REDIRECT $2 noloop
        0: CLIENT GETREDIR
        0: CLIENT TRACKINGINFO
        0: CLIENT TRACKING on optin
        0: CLIENT TRACKINGINFO
        0: CLIENT GETREDIR x
        0: CLIENT TRACKINGINFO x
        0: RESET
        0: CLIENT TRACKINGINFO
        0: CLIENT TRACKING on bcast prefix foo prefix bar
        0: CLIENT TRACKINGINFO
    """,
    "a redirection that breaks": REDIRECTED
    + """
        0: HELLO 3
        0: CLIENT TRACKING on REDIRECT $2
        0: MGET a b c
        1: CLIENT KILL ID $2
        1: SET a 1
        0: CLIENT TRACKINGINFO
        1: SET b 1
        1: FLUSHALL
        0: CLIENT GETREDIR
        0: SET c 1
        0: CLIENT TRACKING on
        0: CLIENT TRACKINGINFO
    """,
    "a redirection to the client itself": """
        0: HELLO 3
        0: CLIENT TRACKING on REDIRECT $0
        0: GET a
        0: SET a 1
        1: SET a 1
    """,
    "switching to BCAST": """
        0: HELLO 3
        0: CLIENT TRACKING on
        1: SET key1 1
        0: GET key1
        0: CLIENT TRACKING off
        0: CLIENT TRACKING on BCAST
        1: INCR key1
        0: CLIENT TRACKING off
        0: CLIENT TRACKING on
        1: INCR key1
    """,
    "the order of replies and invalidations": """
        0: HELLO 3
        0: CLIENT TRACKING on
        0: SET k 1 ; GET k ; SET k 2 ; GET k ; GET k ; DEL k ; PING
        0: MSET a 1 b 2 ; GET a ; MULTI ; INCR a ; GET b ; EXEC ; PING
        0: MGET c a b ; MSET a 1 b 1 c 1 ; PING
        0: MGET a b ; RENAME a b ; PING
        0: GET a ; MULTI ; FLUSHDB ; SET a 1 ; EXEC ; PING
        0: GET a ; FLUSHALL ; GET a ; SET a 1 ; PING
    """,
    "FLUSHALL": REDIRECTED
    + """
        0: CLIENT TRACKING on REDIRECT $2
        0: GET k
        1: FLUSHALL
        1: FLUSHDB ASYNC
        1: CLIENT TRACKING on BCAST PREFIX x REDIRECT $2
        0: FLUSHALL
    """,
    "which commands track": """
        0: HELLO 3
        0: CLIENT TRACKING on
        0: EXISTS k1 ; TTL k2 ; TYPE k3 ; STRLEN k4 ; GETRANGE k5 0 1 ; TOUCH k6 ; OBJECT ENCODING k7 ; BITCOUNT k8
        1: MSET k1 1 k2 1 k3 1 k4 1 k5 1 k6 1 k7 1 k8 1
        0: SET k1 1 GET ; GETEX k2 ; GETDEL k3 ; INCR k4 ; GETSET k5 1 ; APPEND k6 x ; PERSIST k7 ; EXPIRE k8 100
        1: MSET k1 1 k2 1 k3 1 k4 1 k5 1 k6 1 k7 1 k8 1
        0: DUMP k1 ; LCS k2 k3 ; BITPOS k5 1 ; GETBIT k6 0 ; PTTL k7 ; SUBSTR k8 0 0
        1: MSET k1 1 k2 1 k3 1 k4 1 k5 1 k6 1 k7 1 k8 1
        0: BITFIELD_RO k1 GET u8 0 ; EXPIRETIME k2 ; PEXPIRETIME k3 ; KEYS k1 ; SCAN 0 MATCH no ; DBSIZE ; WATCH k5
        1: MSET k1 1 k2 1 k3 1 k4 1 k5 1 k6 1 k7 1 k8 1
        0: GETRANGE k1 x y ; GETBIT k2 x ; BITCOUNT k3 0 ; GET k4 x
        1: MSET k1 1 k2 1 k3 1 k4 1 k5 1 k6 1 k7 1 k8 1
    """,
    "which commands invalidate": """
        0: HELLO 3
        0: CLIENT TRACKING on BCAST
        1: SET a 1
        1: SET a 1 NX
        1: SETNX a 1
        1: SETNX b 1
        1: SETEX a 100 1
        1: PSETEX a 100000 1
        1: GETSET a 1
        1: GETEX a
        1: GETEX a EX 100
        1: GETEX a PERSIST
        1: GETEX a PERSIST
        1: INCR a
        1: DECRBY a 5
        1: INCRBYFLOAT a 0.5
        1: INCR a
        1: APPEND s x
        1: APPEND s ""
        1: SETRANGE s 1 zz
        1: SETRANGE t 0 ""
        1: MSETNX a 1 z 1
        1: MSETNX y 1 z 1
        1: EXPIRE a 100
        1: EXPIRE a 200 NX
        1: EXPIRE missing 200
        1: PERSIST a
        1: PERSIST a
        1: RENAME a c
        1: RENAME c c
        1: RENAMENX c b
        1: RENAMENX c e
        1: COPY e f
        1: COPY e f
        1: COPY e f REPLACE
        1: SETBIT b 1 1
        1: SETBIT b 1 1
        1: BITFIELD b SET u8 0 5
        1: BITFIELD b GET u8 0
        1: BITOP AND g b b
        1: BITOP AND g missing
        1: EXPIRE f -1
        1: GETDEL e
        1: GETDEL e
        1: DEL s missing t
        1: UNLINK y z
        1: RESTORE r 0 "\\x00\\x05hello\\n\\x00cr\\xdfve4 \\n"
        1: MULTI ; SET m 1 ; INCR n ; DEL m ; EXEC
        1: MULTI ; SET m 1 ; DISCARD
    """,
    "a subscriber in RESP3": """
        2: HELLO 3
        2: SUBSCRIBE x
        0: CLIENT TRACKING on REDIRECT $2
        0: GET k
        1: SET k 1
        0: GET k
        1: SET k 1
    """,
    "a subscriber that ends its subscription": REDIRECTED
    + """
        0: CLIENT TRACKING on REDIRECT $2
        0: GET k
        1: SET k 1
        2: UNSUBSCRIBE __redis__:invalidate
        0: GET k
        1: SET k 1
        2: SUBSCRIBE other
        0: GET k
        1: SET k 1
    """,
}


DATABASES = """
        0: HELLO 3
        0: CLIENT TRACKING on
        0: GET a ; GET b
        1: SELECT 1
        1: SET a 1
        1: MOVE a 0
        0: MGET a b
        1: SET b 1
        0: MGET a b
        1: FLUSHDB
        0: GET a
        1: SWAPDB 0 1
        1: MULTI ; SET a 1 ; SELECT 0 ; SET a 2 ; EXEC
        1: FLUSHALL
        0: SELECT 1
        0: GET a
        1: SET a 1
        1: COPY a c DB 1
        0: GET c
        1: SWAPDB 0 1
        1: SET c 1
"""

SCRIPTS = """
    0: HELLO 3
    0: CLIENT TRACKING on
    0: EVAL "return redis.call('set', KEYS[1], 'x')" 1 key1
    1: SET key1 2
    0: EVAL "return redis.call('get', KEYS[1])" 1 key1
    1: SET key1 3
    1: SET key1 4
    0: EVAL_RO "return redis.call('get', KEYS[1])" 1 key1
    1: SET key1 5
    0: GET key1 ; EVAL "return redis.call('set', KEYS[1], 'y')" 1 key1 ; PING
    0: GET key1
    1: EVAL "redis.call('incr', 'n') return redis.call('set', KEYS[1], 'z')" 1 key1
    0: CLIENT TRACKING on NOLOOP
    0: GET key1 ; EVAL "return redis.call('set', KEYS[1], 'y')" 1 key1 ; GET key1
    1: SET key1 6
    0: CLIENT TRACKING off
    0: CLIENT TRACKING on OPTIN
    0: CLIENT CACHING yes ; EVAL "return redis.call('get', KEYS[1])" 1 key1 ; GET key2
    1: MSET key1 1 key2 2
"""


class Conversation:
    """The connections to one of the servers."""

    def __init__(self, port: int) -> None:
        self.peers = [Peer(port) for _ in range(CONNECTIONS)]
        self._tokens = count()
        self._ids = [self._client_id(number) for number in range(CONNECTIONS)]
        self._killed: set[int] = set()
        wait_until(self._is_alone, "the clients of the test before do not track any more")
        self.send(0, [[b"FLUSHALL"]])

    def _client_id(self, number: int) -> bytes:
        self.peers[number].send(encode_request([b"CLIENT", b"ID"]))
        reply = read_reply(self.peers[number])
        assert isinstance(reply, bytes)
        return reply[1:-2]

    def _is_alone(self) -> bool:
        self.peers[0].send(encode_request([b"INFO", b"clients"]))
        reply = read_reply(self.peers[0])
        return isinstance(reply, bytes) and b"tracking_clients:0\r\n" in reply

    def send(self, number: int, requests: list[list[bytes]]) -> list[list[Reply]]:
        """Send requests on one connection, in one piece. Return what each connection receives then."""
        requests = [[self._with_id(arg) for arg in args] for args in requests]
        peer = self.peers[number]
        peer.send(b"".join(map(encode_request, requests)))
        received: list[Reply] = []
        replies = 0
        while replies < len(requests):
            received.append(reply := read_reply(peer))
            replies += not _is_invalidation(reply)
        for args in requests:
            if args[:3] == [b"CLIENT", b"KILL", b"ID"]:
                killed = self._ids.index(args[3])
                self._killed.add(killed)
                self.peers[killed].rest()
        received += self.barrier(number)
        others = [self.barrier(other) for other in range(CONNECTIONS) if other != number]
        shows_ids = requests[0][0] in (b"CLIENT", b"HELLO")
        return [[self._without_ids(each, shows_ids) for each in every] for every in (received, *others)]

    def _with_id(self, arg: bytes) -> bytes:
        return self._ids[int(arg[1:])] if arg[:1] == b"$" else arg

    def _without_ids(self, reply: Reply, shows_ids: bool) -> Reply:
        if not isinstance(reply, Aggregate):
            return b"id" if shows_ids and reply[1:-2] in self._ids else reply
        if b"$5\r\nproto\r\n" in reply.items:  # the name of the server and the id differ
            return b"hello"
        is_broken = reply.items[:1] == [b"$21\r\ntracking-redir-broken\r\n"]
        return Aggregate(reply.header, [self._without_ids(item, shows_ids or is_broken) for item in reply.items])

    def barrier(self, number: int) -> list[Reply]:
        """Return what a connection receives before the reply to a PING that it sends now."""
        if number in self._killed:
            return []
        return replies_before(self.peers[number], b"barrier-%d" % next(self._tokens))

    def close(self) -> None:
        for peer in self.peers:
            peer.close()


def _is_invalidation(reply: Reply) -> bool:
    return isinstance(reply, Aggregate) and reply.items[:1] in (
        [b"$10\r\ninvalidate\r\n"],
        [b"$21\r\ntracking-redir-broken\r\n"],
    )


Step = tuple[int, list[list[bytes]]]


def compare(servers: Servers, story: list[Step]) -> None:
    """Send a story to both servers."""
    if servers.redis.version < 7:
        pytest.skip("the order of invalidations and replies is that of Redis 7")
    ours = theirs = None
    try:
        ours, theirs = Conversation(servers.kvline.port), Conversation(servers.redis.port)
        for place, (number, requests) in enumerate(story):
            assert ours.send(number, requests) == theirs.send(number, requests), story[: place + 1]
    finally:
        for each in (ours, theirs):
            if each is not None:
                each.close()


def parse(story: str) -> list[Step]:
    lines = [line.strip() for line in story.splitlines() if line.strip()]
    return [(int(line[0]), [split_args(each.encode()) for each in line[3:].split(" ; ")]) for line in lines]


@pytest.mark.parametrize("name", STORIES)
def test_stories(servers: Servers, name: str) -> None:
    compare(servers, parse(STORIES[name]))


def test_keys_that_a_script_reads_and_changes(servers: Servers) -> None:
    pytest.importorskip("lupa", reason="the extra scripts is not installed")
    compare(servers, parse(SCRIPTS))


def test_a_key_is_invalidated_whatever_its_database(servers: Servers) -> None:
    found = find_redis()
    assert found is not None
    redis = RedisServer(*found, databases="16")
    try:
        compare(Servers(servers.kvline, redis), parse(DATABASES))
    finally:
        redis.close()


KEYS = [b"a", b"ab", b"b", b"c"]
MODES: list[list[bytes]] = [
    [],
    [b"NOLOOP"],
    [b"BCAST"],
    [b"BCAST", b"NOLOOP", b"PREFIX", b"a", b"PREFIX", b"b"],
    [b"REDIRECT", b"$2"],
    [b"OPTOUT"],
]


def random_requests(source: random.Random) -> list[list[bytes]]:
    keys = source.sample(KEYS, source.randint(1, 3))
    return source.choice(
        [
            [[b"GET", keys[0]]],
            [[b"MGET", *keys]],
            [[b"SET", keys[0], b"%d" % source.randint(0, 9)]],
            [[b"MSET", *(each for key in keys for each in (key, b"1"))]],
            [[b"INCR", keys[0]]],
            [[b"DEL", *keys]],
            [[b"RENAME", keys[0], keys[-1]]],
            [[b"EXPIRE", keys[0], b"100"]],
            [[b"FLUSHALL"]],
            [[b"MULTI"], [b"GET", keys[0]], [b"SET", keys[-1], b"1"], [b"GET", keys[-1]], [b"EXEC"]],
        ]
    )


@pytest.mark.parametrize("seed", range(examples(12)))
def test_random_changes(servers: Servers, seed: int) -> None:
    source = random.Random(seed)
    story: list[Step] = [
        # All of them, because Redis encodes the null of FLUSHALL in the protocol of the client that redirects.
        *((number, [[b"HELLO", b"3"]]) for number in range(CONNECTIONS)),
        (2, [[b"SUBSCRIBE", b"__redis__:invalidate"]]),
        *((number, [[b"CLIENT", b"TRACKING", b"ON", *source.choice(MODES)]]) for number in (0, 1)),
    ]
    story += [(source.randrange(2), random_requests(source)) for _ in range(60)]
    compare(servers, story)


@pytest.mark.parametrize("mode", [[], [b"BCAST", b"NOLOOP"]], ids=["default", "BCAST"])
def test_an_expired_key_is_invalidated_without_an_access(servers: Servers, mode: list[bytes]) -> None:
    received = []
    for server in servers:
        conversation = Conversation(server.port)
        try:
            conversation.send(0, [[b"HELLO", b"3"], [b"CLIENT", b"TRACKING", b"ON", *mode]])
            # In a transaction, so that the key cannot expire before it is read.
            conversation.send(0, [[b"MULTI"], [b"SET", b"k", b"1", b"PX", b"20"], [b"GET", b"k"], [b"EXEC"]])
            invalidations: list[Reply] = []

            def has_expired(conversation: Conversation = conversation, found: list[Reply] = invalidations) -> bool:
                found += conversation.barrier(0)
                return bool(found)

            wait_until(has_expired, "the invalidation arrives without an access to the key")
            received.append(invalidations)
        finally:
            conversation.close()
    assert received[0] == received[1]
