"""What the random sessions say: mostly sense, on few keys, so that commands meet; sometimes nonsense."""

from __future__ import annotations

from typing import TypeAlias

from hypothesis import strategies as st

from tests.harness.resp_wire import Args

Word: TypeAlias = "st.SearchStrategy[bytes]"
Command: TypeAlias = "st.SearchStrategy[Args]"
Step: TypeAlias = tuple[int, Args]

SESSIONS = 3

INT64 = 2**63
_EDGES = [0, 1, -1, 9, -10, INT64 - 1, INT64 - 2, -INT64, -INT64 + 1]
_NO_INTEGERS = [b"", b" 1", b"1 ", b"+1", b"01", b"-0", b"1.0", b"x", b"9223372036854775808", b"1\x00"]

keys: Word = st.sampled_from([b"a", b"b", b"k:1", b"", b"\r\nz"])
databases: Word = st.sampled_from([b"0", b"0", b"1", b"1", b"15", b"16", b"x"])
edges: Word = st.sampled_from(_EDGES).map(b"%d".__mod__)
integers: Word = st.one_of(edges, st.integers(-9, 9).map(b"%d".__mod__), st.sampled_from(_NO_INTEGERS))
values: Word = st.one_of(
    st.sampled_from([b"", b"v", b"hello world", b"\r\n", b"+OK\r\n", b"\xff\x00", b"1.5", b"x" * 45]),
    st.binary(max_size=5),
    integers,
)
offsets: Word = st.one_of(st.integers(-8, 8).map(b"%d".__mod__), st.sampled_from([b"536870912", b"x"]), edges)
setrange_offsets: Word = st.one_of(
    st.integers(-1, 20).map(b"%d".__mod__), st.sampled_from([b"536870912", b"x", b"%d" % (INT64 - 1), b"%d" % -INT64])
)

# Small sums: those of larger numbers show the last bits of Redis's long double.
small_floats: Word = st.sampled_from([b"0.1", b"-0.3", b"1.5", b"2", b"-1", b"3e-1", b".5", b"1.", b"+1", b"x", b"inf"])

# Deadlines are far, so that none comes within a test, or past, so that they come at once; times are after 2100, which
# is how the comparison knows that they are not given from now on.
seconds: Word = st.sampled_from([b"1000", b"5000", b"100000", b"0", b"-1", b"9223372036854775807", b"x"])
milliseconds: Word = st.sampled_from([b"1000000", b"5000000", b"0", b"-1", b"9223372036854775807", b"x"])
moments: Word = st.sampled_from([b"4102444800", b"4200000000", b"9223372036854775807", b"x"])
millisecond_moments: Word = st.sampled_from([b"4102444800499", b"4102444800500", b"4200000000001", b"x"])
past_moments: Word = st.sampled_from([b"0", b"1", b"-1", b"4102444800"])

patterns: Word = st.one_of(
    st.sampled_from(
        [b"*", b"?", b"k*", b"*:1", b"[ab]", b"[^a]", b"[a-c]*", b"k\\:1", b"", b"[", b"[^", b"a\\", b"[a-]"]
    ),
    st.lists(st.sampled_from([b"*", b"?", b"[", b"]", b"^", b"-", b"\\", b"a", b"b", b":"]), max_size=6)
    .map(b"".join)
    .filter(lambda pattern: pattern == b"*" or pattern.strip(b"*") != b""),  # Redis's empty key matches no other "**"
)


def said(name: bytes, *args: Word) -> Command:
    """Return a command with such arguments."""
    return st.tuples(st.just(name), *args)


def with_many(name: bytes, *groups: Word) -> Command:
    """Return a command with such a group of arguments, once or a few times."""
    return st.lists(st.tuples(*groups), min_size=1, max_size=3).map(
        lambda many: (name, *(arg for group in many for arg in group))
    )


def with_options(name: bytes, *args: Word, options: list[Command], most: int = 2) -> Command:
    """Say a command with some of its options, none twice; they need not go together."""
    chosen = st.lists(st.one_of(options), max_size=most, unique_by=_name)
    return st.tuples(st.tuples(st.just(name), *args), chosen).map(
        lambda both: (*both[0], *(arg for option in both[1] for arg in option))
    )


