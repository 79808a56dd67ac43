"""Optional dependencies of the server."""

from __future__ import annotations


class MissingExtra(Exception):
    """An optional dependency of an enabled feature is not installed."""

    def __init__(self, option: str, extra: str, problem: ImportError) -> None:
        super().__init__(
            f"{option} needs the extra {extra!r} ({problem}): "
            f"install it with pip install '.[{extra}]' in the folder of kvline"
        )


def explain_import_error(option: str, extra: str, problem: ImportError) -> Exception:
    """Return what to raise for a failed import: the error itself if a module of this project is to blame."""
    package = (problem.name or "").partition(".")[0]
    return problem if package in ("common", "server") else MissingExtra(option, extra, problem)
