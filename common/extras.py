"""Optional dependencies of the server and of the client."""

from __future__ import annotations

from common.program import install_command


class MissingExtra(Exception):
    """An optional dependency of an enabled feature is not installed."""

    def __init__(self, option: str, extra: str, problem: ImportError) -> None:
        super().__init__(f"{option} needs the extra {extra!r} ({problem}): install it with {install_command(extra)}")


def explain_import_error(option: str, extra: str, problem: ImportError) -> Exception:
    """Return what to raise for a failed import: the error itself if a module of this project is to blame."""
    package = (problem.name or "").partition(".")[0]
    return problem if package in ("client", "common", "server", "kvline") else MissingExtra(option, extra, problem)
