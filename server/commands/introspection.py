"""COMMAND and HELP: what the server can do, told to programs and to people, all of it read from the command table."""

from __future__ import annotations

from collections.abc import Iterable

from common.errors import (
    INVALID_COMMAND,
    INVALID_NUMBER_OF_ARGUMENTS,
    NO_KEY_ARGUMENTS,
    SYNTAX_ERROR,
    CommandError,
    no_such_command,
)
from common.replies import Lines, Reply, SimpleString
from server.args.glob import matcher
from server.commands.subcommands import Subcommands
from server.registry import Command, CommandGroup
from server.session.session import Session

group = CommandGroup("server")


@group.session("HELP [command]", "List the commands, or tell about one.")
def help_(session: Session, name: bytes | None = None) -> Reply:
    commands = session.context.commands
    if name is not None:
        command = commands.find(name)
        if command is None:
            raise CommandError(no_such_command(name))
        return Lines([command.usage, b"  " + command.summary])
    width = max(len(command.name) for command in commands)
    return Lines([command.name.ljust(width) + b"  " + command.summary for command in commands])


@group.session(
    "COMMAND [COUNT | LIST | INFO | DOCS | GETKEYS | HELP] [argument ...]", "Describe the commands to a program."
)
def command_(session: Session, subcommand: bytes | None = None, *args: bytes) -> Reply:
    if subcommand is None:
        return list(map(_describe, session.context.commands))
    return _SUBCOMMANDS.run(session, subcommand, *args)


def _help(session: Session) -> Reply:
    return Lines(
        [
            b"COMMAND: every command with its number of words, its flags and where its keys stand.",
            b"COMMAND COUNT: how many commands there are.",
            b"COMMAND LIST [FILTERBY PATTERN pattern | ACLCAT category | MODULE name]: their names.",
            b"COMMAND INFO [command ...]: as COMMAND, of some.",
            b"COMMAND DOCS [command ...]: their usage and summary.",
            b"COMMAND GETKEYS command [argument ...]: the keys in a command.",
        ]
    )


def _count(session: Session) -> Reply:
    return len(session.context.commands)


def _list(session: Session, *args: bytes) -> Reply:
    names: Iterable[bytes] = (each.name.lower() for each in session.context.commands)
    match [arg.upper() for arg in args]:
        case []:
            return list(names)
        case [b"FILTERBY", b"PATTERN", _]:
            matches = matcher(args[2].lower())
            return [name for name in names if matches(name)]
        case [b"FILTERBY", b"ACLCAT" | b"MODULE", _]:
            return []
    raise CommandError(SYNTAX_ERROR)


def _info(session: Session, *names: bytes) -> Reply:
    commands = session.context.commands
    if not names:
        return list(map(_describe, commands))
    found = map(commands.find, names)
    return [None if each is None else _describe(each) for each in found]


def _docs(session: Session, *names: bytes) -> Reply:
    commands = session.context.commands
    found = map(commands.find, names) if names else commands
    return {each.name.lower(): _document(each) for each in found if each is not None}


def _get_keys(session: Session, name: bytes, arg: bytes, *more: bytes) -> Reply:
    args = [name, arg, *more]
    command = session.context.commands.find(name)
    if command is None:
        raise CommandError(INVALID_COMMAND)
    if not command.keys.first:
        raise CommandError(NO_KEY_ARGUMENTS)
    if not command.fewest <= len(args) <= command.most:
        raise CommandError(INVALID_NUMBER_OF_ARGUMENTS)
    return list(command.keys.of(args))


_SUBCOMMANDS = Subcommands(
    b"COMMAND",
    {
        b"HELP": _help,
        b"COUNT": _count,
        b"LIST": _list,
        b"INFO": _info,
        b"DOCS": _docs,
        b"GETKEYS": _get_keys,
    },
)


def _describe(command: Command) -> Reply:
    """Describe a command in the form and order of Redis's COMMAND."""
    keys = command.keys
    flags: list[Reply] = [SimpleString(flag.encode()) for flag in command.flags]
    return [command.name.lower(), command.arity, flags, keys.first, keys.last, keys.step, [], [], [], []]


def _document(command: Command) -> Reply:
    """Document a command in the form of Redis's COMMAND DOCS, its usage line beside the fields that Redis has."""
    return {b"summary": command.summary, b"group": command.group.encode(), b"usage": command.usage}
