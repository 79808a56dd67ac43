"""What telnet adds to the text: commands, options, and keys that edit the line. Nothing of it reaches an argument."""

from __future__ import annotations

import itertools

import pytest

from common.limits import Limits
from common.resp_client import encode_request
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.protocols.telnet import MAX_SUBNEGOTIATION
from tests.harness.cases import case
from tests.harness.sessions import ClientSession, feed, new_session
from tests.harness.stores import pairs

WAYS: dict[str, tuple[int, ...]] = {
    "in one piece": (),
    "byte by byte": (1,),
    "in odd pieces": (2, 5),
    "in elevens": (11,),
}
EVERY_WAY = pytest.mark.parametrize("sizes", WAYS.values(), ids=WAYS)

IAC, DONT, DO, WONT, WILL, SB, SE = b"\xff", b"\xfe", b"\xfd", b"\xfc", b"\xfb", b"\xfa", b"\xf0"
IP, BRK, SUSP, ABORT, EL, EC = b"\xff\xf4", b"\xff\xf3", b"\xff\xed", b"\xff\xee", b"\xff\xf8", b"\xff\xf7"
DO_TIMING_MARK, WONT_TIMING_MARK = b"\xff\xfd\x06", b"\xff\xfc\x06"
INTERRUPTS = {"IP": IP, "BRK": BRK, "SUSP": SUSP, "ABORT": ABORT, "EL": EL}
each_interrupt = pytest.mark.parametrize("interrupt", INTERRUPTS.values(), ids=INTERRUPTS)


# ---------------------------------------------------------------- options


@EVERY_WAY
def test_every_do_timing_mark_is_refused(session: ClientSession, sizes: tuple[int, ...]) -> None:
    sent = DO_TIMING_MARK + b"PING\r\n" + DO_TIMING_MARK + DO_TIMING_MARK + b"PING\r\n"
    expected = WONT_TIMING_MARK + b"PONG\r\n" + 2 * WONT_TIMING_MARK + b"PONG\r\n"
    assert feed(session, sent, *sizes) == expected


def test_every_other_option_is_refused_once(session: ClientSession) -> None:
    for option in (bytes([number]) for number in range(256) if number != 6):
        assert feed(session, IAC + DO + option) == IAC + WONT + option
        assert feed(session, IAC + WILL + option) == IAC + DONT + option
        again = IAC + DO + option + IAC + WILL + option + IAC + WONT + option + IAC + DONT + option
        assert feed(session, again + b"PING\r\n") == b"PONG\r\n"


def test_what_the_peer_refuses_is_not_replied_to(session: ClientSession) -> None:
    assert feed(session, IAC + WONT + b"\x01" + IAC + DONT + b"\x01" + b"PING\r\n") == b"PONG\r\n"


PUTTY_OFFERS = b"\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18\xff\xfb\x27\xff\xfd\x01\xff\xfb\x03\xff\xfd\x03"
"""What PuTTY 0.78 sends when it connects (`plink -telnet`)."""

PUTTY_IS_REFUSED = b"\xff\xfe\x1f\xff\xfe\x20\xff\xfe\x18\xff\xfe\x27\xff\xfc\x01\xff\xfe\x03\xff\xfc\x03"
PUTTY_OFFERS_AGAIN = b"\xff\xfb\x24"
"""After NEW-ENVIRON was refused it offers the older variant of that option."""


@EVERY_WAY
def test_puttys_negotiation_is_refused_and_its_lines_are_requests(
    session: ClientSession, store: Store, sizes: tuple[int, ...]
) -> None:
    assert feed(session, PUTTY_OFFERS, *sizes) == PUTTY_IS_REFUSED
    assert feed(session, PUTTY_OFFERS_AGAIN, *sizes) == b"\xff\xfe\x24"
    assert feed(session, "SET k Übung\r\nGET k\r\n".encode(), *sizes) == "OK\r\nÜbung\r\n".encode()
    assert pairs(store) == [(b"k", "Übung".encode())]


def test_an_option_that_is_refused_is_no_request(session: ClientSession) -> None:
    assert feed(session, b"MULTI\r\n" + DO_TIMING_MARK + b"INCR n\r\n" + DO_TIMING_MARK + b"EXEC\r\n") == (
        b"OK\r\n" + WONT_TIMING_MARK + b"QUEUED\r\n" + WONT_TIMING_MARK + b"1) 1\r\n"
    )
    assert session.session.client.stats.errors == 0


