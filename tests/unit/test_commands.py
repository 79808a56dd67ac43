"""Every command of the table: what it answers, what it changes, and what it refuses."""

from __future__ import annotations

import pytest

from common import __version__
from common.replies import OK, PONG, Block, Error, Reply, Status
from server.commands import COMMANDS
from server.errors import NOT_AN_INTEGER, SYNTAX_ERROR, UNSUPPORTED_PROTOCOL, WOULD_OVERFLOW
from server.integers import LARGEST, SMALLEST
from server.registry import Command
from server.session import Session
from server.store import Store
from tests.support import call, new_session, pairs, say
from tests.unit.test_integers import NO_INTEGERS

EVERY_COMMAND = pytest.mark.parametrize("command", list(COMMANDS), ids=lambda command: command.name.decode())


# ---------------------------------------------------------------- all of them


def test_the_table_holds_these_commands() -> None:
    assert [(each.name.decode(), each.arity) for each in COMMANDS] == [
        ("COMMAND", -1),
        ("COMPACT", 1),
        ("DECR", 2),
        ("DECRBY", 3),
        ("DEL", -2),
        ("DISCARD", 1),
        ("DISCONNECT", 1),
        ("ECHO", 2),
        ("EXEC", 1),
        ("EXISTS", -2),
        ("FLUSHALL", 1),
        ("GET", 2),
        ("HELLO", -1),
        ("HELP", -1),
        ("INCR", 2),
        ("INCRBY", 3),
        ("MULTI", 1),
        ("PING", -1),
        ("QUIT", 1),
        ("SET", 3),
    ]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *((each.name, each.fewest - 1) for each in COMMANDS if each.fewest > 1),
        *((each.name, each.most + 1) for each in COMMANDS if each.most < 10),
    ],
    ids=lambda value: value.decode() if isinstance(value, bytes) else f"{value} words",
)
def test_a_word_too_few_or_too_many_is_refused_and_changes_nothing(
    session: Session, store: Store, name: bytes, count: int
) -> None:
    store.set(b"1", b"1")
    error = Error(b"ERR wrong number of arguments for '%b' command" % name.lower())
    assert call(session, name, *[b"1"] * (count - 1)) == error
    assert pairs(store) == [(b"1", b"1")]
    assert (session.closing, session.transaction) == (False, None)


@EVERY_COMMAND
def test_the_names_of_a_usage_line_are_the_words_that_the_command_takes(command: Command) -> None:
    name, *arguments = command.usage.decode().split()
    assert name == command.name.decode() == name.upper()
    required = [each for each in arguments if not each.startswith("[") and not each.endswith("]")]
    if b"|" not in command.usage:
        assert len(required) + 1 == command.fewest
    assert (command.most > command.fewest) == (b"[" in command.usage)


@EVERY_COMMAND
def test_a_summary_is_a_sentence(command: Command) -> None:
    assert command.summary[:1].isupper()
    assert command.summary.endswith(b".")


# ---------------------------------------------------------------- strings


def test_get_returns_what_set_gave(session: Session) -> None:
    assert call(session, b"SET", b"k", b"v") == OK
    assert call(session, b"GET", b"k") == b"v"


def test_get_returns_none_where_there_is_no_key(session: Session) -> None:
    assert call(session, b"GET", b"k") is None


@pytest.mark.parametrize(
    "word", [b"", b"\x00", b"\r\n", b"\xff\xfe", b"(nil)", b"x" * 100_000], ids=lambda w: repr(w[:9])
)
def test_keys_and_values_may_be_any_bytes(session: Session, word: bytes) -> None:
    assert call(session, b"SET", word, b"as a key") == OK
    assert call(session, b"GET", word) == b"as a key"
    assert call(session, b"SET", b"k", word) == OK
    assert call(session, b"GET", b"k") == word


def test_set_overwrites(session: Session) -> None:
    assert [call(session, b"SET", b"k", value) for value in (b"1", b"2")] == [OK, OK]
    assert call(session, b"GET", b"k") == b"2"


COUNTING: list[tuple[bytes, ...]] = [(b"INCR",), (b"DECR",), (b"INCRBY", b"5"), (b"DECRBY", b"5")]
STEPS = dict(zip(COUNTING, (1, -1, 5, -5), strict=True))
EACH_COUNTING = pytest.mark.parametrize("counting", COUNTING, ids=lambda words: b" ".join(words).decode())


