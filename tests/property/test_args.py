"""What is printed can be typed back, whatever bytes it holds."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from common.text import format_command, quote
from common.text_args import UnbalancedQuotes, split_args
from tests.property.strategies import args, requests


@given(requests)
def test_any_arguments_survive_being_printed_and_split(drawn: list[bytes]) -> None:
    assert split_args(format_command(drawn)) == drawn


@given(args | st.text(max_size=12).map(str.encode))
def test_a_printed_argument_is_one_printable_line(arg: bytes) -> None:
    printed = quote(arg).decode()
    assert printed.isprintable()
    assert printed
    assert printed[0] != "("


@given(args | st.text(max_size=12).map(str.encode))
def test_a_printed_argument_is_bare_exactly_where_the_rule_says_so(arg: bytes) -> None:
    try:
        text = arg.decode()
    except UnicodeDecodeError:
        bare = False
    else:
        bare = text.isprintable() and text != "" and text[0] != "(" and not set(text) & set(" \"'")
    assert (quote(arg) == arg) == bare


@given(st.lists(st.sampled_from([b"a", b" ", b"\t", b'"', b"'", b"\\", b"x41", b"\xff"]), max_size=20).map(b"".join))
def test_any_line_is_split_or_refused_and_what_is_split_can_be_printed_again(line: bytes) -> None:
    with contextlib.suppress(UnbalancedQuotes):
        found = split_args(line)
        assert split_args(format_command(found)) == found
        assert split_args(b" \t" + line + b"\t ") == found