def test_options_are_refused_while_replies_are_turned_off(session: ClientSession) -> None:
    assert feed(session, b"CLIENT REPLY OFF\nPING\n" + DO_TIMING_MARK + b"PING\n") == WONT_TIMING_MARK
    assert feed(session, b"CLIENT REPLY SKIP\n" + DO_TIMING_MARK + b"PING\nCLIENT REPLY ON\n") == (
        WONT_TIMING_MARK + b"OK\n"
    )


@EVERY_WAY
def test_a_subnegotiation_is_skipped(session: ClientSession, store: Store, sizes: tuple[int, ...]) -> None:
    inside = b"\x18\0SET evil 1\r\n\x7f\xff\xff\xff\xfd\x06\xff\x01*1\r\n"
    assert feed(session, b"SET k " + IAC + SB + inside + IAC + SE + b"v\r\n", *sizes) == b"OK\r\n"
    assert pairs(store) == [(b"k", b"v")]


@EVERY_WAY
def test_a_subnegotiation_has_a_bound(session: ClientSession, store: Store, sizes: tuple[int, ...]) -> None:
    longest = IAC + SB + b"x" * MAX_SUBNEGOTIATION
    assert feed(session, (longest + IAC + SE) * 2 + b"PING\r\n", *sizes) == b"PONG\r\n"
    reply = feed(session, longest + b"x" + IAC + SE + b"SET k v\r\n", *sizes)
    assert reply == b"(error) ERR Protocol error: a telnet subnegotiation is longer than 4096 bytes\n"
    assert session.closing
    assert len(store) == 0


# ---------------------------------------------------------------- commands


@EVERY_WAY
def test_are_you_there_is_replied_to(session: ClientSession, sizes: tuple[int, ...]) -> None:
    assert feed(session, b"PING a\r\nPI" + IAC + b"\xf6NG\r\n", *sizes) == b"a\r\n\r\n[Yes]\r\nPONG\r\n"


@EVERY_WAY
@pytest.mark.parametrize("code", [0xEC, 0xEF, 0xF0, 0xF1, 0xF2, 0xF5, 0xF9])
def test_commands_without_an_effect_are_skipped(session: ClientSession, code: int, sizes: tuple[int, ...]) -> None:
    """EOF, EOR, SE, NOP, Data Mark, Abort Output, Go Ahead."""
    command = IAC + bytes([code])
    sent = command + b"PI" + command + b"NG" + command + b"\r" + command + b"\n" + command
    assert feed(session, sent, *sizes) == b"PONG\r\n"


@EVERY_WAY
@each_interrupt
def test_an_interrupt_gives_up_the_unfinished_line(
    session: ClientSession, store: Store, interrupt: bytes, sizes: tuple[int, ...]
) -> None:
    sent = b"SET a 1\r\nSET evil '" + interrupt + b"SET b 2\r\n" + interrupt + b"PING\r\n"
    assert feed(session, sent, *sizes) == b"OK\r\nOK\r\nPONG\r\n"
    assert pairs(store) == [(b"a", b"1"), (b"b", b"2")]


@EVERY_WAY
@each_interrupt
def test_an_interrupt_ends_a_line_that_is_too_long(
    engine: EmbeddedEngine, interrupt: bytes, sizes: tuple[int, ...]
) -> None:
    session = new_session(engine, limits=Limits(max_line=10))
    reply = feed(session, b"x" * 20 + interrupt + b"PING\r\n", *sizes)
    assert reply == b"(error) ERR Protocol error: line longer than 10 bytes\nPONG\r\n"


@EVERY_WAY
@pytest.mark.parametrize("ending", [b"\r\n", b"\r\0"])
@pytest.mark.parametrize("end", [b"", b"\r\x08", b"x\x7f", b"\xe6" + BRK + b"\xac", b"\xff\xff\xff1"])
def test_a_line_that_is_too_long_is_skipped_to_its_end(
    engine: EmbeddedEngine, store: Store, end: bytes, ending: bytes, sizes: tuple[int, ...]
) -> None:
    session = new_session(engine, limits=Limits(max_line=10))
    reply = feed(session, b"x" * 20 + end + ending + b"PING\r\n", *sizes)
    assert reply == b"(error) ERR Protocol error: line longer than 10 bytes\nPONG\r\n"
    assert len(store) == 0


