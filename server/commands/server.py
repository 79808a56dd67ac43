"""Commands about the server: what it can do, in three forms, all made from the command table."""

from __future__ import annotations

from common.replies import Block, Reply, Status
from server.errors import CommandError, no_such_command, unknown_subcommand
from server.registry import Command, Group
from server.session import Session

group = Group("server")


@group.session("HELP [command]", "List the commands, or tell about one.")
def help_(session: Session, name: bytes | None = None) -> Reply:
    if name is not None:
        command = session.commands.find(name)
        if command is None:
            raise CommandError(no_such_command(name))
        return Block([command.usage, b"  " + command.summary])
    width = max(len(command.usage) for command in session.commands)
    return Block([command.usage.ljust(width) + b"  " + command.summary for command in session.commands])


@group.session("COMMAND [COUNT | DOCS [command ...]]", "Describe the commands to a program.")
def command_(session: Session, subcommand: bytes | None = None, *names: bytes) -> Reply:
    if subcommand is None:
        return [_describe(each) for each in session.commands]
    match subcommand.upper():
        case b"COUNT" if not names:
            return len(session.commands)
        case b"DOCS":
            found = map(session.commands.find, names) if names else session.commands
            return {each.name.lower(): _document(each) for each in found if each is not None}
    raise CommandError(unknown_subcommand(b"COMMAND", subcommand))


def _describe(command: Command) -> Reply:
    """Describe a command in the form and order of Redis's COMMAND."""
    keys = command.keys
    flags: list[Reply] = [Status(flag.encode()) for flag in command.flags]
    return [command.name.lower(), command.arity, flags, keys.first, keys.last, keys.step, [], [], [], []]


def _document(command: Command) -> Reply:
    """Document a command in the form of Redis's COMMAND DOCS, its usage line beside the fields that Redis has."""
    return {b"summary": command.summary, b"group": command.group.encode(), b"usage": command.usage}
