"""Tools and single commands of the client, with a session in this process."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

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
