"""Bitmaps: the semantic cases of Redis's own unit/bitops and unit/bitfield, and random sequences, on both servers."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.differential.comparison import Sessions, send_story
from tests.harness.profiles import examples
from tests.harness.resp_wire import Args, Servers

PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])

STORIES = {
    "SETBIT and GETBIT": r"""
        SETBIT k 1 1
        GET k
        SETBIT k 1 0
        SETBIT k 0 1
        SETBIT k 7 1
        GETBIT k 0
        GETBIT k 6
        GETBIT k 100
        GETBIT missing 0
        EXISTS missing
        SETBIT k 20 0
        STRLEN k
        SET n 1
        SETBIT n 6 1
        GET n
        SETBIT n 6 0
        SETBIT n 7 1
        GET n
        SETBIT empty 0 0
        GET empty
        SETBIT k -1 1
        SETBIT k x 1
        SETBIT k "" 1
        SETBIT k #1 1
        SETBIT k 01 1
        SETBIT k 4294967296 1
        SETBIT k 9223372036854775807 1
        SETBIT k 9223372036854775808 1
        SETBIT k 0 2
        SETBIT k 0 -1
        SETBIT k 0 x
        SETBIT k 0 ""
        SETBIT k 0 01
        SETBIT k x 2
        GETBIT k 4294967295
        GETBIT k 4294967296
        GETBIT k -1
        GETBIT k #1
        GETBIT k x
        GETBIT missing x
        SETBIT k 1
        GETBIT k
        EXPIRE k 1000
        SETBIT k 3 1
        TTL k
    """,
    "SETBIT: watches": r"""
        SETBIT k 1 1
        1:WATCH k
        SETBIT k 1 1
        1:MULTI
        1:PING
        1:EXEC
        1:WATCH k
        SETBIT k 1 0
        1:MULTI
        1:PING
        1:EXEC
        1:WATCH k
        SETBIT k 9 0
        1:MULTI
        1:PING
        1:EXEC
        1:WATCH new
        SETBIT new 0 0
        1:MULTI
        1:PING
        1:EXEC
        1:WATCH k
        BITFIELD k GET u8 0
        BITFIELD k SET u8 0 0
        1:MULTI
        1:PING
        1:EXEC
        1:WATCH k
        BITFIELD k SET u8 0 1
        1:MULTI
        1:PING
        1:EXEC
        1:WATCH r
        BITOP OR r k
        1:MULTI
        1:PING
        1:EXEC
        1:WATCH nothing
        BITOP OR nothing missing
        1:MULTI
        1:PING
        1:EXEC
    """,
    "BITCOUNT": r"""
        BITCOUNT missing
        BITCOUNT missing 0
        BITCOUNT missing x y
        BITCOUNT missing 0 1 FOO
        BITCOUNT missing 0 1 BIT x
        SET empty ""
        BITCOUNT empty
        BITCOUNT empty 0 -1
        BITCOUNT empty 0 -1 BIT
        BITCOUNT empty -1 0
        SET k foobar
        BITCOUNT k
        BITCOUNT k 0 0
        BITCOUNT k 1 1
        BITCOUNT k 0 -1
        BITCOUNT k -1 -2
        BITCOUNT k -2 -1
        BITCOUNT k -100 100
        BITCOUNT k -100 -50
        BITCOUNT k 0 -100
        BITCOUNT k 3 2
        BITCOUNT k 100 200
        BITCOUNT k 5 30 BIT
        BITCOUNT k 5 30 BYTE
        BITCOUNT k 5 30 bit
        BITCOUNT k 1 1 BIT
        BITCOUNT k 9 10 BIT
        BITCOUNT k 0 0 BIT
        BITCOUNT k 7 8 BIT
        BITCOUNT k -8 -1 BIT
        BITCOUNT k -1 -1 BIT
        BITCOUNT k -100 100 BIT
        BITCOUNT k 47 47 BIT
        BITCOUNT k 48 48 BIT
        BITCOUNT k 9223372036854775807 9223372036854775807
        BITCOUNT k -9223372036854775808 -9223372036854775808
        BITCOUNT k -9223372036854775808 9223372036854775807 BIT
        BITCOUNT k 0
        BITCOUNT k x 1
        BITCOUNT k 1 x
        BITCOUNT k 0 1 FOO
        BITCOUNT k -1 -5 FOO
        BITCOUNT k 0 1 BIT x
        BITCOUNT k 0 9223372036854775808
        BITCOUNT
        SET n 123
        BITCOUNT n
    """,
    "BITPOS": r"""
        BITPOS missing 0
        BITPOS missing 1
        BITPOS missing 0 5
        BITPOS missing 1 x
        BITPOS missing 0 0 1 FOO
        BITPOS missing 2
        BITPOS missing x
        BITPOS missing 9223372036854775808
        SET empty ""
        BITPOS empty 0
        BITPOS empty 1
        BITPOS empty 0 0
        BITPOS empty 0 0 -1
        BITPOS empty 0 0 -1 BIT
        SET ones "\xff\xff\xff"
        BITPOS ones 1
        BITPOS ones 0
        BITPOS ones 0 0
        BITPOS ones 0 2
        BITPOS ones 0 3
        BITPOS ones 0 0 -1
        BITPOS ones 0 0 10
        BITPOS ones 0 -1
        BITPOS ones 0 0 -1 BIT
        BITPOS ones 0 5 9 BIT
        BITPOS ones 1 5 9 BIT
        BITPOS ones 1 23 23 BIT
        BITPOS ones 1 24 24 BIT
        SET zeros "\x00\x00\x00"
        BITPOS zeros 0
        BITPOS zeros 1
        BITPOS zeros 1 0 -1
        BITPOS zeros 0 1
        BITPOS zeros 0 3
        BITPOS zeros 0 5 9 BIT
        SET k "\xff\xf0\x00"
        BITPOS k 0
        BITPOS k 0 0 0
        BITPOS k 0 1 1
        BITPOS k 0 -1
        BITPOS k 1 1
        BITPOS k 1 2
        BITPOS k 0 0 11 BIT
        BITPOS k 0 0 12 BIT
        BITPOS k 0 3 -1 BIT
        BITPOS k 1 -12 -1 BIT
        BITPOS k 1 -13 -1 BIT
        BITPOS k 1 11 -100 BIT
        BITPOS k 1 0 -100 BIT
        BITPOS k 0 2 1
        BITPOS k 0 100
        BITPOS k 0 -100
        BITPOS k 0 -100 -100
        BITPOS k 1 0 -9223372036854775808
        BITPOS k 1 9223372036854775807
        BITPOS k 2
        BITPOS k -1
        BITPOS k x
        BITPOS k 0 x
        BITPOS k 0 0 x
        BITPOS k 0 0 1 FOO
        BITPOS k 0 x 1 FOO
        BITPOS k 0 0 x FOO
        BITPOS k 0 0 1 BIT x
        BITPOS k
    """,
    "BITOP": r"""
        SET s "\xaa\x00\xff\x55"
        BITOP NOT dest s
        GET dest
        BITOP not dest dest
        GET dest
        BITOP NOT dest missing
        EXISTS dest
        BITOP NOT dest s s
        BITOP NOT dest
        BITOP FOO dest s
        BITOP FOO dest
        BITOP AND dest
        SET a "\x01\x02\xff"
        SET b "\x01\x02\xff\xff"
        BITOP AND dest a
        GET dest
        BITOP AND dest a b
        GET dest
        BITOP OR dest a b
        GET dest
        BITOP XOR dest a b
        GET dest
        BITOP XOR dest a a
        GET dest
        BITOP XOR dest a a a
        GET dest
        BITOP AND dest a missing
        GET dest
        BITOP OR dest missing a missing
        GET dest
        BITOP XOR dest a missing
        GET dest
        BITOP AND dest missing other
        EXISTS dest
        BITOP OR a a b
        GET a
        SET empty ""
        BITOP OR dest empty empty
        EXISTS dest
        BITOP AND dest empty b
        GET dest
        SET n 10
        BITOP OR dest n n
        GET dest
        SET t v EX 1000
        BITOP OR t b
        TTL t
        SET t v EX 1000
        BITOP OR dest t
        TTL dest
        BITOP OR t missing
        EXISTS t
    """,
    "BITFIELD": r"""
        BITFIELD k
        EXISTS k
        BITFIELD k GET u8 0
        EXISTS k
        BITFIELD k SET i8 0 -100 SET i8 0 101 GET i8 0
        BITFIELD k SET u8 #0 65 SET u8 #1 66 SET u8 #2 67 GET u32 #0
        GET k
        BITFIELD k INCRBY u8 #0 10 INCRBY u8 #0 100
        BITFIELD k SET u63 3 9223372036854775807 GET u63 3 GET i64 2 GET i64 100
        GET k
        BITFIELD n SET i5 0 15 INCRBY i5 0 1 OVERFLOW SAT INCRBY i5 0 100 OVERFLOW FAIL INCRBY i5 0 1 GET i5 0
        BITFIELD n OVERFLOW sat INCRBY i5 0 -100 OVERFLOW fail INCRBY i5 0 -1 OVERFLOW wrap INCRBY i5 0 -1
        BITFIELD n OVERFLOW FAIL SET u8 0 256 SET u8 0 -1 SET i8 0 128 SET i8 0 -129 GET u8 0
        BITFIELD n OVERFLOW SAT SET u8 0 256 SET u8 8 -1 SET i8 16 128 SET i8 24 -129 GET u32 0
        BITFIELD n OVERFLOW WRAP SET u8 0 256 SET u8 8 -1 SET i8 16 128 SET i8 24 -129 GET u32 0
        BITFIELD n OVERFLOW SAT INCRBY u8 0 -1000 INCRBY u8 8 1000 INCRBY u63 0 9223372036854775807 GET u63 0
        BITFIELD n OVERFLOW SAT SET i64 0 9223372036854775807 INCRBY i64 0 1 OVERFLOW WRAP INCRBY i64 0 1
        BITFIELD n SET i64 0 -9223372036854775808 OVERFLOW WRAP INCRBY i64 0 -1
        BITFIELD n SET i64 0 -9223372036854775807
        BITFIELD n OVERFLOW SAT INCRBY i64 0 -2 GET i64 0
        BITFIELD n OVERFLOW FAIL SET i64 0 9223372036854775807 INCRBY i64 0 1 GET i64 0
        BITFIELD n OVERFLOW FAIL INCRBY u63 1 -9223372036854775808 INCRBY u63 1 9223372036854775807
        BITFIELD n SET u1 7 1 SET u1 7 2 SET i1 7 -1 SET i1 7 1 GET i1 7 GET u1 7 INCRBY u1 7 1 INCRBY i1 7 1
        BITFIELD failed OVERFLOW FAIL INCRBY u8 0 300
        GET failed
        BITFIELD failed2 OVERFLOW FAIL INCRBY u8 20 300
        GET failed2
        BITFIELD grown SET u8 100 0
        STRLEN grown
        SET e v EX 1000
        BITFIELD e SET u8 0 1
        TTL e
        SET num 12345
        BITFIELD num GET u8 0 SET u8 8 50
        GET num
        BITFIELD k get u8 0 set u8 0 1 incrby u8 0 1 overflow sat
    """,
    "BITFIELD: errors": r"""
        SET k 1
        BITFIELD k FOO
        BITFIELD k GET
        BITFIELD k GET u8
        BITFIELD k SET u8 0
        BITFIELD k INCRBY u8 0
        BITFIELD k OVERFLOW
        BITFIELD k OVERFLOW FOO
        BITFIELD k OVERFLOW SAT FOO
        BITFIELD k GET u64 0
        BITFIELD k GET i65 0
        BITFIELD k GET u0 0
        BITFIELD k GET i0 0
        BITFIELD k GET u-1 0
        BITFIELD k GET U8 0
        BITFIELD k GET x8 0
        BITFIELD k GET u 0
        BITFIELD k GET "" 0
        BITFIELD k GET u08 0
        BITFIELD k GET u8 -1
        BITFIELD k GET u8 x
        BITFIELD k GET u8 ""
        BITFIELD k GET u8 #
        BITFIELD k GET u8 #-1
        BITFIELD k GET u8 ##1
        BITFIELD k GET u8 #x
        BITFIELD k GET u8 4294967295
        BITFIELD k GET u8 4294967296
        BITFIELD k GET u8 #536870911
        BITFIELD k GET u8 #536870912
        BITFIELD k GET u8 9223372036854775807
        BITFIELD k SET u8 0 x
        BITFIELD k SET u8 0 9223372036854775808
        BITFIELD k INCRBY u8 0 1.5
        BITFIELD k SET u8 0 100 GET u64 0
        BITFIELD k SET u8 0 100 FOO
        BITFIELD k GET u8 0 SET u8 x 1
        BITFIELD k SET u8 4294967296 1
        GET k
        BITFIELD
        BITFIELD_RO
        BITFIELD_RO k
        BITFIELD_RO k GET u8 0 GET u8 #0 GET i16 0
        BITFIELD_RO missing GET u8 100
        EXISTS missing
        BITFIELD_RO k SET u8 0 1
        BITFIELD_RO k GET u8 0 INCRBY u8 0 1
        BITFIELD_RO k OVERFLOW SAT
        BITFIELD_RO k OVERFLOW FOO
        BITFIELD_RO k FOO
        BITFIELD_RO k SET u8 0 x
        GET k
    """,
    "in transactions": r"""
        SET a "\xff\x0f"
        MULTI
        SETBIT a 3 0
        BITCOUNT a
        BITOP NOT b a
        BITPOS b 1
        BITFIELD b SET u8 0 255
        BITCOUNT b 0 7 BIT
        BITOP AND a a b
        GET a
        EXEC
    """,
}


@PROTOCOLS
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_both_servers_reply_the_same(servers: Servers, story: str, protocol: int) -> None:
    send_story(servers, story, protocol)


# ---------------------------------------------------------------- random sequences

PATIENT = settings(
    suppress_health_check=[HealthCheck.too_slow], phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]
)
INT64 = 2**63

keys = st.sampled_from([b"a", b"b", b"c"])
bits = st.binary(max_size=12).flatmap(lambda data: st.sampled_from([data, bytes(len(data)), b"\xff" * len(data)]))
numbers = st.one_of(
    st.integers(-INT64, INT64 - 1), st.integers(-300, 300), st.sampled_from([-INT64, INT64 - 1, 2**31, 2**32])
).map(b"%d".__mod__)
encodings = st.one_of(
    st.integers(1, 64).map(b"i%d".__mod__), st.integers(1, 63).map(b"u%d".__mod__), st.sampled_from([b"u8", b"i8"])
)
offsets = st.tuples(st.sampled_from([b"%d", b"%d", b"#%d"]), st.integers(0, 120)).map(lambda both: both[0] % both[1])
ranges = st.integers(-120, 120).map(b"%d".__mod__)
units = st.sampled_from([(b"BIT",), (b"BYTE",), ()])

operations = st.one_of(
    st.tuples(st.just(b"GET"), encodings, offsets),
    st.tuples(st.sampled_from([b"SET", b"INCRBY"]), encodings, offsets, numbers),
    st.tuples(st.just(b"OVERFLOW"), st.sampled_from([b"WRAP", b"SAT", b"FAIL"])),
)
fields = st.tuples(keys, st.lists(operations, max_size=6)).map(
    lambda both: (b"BITFIELD", both[0], *(arg for operation in both[1] for arg in operation))
)
others: st.SearchStrategy[Args] = st.one_of(
    st.tuples(st.just(b"SET"), keys, bits),
    st.tuples(st.just(b"SETBIT"), keys, st.integers(0, 130).map(b"%d".__mod__), st.sampled_from([b"0", b"1"])),
    st.tuples(st.just(b"GETBIT"), keys, st.integers(0, 130).map(b"%d".__mod__)),
    st.tuples(keys, ranges, ranges, units).map(lambda all_: (b"BITCOUNT", *all_[:3], *all_[3])),
    st.tuples(keys, st.sampled_from([b"0", b"1"]), ranges, ranges, units).map(
        lambda all_: (b"BITPOS", *all_[:4], *all_[4])
    ),
    st.tuples(keys, st.sampled_from([b"0", b"1"]), st.lists(ranges, max_size=1)).map(
        lambda all_: (b"BITPOS", *all_[:2], *all_[2])
    ),
    st.tuples(st.sampled_from([b"AND", b"OR", b"XOR"]), keys, st.lists(keys, min_size=1, max_size=4)).map(
        lambda all_: (b"BITOP", *all_[:2], *all_[2])
    ),
    st.tuples(st.just(b"BITOP"), st.just(b"NOT"), keys, keys),
)


def feed(servers: Servers, commands: list[Args]) -> None:
    with Sessions(servers, 1) as sessions:
        for args in commands:
            sessions.send(0, *args)
        sessions.end()


@settings(PATIENT, max_examples=examples(100))
@given(commands=st.lists(fields, max_size=8))
def test_random_bitfields(servers: Servers, commands: list[Args]) -> None:
    feed(servers, commands)


@settings(PATIENT, max_examples=examples(100))
@given(commands=st.lists(st.one_of(others, others, fields), max_size=15))
def test_random_bitmap_commands(servers: Servers, commands: list[Args]) -> None:
    feed(servers, commands)