@pytest.mark.parametrize("begun", ["", "SET k Ü", "SET k 本", "SET k \xe0", "SET k \x83"])
def test_an_interrupt_after_a_whole_character_is_no_part_of_one(session: ClientSession, begun: str) -> None:
    encoded = begun.encode("latin-1") if begun.endswith(("\xe0", "\x83")) else begun.encode()
    assert feed(session, encoded + IP + b"PING\r\n") == b"PONG\r\n"


LETTERS = {
    "Ü": b"\xc3" + BRK + DO_TIMING_MARK,
    "Ú": b"\xc3" + SUSP + DO_TIMING_MARK,
    "Ã": b"\xc3" + IP + DO_TIMING_MARK,
    "М": b"\xd0" + BRK + DO_TIMING_MARK,
    "Џ": b"\xd0\xff\xf5" + DO_TIMING_MARK,
    "本": b"\xe6" + BRK + DO_TIMING_MARK + b"\xac",
    "烜": b"\xe7\x83" + BRK + DO_TIMING_MARK,
    "Ü with ABORT": b"\xc3" + ABORT + DO_TIMING_MARK,
    "\U0001f71c": b"\xf0\x9f" + BRK + DO_TIMING_MARK + BRK + DO_TIMING_MARK,
}
"""Letters, and what the telnet of inetutils sends for them (2.4, observed)."""


@EVERY_WAY
@pytest.mark.parametrize(("letter", "sent"), LETTERS.items(), ids=LETTERS)
def test_a_letter_that_telnet_takes_for_a_key_arrives_whole(
    session: ClientSession, store: Store, letter: str, sent: bytes, sizes: tuple[int, ...]
) -> None:
    reply = feed(session, b"SET k a" + sent + b"z\r\n", *sizes)
    assert reply.replace(WONT_TIMING_MARK, b"") == b"OK\r\n"
    assert reply.count(WONT_TIMING_MARK) == sent.count(DO_TIMING_MARK)
    assert pairs(store) == [(b"k", f"a{letter[0]}z".encode())]


# ---------------------------------------------------------------- the byte 0xFF


@EVERY_WAY
def test_an_escaped_iac_in_a_line_is_a_byte_of_the_argument(
    session: ClientSession, store: Store, sizes: tuple[int, ...]
) -> None:
    assert feed(session, b"SET k a\xff\xff\xff\xffb\r\n", *sizes) == b"OK\r\n"
    assert pairs(store) == [(b"k", b"a\xff\xffb")]


@EVERY_WAY
@pytest.mark.parametrize("after", [b"1", b"\xc3\xbc", b"\r", b"", b"\xeb"])
def test_an_iac_without_a_command_in_a_line_costs_that_line(
    session: ClientSession, store: Store, after: bytes, sizes: tuple[int, ...]
) -> None:
    reply = feed(session, b"SET k \xff" + after + b"\nPING\n", *sizes)
    error = b'(error) ERR Protocol error: a line contains the byte 0xff without a telnet command; write "\\xff"\n'
    assert reply == error + b"PONG\n"
    assert len(store) == 0


def test_the_other_protocols_carry_every_byte(session: ClientSession, store: Store) -> None:
    value = IP + DO_TIMING_MARK + b"\x08\x7f\r\0"
    assert feed(session, encode_request([b"SET", b"k", value])) == b"+OK\r\n"
    assert pairs(store) == [(b"k", value)]


@EVERY_WAY
def test_commands_between_requests_of_other_protocols_are_read(session: ClientSession, sizes: tuple[int, ...]) -> None:
    ping = encode_request([b"PING"])
    sent = DO_TIMING_MARK + ping + DO_TIMING_MARK + ping + b"PING\n"
    assert feed(session, sent, *sizes) == (WONT_TIMING_MARK + b"+PONG\r\n") * 2 + b"PONG\n"


# ---------------------------------------------------------------- keys


