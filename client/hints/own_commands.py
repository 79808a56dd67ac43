"""The commands that the prompt itself executes, and does not send."""

from __future__ import annotations

from collections.abc import Mapping

OWN_COMMANDS: Mapping[str, tuple[str, str]] = {
    "EXIT": ("EXIT", "end the client"),
    "HELP": ("HELP [command | @group]", "this help"),
    "PEEK": ("PEEK key", "type, size, expiry and the beginning of a value"),
}
"""By name: the usage line, and a summary."""

OWN_USAGES = {name: usage for name, (usage, _) in OWN_COMMANDS.items()}
