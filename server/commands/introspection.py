"""COMMAND and HELP: describe the command table to programs and to people."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache

from common.codec import Args
from common.errors import (
    INVALID_COMMAND,
    INVALID_NUMBER_OF_ARGUMENTS,
    NO_KEY_ARGUMENTS,
    SYNTAX_ERROR,
    CommandError,
    no_such_command,
)
from common.replies import Lines, Reply, SimpleString
from common.set_reply import SetReply
from server.args.glob import matcher
from server.registry import CONTROL, ArityError, Command, CommandGroup, CommandTable, KeySpec
from server.registry.usage import Argument
from server.session.session import Session

group = CommandGroup("server", "connection")


@group.control(
    "HELP [command] [subcommand]",
    "List the commands, or describe one.",
    CONTROL,
    since="0.1.0",
    complexity="O(N) where N is the number of commands",
)
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


@group.control(
    "COMMAND",
    "Return a description of all commands, for programs.",
    CONTROL,
    since="2.8.13",
    complexity="O(N) where N is the number of commands",
)
def command_(session: Session) -> Reply:
    return _describe_all(session.context.commands)


@group.control("COMMAND COUNT", "Return the number of commands.", CONTROL, since="2.8.13")
def command_count(session: Session) -> Reply:
    return len(session.context.commands)


@group.control(
    "COMMAND LIST [FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
    "Return the names of the commands and subcommands.",
    CONTROL,
    since="7.0.0",
    complexity="O(N) where N is the number of commands",
)
def command_list(session: Session, *args: bytes) -> Reply:
    entries = [entry for each in session.context.commands for entry in (each, *each.subcommands.values())]
    match [arg.upper() for arg in args]:
        case []:
            pass
        case [b"FILTERBY", b"PATTERN", _]:
            matches = matcher(args[2].lower())
            entries = [each for each in entries if matches(each.name.lower())]
        # Redis returns nothing for a category or a module that does not exist, and no error. There are no modules.
        case [b"FILTERBY", b"ACLCAT", _]:
            category = args[2].lower().decode(errors="replace")
            entries = [each for each in entries if category in each.acl_categories]
        case [b"FILTERBY", b"MODULE", _]:
            entries = []
        case _:
            raise CommandError(SYNTAX_ERROR)
    return [each.name.lower() for each in entries]


@group.control(
    "COMMAND INFO [command-name ...]",
    "Return a description of commands, for programs.",
    CONTROL,
    since="2.8.13",
    complexity="O(N) where N is the number of commands to look up",
)
def command_info(session: Session, *names: bytes) -> Reply:
    commands = session.context.commands
    if not names:
        return _describe_all(commands)
    # A null for an unknown name, so that the elements correspond to the names.
    found = map(commands.find_subcommand, names)
    return [None if each is None else _describe(each) for each in found]


@group.control(
    "COMMAND DOCS [command-name ...]",
    "Return the documentation of commands.",
    CONTROL,
    since="7.0.0",
    complexity="O(N) where N is the number of commands to look up",
)
def command_docs(session: Session, *names: bytes) -> Reply:
    commands = session.context.commands
    found = map(commands.find_subcommand, names) if names else commands
    # A map, unlike COMMAND INFO, so an unknown name is left out, as in Redis.
    return {each.name.lower(): _document(each) for each in found if each is not None}


@group.control(
    "COMMAND GETKEYS command arg [arg ...]",
    "Return the keys of a request.",
    CONTROL,
    since="2.8.13",
    complexity="O(N) where N is the number of arguments",
)
def command_getkeys(session: Session, name: bytes, arg: bytes, *more: bytes) -> Reply:
    command, args = _with_keys(session.context.commands, [name, arg, *more])
    return [*command.keys.of(args)]


@group.control(
    "COMMAND GETKEYSANDFLAGS command arg [arg ...]",
    "Return the keys of a request, and what the command does with each.",
    CONTROL,
    since="7.0.0",
    complexity="O(N) where N is the number of arguments",
)
def command_getkeysandflags(session: Session, name: bytes, arg: bytes, *more: bytes) -> Reply:
    command, args = _with_keys(session.context.commands, [name, arg, *more])
    return [[key, _statuses(spec.flags_in(args).names)] for spec in command.key_specs for key in spec.of(args)]


def _with_keys(commands: CommandTable, args: Args) -> tuple[Command, Args]:
    """Return the command of a request that has keys, and the request. Raises `CommandError`."""
    # The order of `getKeysSubcommand`: the command, whether it has keys, the number of arguments.
    if commands.find(args[0]) is None:
        raise CommandError(INVALID_COMMAND)
    try:
        command = commands.resolve(args)
    except ArityError as problem:
        # `resolve` checks the number first, so a command without keys must be recognised here.
        error = INVALID_NUMBER_OF_ARGUMENTS if problem.command.keys.exist else NO_KEY_ARGUMENTS
        raise CommandError(error) from None
    except CommandError:  # an unknown subcommand
        raise CommandError(INVALID_COMMAND) from None
    if not command.keys.exist:
        raise CommandError(NO_KEY_ARGUMENTS)
    return command, args


@lru_cache(maxsize=1)
def _describe_all(commands: CommandTable) -> list[Reply]:
    return [_describe(each) for each in commands]


# Made once: the description of a command takes 2 KiB, and a request can ask for it a million times.
@cache
def _describe(command: Command) -> Reply:
    """Describe a command in the form of Redis's COMMAND INFO. The tips, which are for proxies, are empty."""
    # Ten elements, as since Redis 7. Older clients read the first six.
    keys = command.keys
    flags = _statuses(command.flag_names)
    categories = _statuses(f"@{category}" for category in command.acl_categories)
    specs: list[Reply] = [_describe_keys(each) for each in command.key_specs]
    subcommands = [_describe(each) for each in command.subcommands.values()]
    name = command.name.lower()
    return [name, command.arity, flags, keys.first, keys.last, keys.step, categories, [], specs, subcommands]


