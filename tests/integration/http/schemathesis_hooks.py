"""What the run of schemathesis does to the cases that it makes; loaded by it, by the name in its environment."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from zlib import crc32

import schemathesis

from server.commands import COMMANDS

NAMES = sorted(command.name.decode() for command in COMMANDS if command.name != b"SHUTDOWN")
"""Random words are no commands, so commands get the names of real ones; but not of the one that ends the server."""


def with_a_name(command: Any) -> Any:
    """Give a command the name of a real one, always the same for the same command; leave alone what is no command."""
    if not isinstance(command, list) or not command or isinstance(command[0], list | dict):
        return command
    return [NAMES[crc32(repr(command).encode()) % len(NAMES)], *command[1:]]


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Let commands in bodies be known to the server."""
    match context.operation.path:
        case "/":
            return with_a_name(body)
        case "/pipeline" | "/multi-exec":
            return list(map(with_a_name, body)) if isinstance(body, list) else body
    return body


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    """Let commands in paths be known to the server."""
    if path_parameters and isinstance(args := path_parameters.get("args"), str):
        path_parameters["args"] = quote(str(with_a_name([args])[0]))
    return path_parameters


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Leave out what ends the server, as it should."""
    return "SHUTDOWN" not in f"{case.path_parameters} {case.body}".upper()
