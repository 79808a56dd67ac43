"""The golden transcripts, played through a session without a connection, byte for byte."""

from __future__ import annotations

import pytest

from tests.harness.sessions import ClientSession, feed, load_transcripts, parse_transcript

TRANSCRIPTS = [pytest.param(exchanges, id=name) for name, exchanges in load_transcripts()]


@pytest.mark.parametrize("sizes", [(), (1,), (3, 7)], ids=["in one piece", "byte by byte", "in odd pieces"])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("exchanges", TRANSCRIPTS)
def test_a_transcript_is_replied_to_to_the_byte(
    session: ClientSession, exchanges: list[tuple[str, str]], ending: bytes, sizes: tuple[int, ...]
) -> None:
    sent = b"".join(line.encode() + ending for line, _ in exchanges)
    expected = "".join(reply for _, reply in exchanges).encode().replace(b"\n", ending)
    assert feed(session, sent, *sizes) == expected
    assert not session.closing


@pytest.mark.parametrize("exchanges", TRANSCRIPTS)
def test_a_transcript_is_replied_to_line_by_line(session: ClientSession, exchanges: list[tuple[str, str]]) -> None:
    for line, reply in exchanges:
        assert (line, feed(session, f"{line}\n".encode()).decode()) == (line, reply)


def test_every_story_of_the_exercise_has_its_transcript() -> None:
    names = {name for name, _ in load_transcripts()}
    assert names >= {
        "story-1-set-get-del",
        "story-2-numbers-and-errors",
        "story-3-transactions",
        "story-4-compact",
        "text-protocol",
    }


def test_a_transcript_is_read_as_its_readme_says() -> None:
    text = "# a remark\n> COMPACT\n\n> EXEC\n1) a\n# another\n2) b\n> QUIT\n"
    assert parse_transcript(text) == [("COMPACT", "\n"), ("EXEC", "1) a\n2) b\n"), ("QUIT", "")]