@EACH_COUNTING
def test_a_key_that_is_not_there_counts_as_zero(session: Session, store: Store, counting: tuple[bytes, ...]) -> None:
    name, *by = counting
    assert call(session, name, b"n", *by) == STEPS[counting]
    assert store.get(b"n") == b"%d" % STEPS[counting]


@EACH_COUNTING
@pytest.mark.parametrize("value", [0, 7, -7, LARGEST - 5, SMALLEST + 5])
def test_a_number_is_counted_up_and_down(
    session: Session, store: Store, counting: tuple[bytes, ...], value: int
) -> None:
    name, *by = counting
    store.set(b"n", b"%d" % value)
    assert call(session, name, b"n", *by) == value + STEPS[counting]
    assert store.get(b"n") == b"%d" % (value + STEPS[counting])


@EACH_COUNTING
@pytest.mark.parametrize("value", NO_INTEGERS, ids=lambda value: repr(value[:24]))
def test_a_value_that_is_no_integer_is_refused_and_kept(
    session: Session, store: Store, counting: tuple[bytes, ...], value: bytes
) -> None:
    name, *by = counting
    store.set(b"n", value)
    assert call(session, name, b"n", *by) == NOT_AN_INTEGER
    assert pairs(store) == [(b"n", value)]


@pytest.mark.parametrize("name", [b"INCRBY", b"DECRBY"])
@pytest.mark.parametrize("by", NO_INTEGERS, ids=lambda by: repr(by[:24]))
def test_a_step_that_is_no_integer_is_refused(session: Session, store: Store, name: bytes, by: bytes) -> None:
    store.set(b"n", b"11")
    assert call(session, name, b"n", by) == NOT_AN_INTEGER
    assert call(session, name, b"new", by) == NOT_AN_INTEGER
    assert pairs(store) == [(b"n", b"11")]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (LARGEST, [b"INCR", b"n"]),
        (SMALLEST, [b"DECR", b"n"]),
        (LARGEST, [b"INCRBY", b"n", b"1"]),
        (SMALLEST, [b"INCRBY", b"n", b"-1"]),
        (LARGEST - 5, [b"INCRBY", b"n", b"6"]),
        (1, [b"INCRBY", b"n", b"%d" % LARGEST]),
        (-1, [b"INCRBY", b"n", b"%d" % SMALLEST]),
        (SMALLEST, [b"DECRBY", b"n", b"1"]),
        (LARGEST, [b"DECRBY", b"n", b"-1"]),
        (-2, [b"DECRBY", b"n", b"%d" % LARGEST]),
    ],
)
def test_a_sum_beyond_64_bits_is_refused_and_changes_nothing(
    session: Session, store: Store, value: int, words: list[bytes]
) -> None:
    store.set(b"n", b"%d" % value)
    assert call(session, *words) == WOULD_OVERFLOW
    assert pairs(store) == [(b"n", b"%d" % value)]


@pytest.mark.parametrize(
    ("value", "words", "total"),
    [
        (LARGEST - 1, [b"INCR", b"n"], LARGEST),
        (SMALLEST + 1, [b"DECR", b"n"], SMALLEST),
        (0, [b"INCRBY", b"n", b"%d" % LARGEST], LARGEST),
        (0, [b"INCRBY", b"n", b"%d" % SMALLEST], SMALLEST),
        (LARGEST, [b"INCRBY", b"n", b"%d" % SMALLEST], -1),
        (-1, [b"DECRBY", b"n", b"%d" % LARGEST], SMALLEST),
        (SMALLEST, [b"DECRBY", b"n", b"%d" % (SMALLEST + 1)], -1),
        (7, [b"INCRBY", b"n", b"0"], 7),
        (7, [b"DECRBY", b"n", b"-7"], 14),
    ],
)
def test_a_sum_within_64_bits_is_made(
    session: Session, store: Store, value: int, words: list[bytes], total: int
) -> None:
    store.set(b"n", b"%d" % value)
    assert call(session, *words) == total
    assert store.get(b"n") == b"%d" % total


