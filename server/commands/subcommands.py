"""Commands whose first argument names what they do: ``CLIENT ID``, ``OBJECT ENCODING key``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from common.errors import CommandError, unknown_subcommand, wrong_arity
from common.replies import Reply


class Subcommands:
    """A command's subcommands by name, in capitals. How many words one takes is what its function's parameters say."""

    def __init__(self, command: bytes, functions: Mapping[bytes, Callable[..., Reply]]) -> None:
        self._command = command
        self._functions = functions
        self._signatures = {name: inspect.signature(function) for name, function in functions.items()}

    def run(self, target: Any, name: bytes, *args: bytes) -> Reply:
        """Run one on the store or the session. Raises `CommandError` for an unknown one and a wrong number of words."""
        function = self._functions.get(name.upper())
        if function is None:
            raise CommandError(unknown_subcommand(self._command, name))
        try:
            self._signatures[name.upper()].bind(target, *args)
        except TypeError:
            raise CommandError(wrong_arity(self._command + b"|" + name)) from None
        return function(target, *args)
