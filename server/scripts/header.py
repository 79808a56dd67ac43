"""The first line of a script: ``#!lua flags=no-writes,allow-oom``."""

from __future__ import annotations

from dataclasses import dataclass

from common.errors import (
    INVALID_SHEBANG,
    INVALID_SHEBANG_ENGINE,
    CommandError,
    unexpected_engine,
    unexpected_script_flag,
    unknown_shebang_option,
)

FLAGS = frozenset({b"no-writes", b"allow-oom", b"allow-stale", b"no-cluster", b"allow-cross-slot-keys"})
"""All flags of Redis 7.0. Only the first two change anything here."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a script says about itself. ``flags`` are None for one without this line, as before Redis 7."""

    body: bytes
    """The script without the text of the line, so that its other lines keep their numbers."""

    flags: frozenset[bytes] | None

    def has(self, flag: bytes) -> bool:
        """Return whether a flag is set."""
        return self.flags is not None and flag in self.flags


def parse_header(script: bytes) -> Header:
    """Split a script. Raises `CommandError`."""
    if not script.startswith(b"#!"):
        return Header(script, None)
    line, newline, _ = script.partition(b"\n")
    if not newline:
        raise CommandError(INVALID_SHEBANG)
    parts = line.split()
    if not parts:
        raise CommandError(INVALID_SHEBANG_ENGINE)
    if parts[0] != b"#!lua":
        raise CommandError(unexpected_engine(parts[0]))
    flags: set[bytes] = set()
    for part in parts[1:]:
        name, equals, value = part.partition(b"=")
        if name != b"flags" or not equals:
            raise CommandError(unknown_shebang_option(part))
        for flag in value.split(b",") if value else ():
            if flag not in FLAGS:
                raise CommandError(unexpected_script_flag(flag))
            flags.add(flag)
    return Header(script[len(line) :], frozenset(flags))
