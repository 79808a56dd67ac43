"""COMMAND and HELP: describe the command table to programs and to people."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache

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
from server.registry import CONTROL, ArityError, Command, CommandGroup, CommandTable
from server.session.session import Session

group = CommandGroup("server")


@group.control("HELP [command] [subcommand]", "List the commands, or describe one.", CONTROL)
def help_(session: Session, name: bytes | None = None, subcommand: bytes | None = None) -> Reply:
    commands = session.context.commands
    # A command of kvline, for people at a terminal: one column of names, so that the summaries align.
    if name is None:
        width = max(len(command.name) for command in commands)
        return Lines([command.name.ljust(width) + b"  " + command.summary for command in commands])
    full_name = name if subcommand is None else b"%b|%b" % (name, subcommand)
    command = commands.find_subcommand(full_name)
    if command is None:
        raise CommandError(no_such_command(full_name.replace(b"|", b" ")))
    if not command.subcommands:
        return Lines([command.usage, b"  " + command.summary])
    lines = [b"%b <subcommand> [<arg> [value] [opt] ...]" % command.name, b"  " + command.summary]
    for each in command.subcommands.values():
        lines += [each.usage, b"  " + each.summary]
    return Lines(lines)


@group.control("COMMAND", "Return a description of all commands, for programs.", CONTROL)
def command_(session: Session) -> Reply:
    return _describe_all(session.context.commands)


@group.control("COMMAND COUNT", "Return the number of commands.", CONTROL)
def command_count(session: Session) -> Reply:
    return len(session.context.commands)


@group.control(
    "COMMAND LIST [FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
    "Return the names of the commands.",
    CONTROL,
)
def command_list(session: Session, *args: bytes) -> Reply:
    names: Iterable[bytes] = (each.name.lower() for each in session.context.commands)
    match [arg.upper() for arg in args]:
        case []:
            return list(names)
        case [b"FILTERBY", b"PATTERN", _]:
            matches = matcher(args[2].lower())
            return [name for name in names if matches(name)]
        # There are no modules and no ACL categories. Redis returns nothing for those that do not exist, and no error.
        case [b"FILTERBY", b"ACLCAT" | b"MODULE", _]:
            return []
    raise CommandError(SYNTAX_ERROR)


@group.control("COMMAND INFO [command-name ...]", "Return a description of commands, for programs.", CONTROL)
def command_info(session: Session, *names: bytes) -> Reply:
    commands = session.context.commands
    if not names:
        return _describe_all(commands)
    # A null for an unknown name, so that the elements correspond to the names.
    found = map(commands.find_subcommand, names)
    return [None if each is None else _describe(each) for each in found]


@group.control("COMMAND DOCS [command-name ...]", "Return the documentation of commands.", CONTROL)
def command_docs(session: Session, *names: bytes) -> Reply:
    commands = session.context.commands
    found = map(commands.find_subcommand, names) if names else commands
    # A map, unlike COMMAND INFO, so an unknown name is left out, as in Redis.
    return {each.name.lower(): _document(each) for each in found if each is not None}


@group.control("COMMAND GETKEYS command arg [arg ...]", "Return the keys of a request.", CONTROL)
def command_getkeys(session: Session, name: bytes, arg: bytes, *more: bytes) -> Reply:
    args = [name, arg, *more]
    commands = session.context.commands
    # The order of `getKeysSubcommand`: the command, whether it has keys, the number of arguments.
    if commands.find(name) is None:
        raise CommandError(INVALID_COMMAND)
    try:
        command = commands.resolve(args)
    except ArityError as problem:
        # `resolve` checks the number first, so a command without keys must be recognised here.
        error = INVALID_NUMBER_OF_ARGUMENTS if problem.command.keys.first else NO_KEY_ARGUMENTS
        raise CommandError(error) from None
    except CommandError:  # an unknown subcommand
        raise CommandError(INVALID_COMMAND) from None
    if not command.keys.first:
        raise CommandError(NO_KEY_ARGUMENTS)
    return [*command.keys.of(args)]


@lru_cache(maxsize=1)
def _describe_all(commands: CommandTable) -> list[Reply]:
    return [_describe(each) for each in commands]


# Made once: the description of a command takes 2 KiB, and a request can ask for it a million times.
@cache
def _describe(command: Command) -> Reply:
    """Describe a command in the form of Redis's COMMAND INFO. ACL categories, tips and key specs are empty."""
    # Ten elements, as since Redis 7. Older clients read the first six.
    keys = command.keys
    flags: list[Reply] = [SimpleString(name.encode()) for name in command.flag_names]
    subcommands = [_describe(each) for each in command.subcommands.values()]
    name = command.name.lower()
    return [name, command.arity, flags, keys.first, keys.last, keys.step, [], [], [], subcommands]


@cache
def _document(command: Command) -> dict[bytes, Reply]:
    """Document a command in the form of Redis's COMMAND DOCS, with its usage line in addition."""
    document: dict[bytes, Reply] = {
        b"summary": command.summary,
        b"group": command.group.encode(),
        b"usage": command.usage,  # what the client composes hints from; Redis has a tree of arguments instead
    }
    if command.subcommands:
        document[b"subcommands"] = {each.name.lower(): _document(each) for each in command.subcommands.values()}
    return document
