"""Optional dependencies of the server."""

from __future__ import annotations


class MissingExtra(Exception):
    """An optional dependency of an enabled feature is not installed."""

    def __init__(self, option: str, extra: str, problem: ImportError) -> None:
        super().__init__(f"{option} needs the extra {extra!r} ({problem}): pip install '.[{extra}]' in its folder")