@EVERY_WAY
def test_cr_nul_ends_a_line(session: ClientSession, sizes: tuple[int, ...]) -> None:
    assert feed(session, b"PING a\r\0\r\0PING b\r\0PING c\nPING d\r\n", *sizes) == b"a\r\nb\r\nc\nd\r\n"


def test_cr_nul_may_be_followed_by_any_protocol(session: ClientSession) -> None:
    frame = b'\0\0\0\x13{"command": "PING"}'
    assert feed(session, b"PING\r\0*1\r\n$4\r\nPING\r\nPING\r\0" + frame).startswith(b"PONG\r\n+PONG\r\nPONG\r\n\0\0\0")


@pytest.mark.parametrize(
    ("typed", "echoed"),
    [
        ("ECHO abX*c", "abc"),
        ("ECHO abXY**c", "abc"),
        ("ECHO aü*b", "ab"),
        ("ECHO a本*b", "ab"),
        ("ECHO a\U0001f511*b", "ab"),
        ("PIMG**NG", "PONG"),
        ("***PING", "PONG"),
        ("X*****PING", "PONG"),
        ("#*PING", "PONG"),
        ("ECHO '*\"*a", "a"),
    ],
)
def test_a_key_deletes_the_character_before_it(session: ClientSession, typed: str, echoed: str) -> None:
    for key, (way, sizes) in itertools.product([b"\x08", b"\x7f", EC], WAYS.items()):
        with case(key, way):
            sent = typed.encode().replace(b"*", key)
            assert feed(session, sent + b"\r\n", *sizes) == echoed.encode() + b"\r\n"


@EVERY_WAY
def test_a_key_deletes_nothing_of_a_request_before_the_line(session: ClientSession, sizes: tuple[int, ...]) -> None:
    assert feed(session, encode_request([b"PING"]) + b"\x7f\x08PING\n", *sizes) == b"+PONG\r\nPONG\n"


@EVERY_WAY
def test_a_key_deletes_nothing_of_a_line_that_has_ended(session: ClientSession, sizes: tuple[int, ...]) -> None:
    assert feed(session, b"PING a\r\n\x7f\x7f\x7fPING b\r\0\x08PING c\n", *sizes) == b"a\r\nb\r\nc\n"


@EVERY_WAY
def test_a_byte_that_is_no_utf_8_is_one_character(session: ClientSession, sizes: tuple[int, ...]) -> None:
    assert feed(session, b"ECHO a\xe9\x7fb\xc3\x08c\r\n", *sizes) == b"abc\r\n"


@EVERY_WAY
def test_a_line_that_is_shortened_before_it_exceeds_the_limit_is_read(
    engine: EmbeddedEngine, sizes: tuple[int, ...]
) -> None:
    session = new_session(engine, limits=Limits(max_line=10))
    assert feed(session, b"ECHO 12345\x7f\x7f67\x7f8\r\n", *sizes) == b"12368\r\n"
    assert feed(session, b"ECHO 1234567\x7f\x7f\r\n", *sizes).startswith(b"(error) ERR Protocol error: line longer")


def test_escapes_write_the_bytes_of_the_keys(session: ClientSession, store: Store) -> None:
    assert feed(session, b'SET k "\\b\\x7f\\xff"\n') == b"OK\n"
    assert pairs(store) == [(b"k", b"\x08\x7f\xff")]


@EVERY_WAY
@pytest.mark.parametrize("key", [b"\x03", b"\x15", b"\x1a", b"\x1c"], ids=["Ctrl-C", "Ctrl-U", "Ctrl-Z", "Ctrl-\\"])
def test_in_character_mode_a_key_gives_up_what_is_before_it(
    session: ClientSession, key: bytes, sizes: tuple[int, ...]
) -> None:
    sent = b"SET evil" + key + b"PIN" + key + b"PING a\r\0" + key + b"\r\0SET evil" + key + b"\x7f\x7fPING b\r\0"
    assert feed(session, sent, *sizes) == b"a\r\nb\r\n"


def test_in_other_lines_such_a_key_is_a_byte_of_the_argument(session: ClientSession, store: Store) -> None:
    assert feed(session, b"SET k a\x03b\r\n") == b"OK\r\n"
    assert pairs(store) == [(b"k", b"a\x03b")]