def _statuses(names: Iterable[str]) -> SetReply:
    return SetReply(SimpleString(name.encode()) for name in names)


def _describe_keys(keys: KeySpec) -> Reply:
    last = keys.last - keys.first if keys.last > 0 else keys.last  # relative to the first one, unless from the end
    by_range: Reply = {b"type": b"range", b"spec": {b"lastkey": last, b"keystep": keys.step, b"limit": 0}}
    by_count: Reply = {b"type": b"keynum", b"spec": {b"keynumidx": 0, b"firstkey": 1, b"keystep": 1}}
    return {
        b"flags": _statuses(keys.flags.names),
        b"begin_search": {b"type": b"index", b"spec": {b"index": keys.count_at or keys.first}},
        b"find_keys": by_count if keys.count_at else by_range,
    }


@cache
def _document(command: Command) -> dict[bytes, Reply]:
    """Document a command in the form of Redis's COMMAND DOCS, with its usage line in addition."""
    document: dict[bytes, Reply] = {
        b"summary": command.summary,
        b"since": command.since,
        b"group": command.group.encode(),
        b"complexity": command.complexity,
        b"usage": command.usage,  # what kvline's client composes hints from
    }
    if command.arguments:
        document[b"arguments"] = [_document_argument(each) for each in command.arguments]
    if command.subcommands:
        document[b"subcommands"] = {each.name.lower(): _document(each) for each in command.subcommands.values()}
    return {name: value for name, value in document.items() if value != b""}


def _document_argument(argument: Argument) -> Reply:
    document: dict[bytes, Reply] = {b"name": argument.name.encode(), b"type": argument.type.encode()}
    if argument.key_spec_index is not None:
        document[b"key_spec_index"] = argument.key_spec_index
    if argument.token:
        document[b"token"] = argument.token.encode()
    flags = [flag for flag, is_set in (("optional", argument.optional), ("multiple", argument.multiple)) if is_set]
    if flags:
        document[b"flags"] = _statuses(flags)
    if argument.arguments:
        document[b"arguments"] = [_document_argument(each) for each in argument.arguments]
    return document
