"""The command table: finds the entry of a request. It adds HELP to each command that has subcommands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from common.codec import Args
from common.errors import CommandError, unknown_command, unknown_subcommand
from common.replies import Lines
from server.registry.command import CONTROL, ArityError, Command
from server.registry.group import CommandGroup
from server.registry.keys import NO_KEYS


class CommandTable:
    """Every command of the server. Immutable after construction, so safe to use from any thread.

    Raises `ValueError` if two commands have the same name.
    """

    def __init__(self, groups: Iterable[CommandGroup]) -> None:
        entries = sorted((each for group in groups for each in group.commands), key=lambda each: each.name)
        self._commands: dict[bytes, Command] = {}
        subcommands: dict[bytes, dict[bytes, Command]] = {}
        for entry in entries:
            container, _, name = entry.name.partition(b"|")
            table = subcommands.setdefault(container, {}) if name else self._commands
            # A second entry would silently replace the first, in the order of the modules' imports.
            if table.setdefault(name or container, entry) is not entry:
                raise ValueError(f"two commands are called {entry.name!r}")
        for container, children in subcommands.items():
            self._commands[container] = _with_subcommands(self._commands[container], children)
        lower = {name.lower(): command for name, command in self._commands.items()}
        self.by_common_case = self._commands | lower
        """The two common spellings of each name, so that the usual lookup is one access to a dict."""

    def find(self, name: bytes) -> Command | None:
        """Return the command of that name, in any case, or None."""
        return self.by_common_case.get(name) or self._commands.get(name.upper())

    def find_subcommand(self, name: bytes) -> Command | None:
        """Return a command or, for a name such as ``client|kill``, a subcommand, in any case, or None."""
        container, _, subcommand = name.partition(b"|")
        command = self.find(container)
        if command is None or not subcommand:
            return command
        return command.subcommands.get(subcommand.upper())

    def resolve(self, args: Args) -> Command:
        """Return the command or subcommand that a request runs.

        Raises `ArityError` for a wrong number of arguments, and `CommandError` for an unknown command or subcommand.
        """
        command = self.find(args[0])
        if command is None:
            raise CommandError(unknown_command(args))
        if command.subcommands and len(args) > 1:
            subcommand = command.subcommands.get(args[1].upper())
            if subcommand is None:
                raise CommandError(unknown_subcommand(command.name, args[1]))
            command = subcommand
        # After the subcommand: its arity counts, and Redis's error names it (`client|kill`).
        if not command.min_args <= len(args) <= command.max_args:
            raise ArityError(command)
        return command

    def __iter__(self) -> Iterator[Command]:
        """Iterate over the commands by name, without subcommands."""
        return iter(self._commands.values())

    def __len__(self) -> int:
        return len(self._commands)


# ---------------------------------------------------------------- subcommands


def _with_subcommands(container: Command, children: dict[bytes, Command]) -> Command:
    """Return the container with its subcommands, with HELP among them, and with a usage line that shows them."""
    help_ = _help_command(container, children.values())
    children = dict(sorted((children | {b"HELP": help_}).items()))
    takes_none = container.max_args == 1  # COMMAND can also be sent alone
    usages = b" | ".join(child.usage.split(b" ", 1)[1] for child in children.values())
    usage = (b"%b [%b]" if takes_none else b"%b <%b>") % (container.name, usages)
    return replace(container, usage=usage, subcommands=children)


def _help_command(container: Command, children: Iterable[Command]) -> Command:
    """Make the HELP subcommand of a container, in the form of Redis's."""
    lines = [b"%b <subcommand> [<arg> [value] [opt] ...]. Subcommands are:" % container.name]
    for child in sorted(children, key=lambda each: each.name):
        lines += [child.usage.split(b" ", 1)[1], b"    " + child.summary]
    lines += [b"HELP", b"    Print this help."]
    return Command(
        name=container.name + b"|HELP",
        usage=container.name + b" HELP",
        summary=b"Print this help.",
        group=container.group,
        flags=CONTROL,
        keys=NO_KEYS,
        key_specs=(),
        targets_keyspace=False,
        min_args=2,
        max_args=2,
        run=lambda *_: Lines(lines),
        complexity=b"O(1)",
        categories=next(iter(children)).categories,
    )
