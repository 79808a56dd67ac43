"""The pages that HELP shows at a prompt, from the server's own documentation of its commands."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from client.hints.advice import find_document, similar_names
from client.hints.command_docs import CommandDocument
from client.hints.examples import EXAMPLES
from client.hints.own_commands import OWN_COMMANDS

WIDTH = 78
"""Columns of a help page."""

_PIPE = ("command | program", "pass a reply to a program: GET key | wc -c")


def help_page(documents: Mapping[str, CommandDocument], topic: Sequence[str]) -> str:
    """Return the page about a topic: nothing, ``@group``, or the name of a command or subcommand."""
    if not documents:
        return "the server does not document its commands (COMMAND DOCS)"
    if not topic:
        return _overview(documents)
    if topic[0].startswith("@"):
        return _group(documents, topic[0][1:].lower())
    document = find_document(documents, topic)
    if document is None:
        similar = similar_names(documents, topic[0])
        return f"there is no command {topic[0].upper()!r}" + (f"; similar: {', '.join(similar)}" if similar else "")
    return _command(documents, document)


def _groups(documents: Mapping[str, CommandDocument]) -> dict[str, list[CommandDocument]]:
    """Return the commands by group, both in alphabetical order. Subcommands are not among them."""
    groups: dict[str, list[CommandDocument]] = {}
    for name in sorted(documents):
        if " " not in name:
            groups.setdefault(documents[name].group or "other", []).append(documents[name])
    return dict(sorted(groups.items()))


def _overview(documents: Mapping[str, CommandDocument]) -> str:
    groups = _groups(documents)
    width = max(map(len, groups)) + 3
    lines = []
    for group, commands in groups.items():
        names = textwrap.wrap(" ".join(each.name for each in commands), WIDTH - width)
        lines += [
            f"{label:{width}}{text}" for label, text in zip([f"@{group}"] + [""] * len(names), names, strict=False)
        ]
    lines += ["", "HELP @group lists a group, HELP command explains a command. The client itself has:"]
    return "\n".join([*lines, *_table([*OWN_COMMANDS.values(), _PIPE])])


def _group(documents: Mapping[str, CommandDocument], name: str) -> str:
    groups = _groups(documents)
    if name not in groups:
        return f"there is no group {name!r}; there are {', '.join(groups)}"
    return "\n".join(_table((each.name, each.summary) for each in groups[name]))


def _command(documents: Mapping[str, CommandDocument], document: CommandDocument) -> str:
    rows = [("group", document.group), ("since", document.since), ("complexity", document.complexity)]
    rows.insert(0, ("arguments", ", ".join(f"{name} ({kind})" for name, kind in document.arguments)))
    returns, example = EXAMPLES.get(document.name, ("", ()))
    rows.append(("returns", returns))
    rows += [("example" if not number else "", line) for number, line in enumerate(example)]
    if document.subcommands:
        head = f"{document.name} <subcommand> [argument ...]"
        rows = [("group", document.group), *rows[2:3]]
    else:
        head = document.usage
    lines = [head, f"  {document.summary}"]
    if any(value for _, value in rows):
        lines += ["", *(f"  {label:12}{line}" for label, value in rows if value for line in [value])]
    if document.subcommands:
        subcommands = (documents[name] for name in document.subcommands)
        lines += ["", *_table((each.usage, each.summary) for each in subcommands)]
    return "\n".join(lines)


def _table(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Print names and their descriptions: in two columns, or below the name if that is long."""
    rows = list(rows)
    width = min(24, max((len(name) for name, _ in rows), default=0))
    return [
        f"  {name:{width}}  {text}" if len(name) <= width else f"  {name}\n  {'':{width}}  {text}"
        for name, text in rows
    ]
