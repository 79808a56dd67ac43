"""The optional parts of the server, and how their absence is told."""

from __future__ import annotations


class MissingExtra(Exception):
    """A package is not installed that what was asked for needs."""

    def __init__(self, option: str, extra: str, problem: ImportError) -> None:
        super().__init__(f"{option} needs the extra {extra!r} ({problem}): pip install '.[{extra}]' in its folder")
