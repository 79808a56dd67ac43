"""Tools, batches and single commands of the client, with a session in this process."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from client.batch.run import Batch, BatchOptions
from client.render.forms import FORMS
from client.single_command import run_command
from client.tools.dump import dump
from tests.harness.local_client import exchange_lines, local_conversation


def test_a_dump_is_synced_before_it_replaces_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dump"
    path.write_text("earlier")
    partial = tmp_path / "dump.part"
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(f"{path.read_text()}, {partial.read_text()}"))
    conversation = local_conversation()
    exchange_lines(conversation, b"SET a 1")
    dump(conversation, None, str(path), io.BytesIO())
    assert synced == ["earlier, SET a 1\n"]
    assert path.read_text() == "SET a 1\n"


def test_quit_ends_a_command_that_is_repeated_without_end() -> None:
    output = io.BytesIO()
    assert run_command(local_conversation(), [b"QUIT"], output, FORMS["text"], repeat=0) == 0
    assert output.getvalue() == b"OK\n"


class Piece(bytes):
    """A part of the input that is not appended to what was read before."""

    def __radd__(self, before: bytes) -> bytes:
        raise AssertionError("a long line is copied for each piece of it")


class Pieces:
    """An input that arrives in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = [*pieces, b""]

    def fileno(self) -> int:
        raise NotImplementedError

    def read(self) -> bytes:
        return Piece(self._pieces.pop(0))


@pytest.mark.parametrize(
    ("pieces", "replies"),
    [
        ([b"SET a ", b"1", b"2\nGET", b" a\nECHO 3"], b"OK\n12\n3\n"),
        ([b"SET a 1\n", b"GET a\n"], b"OK\n1\n"),
        ([b"SET a 1\nNO", b"\nSET a 2\n"], b"OK\n(error) ERR unknown command 'NO', with args beginning with: \n"),
    ],
)
def test_a_batch_in_steps_reads_long_lines_in_linear_time(pieces: list[bytes], replies: bytes) -> None:
    output = io.BytesIO()
    options = BatchOptions(stop_on_error=True)
    Batch(local_conversation(), Pieces(*pieces), output, FORMS["text"], options).run()
    assert output.getvalue() == replies