@pytest.mark.parametrize("value", [None, b"0", b"-1", b"x"])
def test_decrby_cannot_turn_the_smallest_integer_round(session: Session, store: Store, value: bytes | None) -> None:
    """Redis 7 refuses this decrement before it looks at the key."""
    if value is not None:
        store.set(b"n", value)
    before = store.items()
    assert call(session, b"DECRBY", b"n", b"%d" % SMALLEST) == Error(b"ERR decrement would overflow")
    assert pairs(store) == before


# ---------------------------------------------------------------- keys


def test_del_counts_the_keys_that_were_there(session: Session, store: Store) -> None:
    for key in (b"a", b"b", b"c"):
        store.set(key, b"")
    assert call(session, b"DEL", b"a", b"none", b"b", b"a") == 2
    assert pairs(store) == [(b"c", b"")]


def test_exists_counts_a_key_as_often_as_it_is_named(session: Session, store: Store) -> None:
    store.set(b"a", b"")
    assert call(session, b"EXISTS", b"a") == 1
    assert call(session, b"EXISTS", b"none") == 0
    assert call(session, b"EXISTS", b"a", b"none", b"a") == 2


def test_flushall_removes_every_key(session: Session, store: Store) -> None:
    store.set(b"a", b"")
    assert call(session, b"FLUSHALL") == OK
    assert len(store) == 0
    assert call(session, b"FLUSHALL") == OK


def test_compact_prints_one_set_a_key_oldest_first(session: Session) -> None:
    for line in ("SET b 1", "SET a 1", "SET c 1", "INCR b", "DEL a", "SET a 'x y'", "SET '' \"\\x00\""):
        say(session, line)
    assert say(session, "COMPACT") == 'SET b 2\nSET c 1\nSET a "x y"\nSET "" "\\x00"'


def test_compact_of_an_empty_store_is_one_empty_line(session: Session) -> None:
    assert session.feed(b"COMPACT\r\n") == b"\r\n"
    assert call(session, b"COMPACT") == b""


# ---------------------------------------------------------------- connection


def test_ping_answers_pong_or_the_message(session: Session) -> None:
    assert call(session, b"PING") == PONG
    assert call(session, b"PING", b"a b") == b"a b"
    assert call(session, b"PING", b"") == b""


def test_echo_answers_the_message(session: Session) -> None:
    assert call(session, b"ECHO", b"a\r\nb") == b"a\r\nb"


def test_hello_describes_the_server(session: Session) -> None:
    session = new_session(number=42)
    description = {
        b"server": b"kvline",
        b"version": __version__.encode(),
        b"proto": 3,
        b"id": 42,
        b"mode": b"standalone",
        b"role": b"master",
        b"modules": [],
    }
    assert call(session, b"HELLO", b"3") == description
    assert call(session, b"HELLO") == description


def test_hello_agrees_on_the_version_of_resp(session: Session) -> None:
    assert isinstance(call(session, b"HELLO", b"2"), list)
    assert isinstance(call(session, b"HELLO", b"3"), dict)
    assert (session.resp_version, isinstance(call(session, b"HELLO"), dict)) == (3, True)
    assert isinstance(call(session, b"HELLO", b"2"), list)
    assert isinstance(call(session, b"HELLO"), list)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([b"4"], UNSUPPORTED_PROTOCOL),
        ([b"1"], UNSUPPORTED_PROTOCOL),
        ([b"-3"], UNSUPPORTED_PROTOCOL),
        ([b"three"], Error(b"ERR Protocol version is not an integer or out of range")),
        ([b"03"], Error(b"ERR Protocol version is not an integer or out of range")),
        ([b""], Error(b"ERR Protocol version is not an integer or out of range")),
        ([b"3", b"AUTH", b"user", b"secret"], SYNTAX_ERROR),
    ],
)
def test_a_hello_that_is_refused_leaves_the_version_as_it_was(
    session: Session, words: list[bytes], error: Error
) -> None:
    call(session, b"HELLO", b"3")
    assert call(session, b"HELLO", *words) == error
    assert session.resp_version == 3


def test_hello_in_text_prints_its_description_and_stays_text(session: Session) -> None:
    assert say(session, "HELLO 3").startswith("1) server\n2) kvline\n")
    assert say(session, "GET none") == "(nil)"
    assert session.feed(b"*2\r\n$3\r\nGET\r\n$4\r\nnone\r\n") == b"_\r\n"


