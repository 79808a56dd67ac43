"""Hooks of mkdocs (mkdocs.yml). They adapt the documents, which are written for the checkout, to the site."""

from __future__ import annotations

import re

LINK_OUT_OF_DOCS = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\)")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace links to files outside docs/ by their text, because the site does not contain these files."""
    return LINK_OUT_OF_DOCS.sub(r"\1", markdown)
