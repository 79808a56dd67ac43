"""What is printed can be typed back, whatever bytes it holds."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from common.text import UnbalancedQuotes, command_line, quote, split_words
from tests.property.strategies import requests, words


@given(requests)
def test_any_words_survive_being_printed_and_split(drawn: list[bytes]) -> None:
    assert split_words(command_line(drawn)) == drawn


@given(words | st.text(max_size=12).map(str.encode))
def test_a_printed_word_is_one_printable_line(word: bytes) -> None:
    printed = quote(word).decode()
    assert printed.isprintable()
    assert printed
    assert printed[0] != "("


@given(words | st.text(max_size=12).map(str.encode))
def test_a_printed_word_is_bare_exactly_where_the_rule_says_so(word: bytes) -> None:
    try:
        text = word.decode()
    except UnicodeDecodeError:
        bare = False
    else:
        bare = text.isprintable() and text != "" and text[0] != "(" and not set(text) & set(" \"'")
    assert (quote(word) == word) == bare


@given(st.lists(st.sampled_from([b"a", b" ", b"\t", b'"', b"'", b"\\", b"x41", b"\xff"]), max_size=20).map(b"".join))
def test_any_line_is_split_or_refused_and_what_is_split_can_be_printed_again(line: bytes) -> None:
    with contextlib.suppress(UnbalancedQuotes):
        found = split_words(line)
        assert split_words(command_line(found)) == found
        assert split_words(b" \t" + line + b"\t ") == found
