"""docs/operations.md names every setting, and README.md every option."""

from __future__ import annotations

from scripts.settings_table import OPERATIONS, operations_with, settings_table
from server.settings import SETTINGS
from tests.harness.processes import ROOT


def test_its_table_of_settings_is_that_of_the_server() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    assert text == operations_with(settings_table()), "run: python -m scripts.settings_table"


def test_what_has_a_name_in_config_alone_is_mentioned_too() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    assert [entry.config for entry in SETTINGS if not entry.option and entry.config not in text] == []


def test_the_readme_or_a_document_that_it_names_has_every_option() -> None:
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/proxy.md"))
    assert [entry.option for entry in SETTINGS if entry.option and entry.option not in text] == []
