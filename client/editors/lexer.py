"""The colours of a line while it is typed. It needs prompt_toolkit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer

_PART = re.compile(r"""[ \t]+|"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[^ \t"']+""")


class CommandLexer(Lexer):
    """Distinguishes the command's name (known or not), its keywords, and text in quotes."""

    def __init__(self, usages: Mapping[str, str]) -> None:
        self._usages = usages

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """Return the function that styles a line of the document."""
        lines = document.lines
        return lambda number: self._style(lines[number]) if number < len(lines) else []

    def _style(self, line: str) -> StyleAndTextTuples:
        styled: StyleAndTextTuples = []
        keywords: frozenset[str] | None = None
        for part in _PART.findall(line):
            style = ""
            if part[0] in "\"'":
                style = "class:quoted"
            elif part.isspace():
                pass
            elif keywords is None:
                usage = self._usages.get(part.upper())
                style = "class:unknown" if usage is None else "class:command"
                keywords = _keywords(usage or "")
            elif part.upper() in keywords:
                style = "class:keyword"
            styled.append((style, part))
        return styled


@lru_cache(maxsize=1024)  # because the line is drawn again after each key
def _keywords(usage: str) -> frozenset[str]:
    """Return every keyword of a usage line."""
    return frozenset(re.findall(r"[A-Z][A-Z0-9-]*", usage.partition(" ")[2]))
