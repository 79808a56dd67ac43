"""Hints (the arguments that may follow a line) and completions (of the argument before the cursor).

``usages`` maps each command's name, in capitals, to its usage line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from client.hints.usage import Elements, Token, elements_after, next_tokens, parse_usage, render
from common.text_args import UnbalancedQuotes, split_args

BLANKS = " \t"

FindKeys = Callable[[str], list[str]]
"""Returns keys that begin with a text."""

_KEY_ARGUMENTS = {"key", "key1", "key2", "newkey", "source", "destination", "src", "dst"}
"""Arguments that are a key, as the usage lines of kvline and of Redis call them."""

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


def completions(usages: Mapping[str, str], before: str, find_keys: FindKeys | None = None) -> list[str]:
    """Return every completion of the argument that ends at the cursor. ``before`` is the text before the cursor.

    Completed are the command's name, its keywords and subcommands, arguments that are the name of a command, and keys.
    All but keys are in capitals unless the beginning was typed in lower case.
    """
    start = max(before.rfind(blank) for blank in BLANKS) + 1
    unfinished = before[start:]
    args = _split(before[:start])
    if args is None:  # inside quotes every text is a value
        return []
    possible = list(next_tokens(_elements_after(usages, args) or ())) if args else []
    candidates = _candidates(usages, possible) if args else set(usages)
    matches = sorted(each for each in candidates if each.startswith(unfinished.upper()))
    if unfinished.islower():
        matches = [each.lower() for each in matches]
    is_key = any(token.text in _KEY_ARGUMENTS for token in possible)
    return matches + (find_keys(unfinished) if find_keys is not None and is_key else [])


def _candidates(usages: Mapping[str, str], possible: list[Token]) -> set[str]:
    # Keywords alone. The name of any other argument represents a value that only the user knows.
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
