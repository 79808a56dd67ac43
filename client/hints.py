"""What a person who types a command is told: the arguments that are still to come, and how a word may be completed.

Nothing here knows a terminal. ``usages`` maps each command's name, in capitals, to its usage line.
"""

from __future__ import annotations

from collections.abc import Mapping

from client.usage import Arguments, arguments_after, next_words, parse_usage, render
from common.text import UnbalancedQuotes, split_args

BLANKS = " \t"

_NAMES_OF_COMMANDS = {"command", "command-name"}
"""What usage lines call an argument that is itself the name of a command: kvline's HELP and Redis's COMMAND INFO."""


def hint(usages: Mapping[str, str], line: str) -> str:
    """Return the arguments that may still follow the line, to be shown right behind it.

    A word counts as typed even if no blank follows it yet. There is no hint inside quotes, for a name that is not
    known, and where a word can't stand.
    """
    args = _words(line)
    arguments = _arguments_after(usages, args) if args else None
    text = _as_text(usages, args, arguments) if args and arguments else ""
    return f" {text}" if text and line[-1] not in BLANKS else text


def _as_text(usages: Mapping[str, str], args: list[str], arguments: Arguments) -> str:
    """Print what is left of the arguments; nothing taken away yet means just as the server wrote them."""
    return usages[args[0].upper()].partition(" ")[2] if len(args) == 1 else render(arguments)


def completions(usages: Mapping[str, str], before: str) -> list[str]:
    """Return every word that the last, unfinished one before the cursor may become.

    A name stands first; behind it stand its keywords, and names again where the command asks for one. Words come in
    capitals unless the beginning was typed without.
    """
    start = max(before.rfind(blank) for blank in BLANKS) + 1
    unfinished = before[start:]
    args = _words(before[:start])
    matches = sorted(each for each in _candidates(usages, args) if each.startswith(unfinished.upper()))
    return [each.lower() for each in matches] if unfinished.islower() else matches


def _candidates(usages: Mapping[str, str], args: list[str] | None) -> set[str]:
    if args is None:
        return set()
    if not args:
        return set(usages)
    possible = list(next_words(_arguments_after(usages, args) or ()))
    keywords = {word.text for word in possible if word.is_keyword}
    return keywords.union(usages) if any(word.text in _NAMES_OF_COMMANDS for word in possible) else keywords


def _words(line: str) -> list[str] | None:
    """Split a line into words; return None where a quote is open."""
    try:
        args = split_args(line.encode("utf-8", "surrogateescape"))
    except UnbalancedQuotes:
        return None
    return [word.decode("utf-8", "surrogateescape") for word in args]


def _arguments_after(usages: Mapping[str, str], args: list[str]) -> Arguments | None:
    """Return what may follow these words, the first of which names the command."""
    usage = usages.get(args[0].upper())
    arguments = None if usage is None else parse_usage(usage)
    for word in args[1:]:
        if arguments is None:
            return None
        arguments = arguments_after(arguments, word)
    return arguments