def _name(command: Args) -> bytes:
    return command[0].upper()


def flags(*names: bytes) -> Command:
    return st.sampled_from(names).map(lambda name: (name,))


_DEADLINES: list[Command] = [
    said(b"EX", seconds),
    said(b"px", milliseconds),
    said(b"EXAT", moments),
    said(b"PXAT", millisecond_moments),
]
_CONDITIONS = [flags(b"NX", b"XX", b"gt", b"LT")]
_UNORDERED_CONDITIONS = [flags(b"NX", b"xx", b"FOO")]
"""Those that do not depend on which of two expiries from now on is later, which a millisecond decides."""

_strings: list[Command] = [
    said(b"SET", keys, values),
    with_options(b"SET", keys, values, options=[flags(b"NX", b"XX", b"get", b"KEEPTTL", b"FOO"), *_DEADLINES], most=3),
    said(b"GET", keys),
    said(b"GETSET", keys, values),
    said(b"GETDEL", keys),
    with_options(b"GETEX", keys, options=[flags(b"PERSIST"), *_DEADLINES, said(b"EXAT", past_moments)]),
    said(b"SETNX", keys, values),
    said(b"SETEX", keys, seconds, values),
    said(b"PSETEX", keys, milliseconds, values),
    with_many(b"MSET", keys, values),
    with_many(b"MSETNX", keys, values),
    with_many(b"MGET", keys),
    said(b"STRLEN", keys),
    said(b"GETRANGE", keys, offsets, offsets),
    said(b"SUBSTR", keys, offsets, offsets),
    with_options(
        b"LCS",
        keys,
        keys,
        options=[flags(b"LEN", b"IDX", b"IDX", b"WITHMATCHLEN"), said(b"MINMATCHLEN", integers)],
        most=3,
    ),
]
_numbers: list[Command] = [
    said(b"INCR", keys),
    said(b"DECR", keys),
    said(b"INCRBY", keys, integers),
    said(b"DECRBY", keys, integers),
    said(b"APPEND", keys, values),
    said(b"SETRANGE", keys, setrange_offsets, values),
]
_small_numbers: list[Command] = [
    said(b"INCRBYFLOAT", keys, small_floats),
    said(b"INCRBYFLOAT", keys, small_floats),
    said(b"SET", keys, small_floats),
    said(b"INCR", keys),
    said(b"DECRBY", keys, st.integers(-3, 3).map(b"%d".__mod__)),
]
_keys: list[Command] = [
    with_many(b"DEL", keys),
    with_many(b"UNLINK", keys),
    with_many(b"EXISTS", keys),
    with_many(b"TOUCH", keys),
    said(b"TYPE", keys),
    said(b"KEYS", patterns),
    with_options(
        b"SCAN",
        st.just(b"0"),
        options=[said(b"MATCH", patterns), said(b"COUNT", integers), said(b"TYPE", st.sampled_from([b"string", b"x"]))],
    ),
    said(b"RANDOMKEY"),
    said(b"RENAME", keys, keys),
    said(b"RENAMENX", keys, keys),
    with_options(b"COPY", keys, keys, options=[flags(b"REPLACE"), said(b"DB", databases)]),
    said(b"MOVE", keys, databases),
    said(b"DBSIZE"),
    with_options(b"FLUSHDB", options=[flags(b"SYNC", b"ASYNC", b"FOO")]),
    said(b"FLUSHALL"),
    said(b"SWAPDB", databases, databases),
    said(b"OBJECT", st.sampled_from([b"ENCODING", b"encoding", b"REFCOUNT", b"FOO"]), keys),
]
_expiry: list[Command] = [
    with_options(b"EXPIRE", keys, seconds, options=_UNORDERED_CONDITIONS),
    with_options(b"PEXPIRE", keys, milliseconds, options=_UNORDERED_CONDITIONS),
    with_options(b"EXPIREAT", keys, st.one_of(moments, past_moments), options=_CONDITIONS),
    with_options(b"PEXPIREAT", keys, st.one_of(millisecond_moments, past_moments), options=_CONDITIONS),
    said(b"TTL", keys),
    said(b"PTTL", keys),
    said(b"EXPIRETIME", keys),
    said(b"PEXPIRETIME", keys),
    said(b"PERSIST", keys),
]
_connection: list[Command] = [
    said(b"PING"),
    said(b"PING", values),
    said(b"ECHO", values),
    said(b"SELECT", databases),
    said(b"SELECT", st.sampled_from([b"16", b"-1", b"x", b"2147483648"])),
    said(b"CLIENT", st.just(b"SETNAME"), st.sampled_from([b"me", b"", b"a b", b"\n"])),
    said(b"CLIENT", st.just(b"GETNAME")),
    said(b"CLIENT", st.sampled_from([b"SETNAME", b"ID", b"FOO"]), keys, keys),
    said(b"HELLO", st.sampled_from([b"1", b"4", b"x", b"2", b"3"])),
    said(b"HELLO", st.just(b"3"), st.sampled_from([b"FOO", b"SETNAME"])),
    said(b"RESET"),
    said(b"COMMAND", st.just(b"GETKEYS"), st.sampled_from([b"GET", b"MSET", b"DEL", b"PING", b"FOO"]), keys, values),
    said(b"nosuch", keys),
    said(b"FOO"),
]
_transactions: list[Command] = [
    said(b"MULTI"),
    said(b"EXEC"),
    said(b"EXEC"),
    said(b"DISCARD"),
    with_many(b"WATCH", keys),
    said(b"UNWATCH"),
]


