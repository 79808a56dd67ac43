"""The golden transcripts, byte for byte: over a socket, through the client, and through the client without a server."""

from __future__ import annotations

import pytest

from tests.harness.processes import ServerProcess, run_client
from tests.harness.sessions import load_transcripts

TRANSCRIPTS = load_transcripts()

each_transcript = pytest.mark.parametrize(
    "exchanges", [exchanges for _, exchanges in TRANSCRIPTS], ids=[name for name, _ in TRANSCRIPTS]
)
each_line_break = pytest.mark.parametrize("line_break", ["\n", "\r\n"], ids=["LF", "CRLF"])


def test_there_are_transcripts() -> None:
    assert TRANSCRIPTS


@each_line_break
@each_transcript
def test_a_transcript_is_held_line_by_line(
    server: ServerProcess, exchanges: list[tuple[str, str]], line_break: str
) -> None:
    peer = server.connect()
    for line, reply in exchanges:
        peer.send((line + line_break).encode())
        expected = reply.replace("\n", line_break).encode()
        assert peer.receive(len(expected)) == expected, line
    peer.finish_sending()
    assert peer.rest() == b""


@each_line_break
@each_transcript
def test_a_transcript_is_held_when_it_is_sent_in_one_piece(
    server: ServerProcess, exchanges: list[tuple[str, str]], line_break: str
) -> None:
    peer = server.connect()
    peer.send("".join(line + line_break for line, _ in exchanges).encode())
    peer.finish_sending()
    assert peer.rest() == "".join(reply for _, reply in exchanges).replace("\n", line_break).encode()


@pytest.mark.parametrize("where", ["socket", "--local"])
@each_transcript
def test_a_transcript_is_held_through_the_client(
    server: ServerProcess, exchanges: list[tuple[str, str]], where: str
) -> None:
    options = ["--local"] if where == "--local" else ["--port", str(server.port)]
    ended = run_client(*options, lines="".join(f"{line}\n" for line, _ in exchanges).encode())
    assert ended.stdout == "".join(reply for _, reply in exchanges).encode()
    has_error = any(reply.startswith("(error)") for _, reply in exchanges)
    assert ended.returncode == has_error
    assert bool(ended.stderr) == has_error
