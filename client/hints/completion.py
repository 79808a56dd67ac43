"""Hints (the arguments that may follow a line) and completions (of the argument before the cursor).

``usages`` maps each command's name, in capitals, to its usage line.
"""

from __future__ import annotations

from collections.abc import Mapping

from client.hints.usage import Elements, elements_after, next_tokens, parse_usage, render
from common.text import UnbalancedQuotes, split_args

BLANKS = " \t"

_COMMAND_NAME_ARGUMENTS = {"command", "command-name"}
"""Arguments that are the name of a command, as usage lines call them: kvline's HELP, Redis's COMMAND INFO."""


def hint(usages: Mapping[str, str], line: str) -> str:
    """Return the arguments that may follow the line, in the form in which they are shown after it.

    The last argument counts as complete even if no blank follows it yet. The hint is empty inside quotes, after an
    unknown command, and after an argument that the command does not accept.
    """
    args = _split(line)
    elements = _elements_after(usages, args) if args else None
    text = _render(usages, args, elements) if args and elements else ""
    return f" {text}" if text and line[-1] not in BLANKS else text


def _render(usages: Mapping[str, str], args: list[str], elements: Elements) -> str:
    """Print the rest of a usage line. After the command's name alone it is the text that the server sent."""
    return usages[args[0].upper()].partition(" ")[2] if len(args) == 1 else render(elements)


def completions(usages: Mapping[str, str], before: str) -> list[str]:
    """Return every completion of the argument that ends at the cursor. ``before`` is the text before the cursor.

    Completed are the command's name, its keywords and subcommands, and arguments that are the name of a command. They
    are in capitals unless the beginning was typed in lower case.
    """
    start = max(before.rfind(blank) for blank in BLANKS) + 1
    unfinished = before[start:]
    args = _split(before[:start])
    matches = sorted(each for each in _candidates(usages, args) if each.startswith(unfinished.upper()))
    return [each.lower() for each in matches] if unfinished.islower() else matches


def _candidates(usages: Mapping[str, str], args: list[str] | None) -> set[str]:
    if args is None:  # inside quotes every text is a value
        return set()
    if not args:
        return set(usages)
    # Keywords alone. The name of any other argument represents a value that only the user knows.
    possible = list(next_tokens(_elements_after(usages, args) or ()))
    keywords = {token.text for token in possible if token.is_keyword}
    return keywords.union(usages) if any(token.text in _COMMAND_NAME_ARGUMENTS for token in possible) else keywords


def _split(line: str) -> list[str] | None:
    """Split a line into arguments. Return None if a quote is not closed."""
    try:
        # With the rules of the server, so that a hint never disagrees with what the server will read.
        args = split_args(line.encode("utf-8", "surrogateescape"))
    except UnbalancedQuotes:
        return None
    return [arg.decode("utf-8", "surrogateescape") for arg in args]


def _elements_after(usages: Mapping[str, str], args: list[str]) -> Elements | None:
    """Return what may follow these arguments, the first of which is the command's name."""
    usage = usages.get(args[0].upper())
    elements = None if usage is None else parse_usage(usage)
    for arg in args[1:]:
        if elements is None:
            return None
        elements = elements_after(elements, arg)
    return elements