def _wrong_arity(command: Args) -> list[Args]:
    """Return the command with too few and with too many arguments."""
    return [command[:1], command[:-1] or command, (*command, b"x"), (*command, b"x", b"y")]


def _commands(kinds: list[list[Command]]) -> Command:
    """Draw a kind, then a command of that kind. A few have a wrong arity."""
    sense = st.one_of([st.one_of(kind) for kind in kinds])
    nonsense = sense.flatmap(lambda command: st.sampled_from(_wrong_arity(command)))
    return st.integers(0, 19).flatmap(lambda number: nonsense if number == 19 else sense)


def _script(kinds: list[list[Command]]) -> st.SearchStrategy[list[Step]]:
    """Draw a long story, of single steps and of transactions that others come between."""
    command = _commands(kinds)
    sessions = st.integers(0, SESSIONS - 1)
    step = st.tuples(sessions, command)
    single = st.lists(step, min_size=1, max_size=1)
    part = st.one_of(single, single, single, sessions.flatmap(lambda session: _transaction(session, command)))
    parts = st.one_of(st.lists(part, min_size=1, max_size=30), st.lists(part, min_size=15, max_size=30))
    return parts.map(lambda many: [each for steps in many for each in steps])


def _transaction(session: int, command: Command) -> st.SearchStrategy[list[Step]]:
    """Draw a session's transaction, with or without a watch, and what other sessions say meanwhile."""

    def send_line(*names: bytes) -> st.SearchStrategy[list[Step]]:
        return st.just([(session, names)])

    def steps(by: st.SearchStrategy[int], most: int) -> st.SearchStrategy[list[Step]]:
        return st.lists(st.tuples(by, command), max_size=most)

    others = st.integers(1, SESSIONS - 1).map(lambda number: (session + number) % SESSIONS)
    watch = with_many(b"WATCH", keys).map(lambda args: [(session, args)])
    end = st.sampled_from([b"EXEC", b"EXEC", b"EXEC", b"DISCARD"]).map(lambda name: [(session, (name,))])
    return st.tuples(
        st.one_of(watch, st.just([])),
        steps(others, 2),
        send_line(b"MULTI"),
        steps(st.just(session), 4),
        steps(others, 1),
        end,
    ).map(lambda many: [each for part in many for each in part])


_SINGLE = [_transactions]
"""What belongs to transactions comes by itself too, where it is out of place."""

scripts = _script([_strings, _strings, _numbers, _keys, _expiry, _connection, *_SINGLE])
"""Everything, by several sessions; numbers go to the edges of 64 bits."""

small_scripts = _script([_small_numbers, _small_numbers, _small_numbers, _keys, _expiry, *_SINGLE])
"""Floating-point numbers, which stay small."""
