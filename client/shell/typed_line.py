"""What was typed at the prompt: a command, and perhaps a shell command that gets its reply."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from common.codec import Args
from common.text_args import COMMENT, UnbalancedQuotes, split_args

_PIPE = re.compile(r"""(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\'|\\)*')|(?P<pipe>(?<=[ \t])\|[ \t]+\S)""")
"""Text in quotes, or a pipe: a bar after a blank, with something after it."""

_AUTH_COMMANDS = {"AUTH", "MIGRATE"}
_SECRET_PARAMETERS = {"REQUIREPASS", "MASTERAUTH", "TLS-KEY-FILE-PASS", "TLS-CLIENT-KEY-FILE-PASS"}


class TypedLine(NamedTuple):
    """A line that was typed. ``args`` is empty for an empty line and a comment, and None if a quote is not closed."""

    command: bytes
    args: Args | None
    shell_command: str

    @property
    def name(self) -> str:
        """The command's name in capitals."""
        return self.args[0].decode(errors="replace").upper() if self.args else ""


def parse_line(line: str) -> TypedLine:
    """Parse a line. Bytes that are not UTF-8 are surrogates in it."""
    command, shell_command = line, ""
    for match in _PIPE.finditer(line):
        if match["pipe"]:
            command, shell_command = line[: match.start()], line[match.start() + 1 :].strip()
            break
    data = os.fsencode(command)
    if data.startswith(COMMENT):
        return TypedLine(b"", [], "")
    try:
        return TypedLine(data, split_args(data), shell_command)
    except UnbalancedQuotes:
        return TypedLine(data, None, shell_command)


def contains_secret(line: str) -> bool:
    """Return whether a line contains a password, and must not be stored in the history."""
    match [each.strip("\"'") for each in line.upper().split()]:
        case [name, *_] if name in _AUTH_COMMANDS:
            return True
        case ["HELLO", *options]:
            return "AUTH" in options
        case ["CONFIG", "SET", *parameters]:
            return not _SECRET_PARAMETERS.isdisjoint(parameters)
        case ["ACL", "SETUSER", *_]:
            return True
    return False
