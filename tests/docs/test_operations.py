"""docs/operations.md names every setting, and README.md no option that does not exist."""

from __future__ import annotations

import re

from scripts.settings_table import OPERATIONS, operations_with, settings_table
from server.settings import SETTINGS
from tests.harness.processes import ROOT


def test_the_table_of_settings_is_generated_from_the_settings() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    assert text == operations_with(settings_table()), "run: python -m scripts.settings_table"


def test_settings_without_an_option_are_mentioned_too() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    assert [entry.config for entry in SETTINGS if not entry.option and entry.config not in text] == []


def test_the_readme_names_no_option_that_does_not_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"--[a-z][a-z-]+", text))
    of_other_programs = {"--local", "--rm"}  # the client's, docker's
    assert named - of_other_programs <= {entry.option for entry in SETTINGS}
    assert "docs/operations.md" in text
