"""Splitting lines into arguments, and printing arguments so that they can be typed back."""

from __future__ import annotations

import pytest

from common.text import format_command, quote
from common.text_args import UnbalancedQuotes, split_args


@pytest.mark.parametrize(
    ("line", "args"),
    [
        (rb"", []),
        (b" \t ", []),
        (rb"GET key", [b"GET", b"key"]),
        (b"\t GET \t key \t", [b"GET", b"key"]),
        (b' \t GET\t"k" \t', [b"GET", b"k"]),
        (rb'""', [b""]),
        (rb"''", [b""]),
        (rb"SET k ''", [b"SET", b"k", b""]),
        (rb'"two words"', [b"two words"]),
        (rb"'two words'", [b"two words"]),
        (rb'"\n\r\t\b\a\\\""', [b'\n\r\t\b\a\\"']),
        (rb'"\x00\xfF\x7f"', [b"\x00\xff\x7f"]),
        (rb'"\q\xg1\x1"', [b"qxg1x1"]),
        (b'"it\'s"', [b"it's"]),
        (rb"'say \'hi\''", [b"say 'hi'"]),
        (rb"'\n\x00\\ '", [rb"\n\x00\\ "]),
        (rb"""'"'""", [b'"']),
        (rb"C:\temp", [rb"C:\temp"]),
        (rb'C:\temp ""', [rb"C:\temp", b""]),
        (rb'pre"quoted part" x', [b"prequoted part", b"x"]),
        (rb"pre'quoted part'", [b"prequoted part"]),
        (b"a\xa0b \xc3\xab", [b"a\xa0b", b"\xc3\xab"]),
        (b"a\x0bb\rc", [b"a\x0bb\rc"]),
        (b'"a\rb"', [b"a\rb"]),
        (b'"\\\xff"', [b"\xff"]),
    ],
)
def test_a_line_is_split_into_arguments(line: bytes, args: list[bytes]) -> None:
    assert split_args(line) == args


@pytest.mark.parametrize(
    "line",
    [
        b'"',
        b"'",
        b'SET k "half open',
        b"SET k 'half open",
        b'"ends in a backslash\\"',
        b"'ends in a backslash\\'",
        b'"closed"amid a word',
        b"'closed'amid a word",
        b'"two""words"',
        b"\"two\"'words'",
        b"it's",
    ],
)
def test_a_quote_that_does_not_end_its_argument_is_unbalanced(line: bytes) -> None:
    with pytest.raises(UnbalancedQuotes):
        split_args(line)


@pytest.mark.parametrize(
    ("arg", "printed"),
    [
        (b"hello", "hello"),
        (b"-21", "-21"),
        (b"#tag", "#tag"),
        (b"a(b)", "a(b)"),
        (rb"C:\temp", r"C:\temp"),
        (b"", '""'),
        (b"(nil)", '"(nil)"'),
        (b"(", '"("'),
        (b"two words", '"two words"'),
        (b"it's", '"it\'s"'),
        (b'say "hi"', r'"say \"hi\""'),
        (rb"back\slash blank", r'"back\\slash blank"'),
        (b"\n\r\t\b\a", r'"\n\r\t\b\a"'),
        (b"\x00\x1b\x7f", r'"\x00\x1b\x7f"'),
        (b"\xff\xfe", r'"\xff\xfe"'),
        (b'\xff"\\ \n', r'"\xff\"\\ \n"'),
        ("Zoë".encode(), "Zoë"),
        ("Zoë Ö".encode(), '"Zoë Ö"'),
        ("(ë".encode(), '"(ë"'),
        ("ë\n".encode(), r'"ë\n"'),
        ("日本語".encode(), "日本語"),
        ("😀".encode(), "😀"),
        ("a\u00a0b".encode(), r'"a\xc2\xa0b"'),
        ("a\u2028b".encode(), r'"a\xe2\x80\xa8b"'),
        ("a\u202eb".encode(), r'"a\xe2\x80\xaeb"'),
        ("\ufeffb".encode(), r'"\xef\xbb\xbfb"'),
        ("ë".encode()[:1], r'"\xc3"'),
    ],
)
def test_an_argument_is_printed_bare_where_that_is_safe_and_quoted_where_not(arg: bytes, printed: str) -> None:
    assert quote(arg).decode() == printed
    assert split_args(quote(arg)) == [arg]


def test_every_single_byte_can_be_printed_and_typed_back() -> None:
    for arg in (bytes([byte]) for byte in range(256)):
        printed = quote(arg)
        assert split_args(printed) == [arg]
        assert printed.decode("ascii").isprintable()


def test_a_command_is_printed_as_a_line() -> None:
    assert format_command([b"SET", b"odd key", b"", b"x"]) == b'SET "odd key" "" x'