# ---------------------------------------------------------------- what the server can do


def test_help_has_one_line_a_command_with_its_usage_and_its_summary(session: Session) -> None:
    lines = say(session, "HELP").split("\n")
    assert len(lines) == len(COMMANDS)
    for line, command in zip(lines, COMMANDS, strict=True):
        assert line.startswith(command.usage.decode() + " ")
        assert line.endswith("  " + command.summary.decode())


@EVERY_COMMAND
def test_help_tells_about_one_command(session: Session, command: Command) -> None:
    expected = f"{command.usage.decode()}\n  {command.summary.decode()}"
    assert say(session, f"HELP {command.name.decode()}") == expected
    assert say(session, f"help {command.name.decode().lower()}") == expected


def test_help_on_what_is_no_command_is_an_error(session: Session) -> None:
    assert call(session, b"HELP", b"fly") == Error(b"ERR no such command 'fly'; HELP lists them all")
    assert call(session, b"HELP", b"f" * 500) == Error(b"ERR no such command '%b'; HELP lists them all" % (b"f" * 128))


def test_help_in_resp3_is_a_block_of_lines(session: Session) -> None:
    call(session, b"HELLO", b"3")
    assert call(session, b"HELP", b"get") == Block([b"GET key", b"  Return the value of a key."])


@pytest.mark.parametrize(
    ("name", "flag", "keys"),
    [
        (b"get", b"readonly", [1, 1, 1]),
        (b"set", b"write", [1, 1, 1]),
        (b"decrby", b"write", [1, 1, 1]),
        (b"del", b"write", [1, -1, 1]),
        (b"exists", b"readonly", [1, -1, 1]),
        (b"flushall", b"write", [0, 0, 0]),
        (b"compact", b"readonly", [0, 0, 0]),
        (b"ping", b"fast", [0, 0, 0]),
        (b"multi", b"fast", [0, 0, 0]),
    ],
)
def test_command_describes_a_command_as_redis_does(
    session: Session, name: bytes, flag: bytes, keys: list[Reply]
) -> None:
    table = call(session, b"COMMAND")
    assert isinstance(table, list)
    found = COMMANDS.find(name)
    assert found is not None
    assert [name, found.arity, [Status(flag)], *keys, [], [], [], []] in table


def test_command_and_its_count_come_out_of_the_table(session: Session) -> None:
    table = call(session, b"COMMAND")
    assert isinstance(table, list)
    names = [entry[0] for entry in table if isinstance(entry, list)]
    assert names == [each.name.lower() for each in COMMANDS]
    assert call(session, b"COMMAND", b"COUNT") == call(session, b"command", b"count") == len(COMMANDS)


def test_command_docs_come_out_of_the_table(session: Session) -> None:
    call(session, b"HELLO", b"3")
    documents = call(session, b"COMMAND", b"DOCS")
    assert isinstance(documents, dict)
    assert list(documents) == [each.name.lower() for each in COMMANDS]
    assert documents[b"get"] == {b"summary": b"Return the value of a key.", b"group": b"string", b"usage": b"GET key"}


def test_command_docs_of_some_commands_leave_out_what_is_none(session: Session) -> None:
    call(session, b"HELLO", b"3")
    documents = call(session, b"COMMAND", b"docs", b"SET", b"fly", b"get")
    assert isinstance(documents, dict)
    assert list(documents) == [b"set", b"get"]
    assert call(session, b"COMMAND", b"DOCS", b"fly") == {}


@pytest.mark.parametrize("words", [[b"NOTHING"], [b"COUNT", b"more"], [b""]])
def test_a_subcommand_that_command_does_not_have_is_an_error(session: Session, words: list[bytes]) -> None:
    text = b"ERR unknown subcommand or wrong number of arguments for '%b'. Try COMMAND HELP." % words[0]
    assert call(session, b"COMMAND", *words) == Error(text)


def test_what_an_error_advises_works(session: Session) -> None:
    error = call(session, b"COMMAND", b"NOTHING")
    assert isinstance(error, Error)
    advice = error.text.decode().rpartition("Try ")[2].removesuffix(".")
    assert not say(session, advice).startswith("(error)")
