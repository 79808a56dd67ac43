"""Hooks for schemathesis. It imports this module, which SCHEMATHESIS_HOOKS names."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from zlib import crc32

import schemathesis

from server.commands import COMMANDS

NAMES = sorted(command.name.decode() for command in COMMANDS if command.name != b"SHUTDOWN")
"""The command names that replace random ones, which the server would only reject. SHUTDOWN is not among them."""


def with_a_name(command: Any) -> Any:
    """Replace the name of a command by a real name, always by the same one. Return other values unchanged."""
    if not isinstance(command, list) or not command or isinstance(command[0], list | dict):
        return command
    return [NAMES[crc32(repr(command).encode()) % len(NAMES)], *command[1:]]


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Give the commands in a body names that the server knows."""
    match context.operation.path:
        case "/":
            return with_a_name(body)
        case "/pipeline" | "/multi-exec":
            return list(map(with_a_name, body)) if isinstance(body, list) else body
    return body


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    """Give the command in a path a name that the server knows."""
    if path_parameters and isinstance(args := path_parameters.get("args"), str):
        path_parameters["args"] = quote(str(with_a_name([args])[0]))
    return path_parameters


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Exclude requests with SHUTDOWN, because they stop the server.

    Also those with an unknown header, which schemathesis takes for invalid: a server ignores them (RFC 9110, 5.1).
    """
    if "x-schemathesis-unknown-property" in (case.headers or {}):
        return False
    return "SHUTDOWN" not in f"{case.path_parameters} {case.body}".upper()
