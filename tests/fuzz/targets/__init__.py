"""The fuzz targets, one module each.

A module has a function ``check(data)``, which raises an exception if a property does not hold for this input, and
``TOKENS``, byte strings that have a meaning in the protocol. What ``check`` does depends on ``data`` alone, so that a
stored input reproduces a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

SEEDS = Path(__file__).parents[1] / "seeds"

NAMES = (
    "resp",
    "text",
    "json_frames",
    "json_values",
    "dump_payload",
    "detection",
    "session",
    "http",
    "client_replies",
    "backend_replies",
)
"""In the order in which `make fuzz` runs them."""


@dataclass(frozen=True, slots=True)
class Target:
    """A property to fuzz. ``check`` raises an exception if an input violates it."""

    name: str
    check: Callable[[bytes], None]
    tokens: Sequence[bytes]

    @property
    def seeds(self) -> list[Path]:
        """The kept inputs, in the order of their names."""
        return sorted((SEEDS / self.name).iterdir())


def load(name: str) -> Target:
    """Import a target. Raises ModuleNotFoundError if a package of an extra is missing."""
    module = import_module(f"{__name__}.{name}")
    return Target(name, module.check, module.TOKENS)
