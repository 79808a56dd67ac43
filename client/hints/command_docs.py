"""Read a server's documentation of its commands from its reply to COMMAND DOCS.

kvline sends a usage line per command. Redis describes each argument in a map, from which the line is composed here, in
the notation of Redis's documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from common.replies import Reply, SimpleString
from common.text import printable


@dataclass(frozen=True, slots=True)
class CommandDocument:
    """What a server says about a command or a subcommand. Each text is one line, and empty if the server has none."""

    name: str
    """In capitals. That of a subcommand begins with its container's: ``CLIENT KILL``."""

    usage: str
    summary: str
    group: str
    since: str
    complexity: str
    arguments: tuple[tuple[str, str], ...]
    """The names of arguments and their types, such as ``("seconds", "integer")``, as far as they are documented."""

    subcommands: tuple[str, ...]


def documents(reply: Reply) -> dict[str, CommandDocument]:
    """Map the names of commands and subcommands, in capitals, to their documents. Empty if the server sent none."""
    found: dict[str, CommandDocument] = {}
    for name, document in _pairs(reply):
        _add(found, _text(name).upper(), document)
    return found


def usage_lines(found: Mapping[str, CommandDocument]) -> dict[str, str]:
    """Map the names of commands, without subcommands, to their usage lines."""
    return {name: document.usage for name, document in found.items() if " " not in name}


def _add(found: dict[str, CommandDocument], name: str, document: Reply) -> None:
    """Add the document of a command, and those of its subcommands."""
    fields = dict(_pairs(document))
    subcommands = {f"{name} {part}": inner for part, inner in _named(dict(_pairs(fields.get(b"subcommands"))))}
    found[name] = CommandDocument(
        name,
        f"{name} {_arguments(document, name)}".rstrip(),
        _text(fields.get(b"summary")),
        _text(fields.get(b"group")),
        _text(fields.get(b"since")),
        _text(fields.get(b"complexity")),
        tuple(dict.fromkeys(_typed_arguments(fields))),
        tuple(subcommands),
    )
    for each, inner in subcommands.items():
        _add(found, each, inner)


def _pairs(reply: Reply) -> Iterator[tuple[bytes, Reply]]:
    """Yield the pairs of a map, which RESP2 has as an array."""
    if isinstance(reply, dict):
        yield from reply.items()
    elif isinstance(reply, list):
        for name, value in zip(reply[::2], reply[1::2], strict=False):
            if isinstance(name, bytes):
                yield name, value


def _last_part(name: bytes) -> str:
    """Return a subcommand's own name in capitals. Redis's name for it is ``client|list``."""
    return _text(name).rpartition("|")[2].upper()


def _arguments(document: Reply, name: str) -> str:
    """Print the arguments of a command. Empty if the server does not document them."""
    fields = dict(_pairs(document))
    if b"usage" in fields:  # kvline: the line as the command table has it
        return _text(fields[b"usage"]).removeprefix(name).lstrip()
    subcommands = dict(_pairs(fields.get(b"subcommands")))
    if subcommands:  # before the arguments: a container of Redis has none of its own
        parts = (f"{part} {_arguments(each, f'{name} {part}')}".rstrip() for part, each in _named(subcommands))
        return f"<{' | '.join(parts)}>"
    return " ".join(map(_argument, _described(fields)))


def _named(subcommands: Mapping[bytes, Reply]) -> Iterator[tuple[str, Reply]]:
    return ((_last_part(name), document) for name, document in subcommands.items())


def _described(fields: Mapping[bytes, Reply]) -> Iterator[dict[bytes, Reply]]:
    """Yield the maps under ``arguments``, of a command or of an argument that consists of several."""
    arguments = fields.get(b"arguments")
    for each in arguments if isinstance(arguments, list) else ():
        if pairs := dict(_pairs(each)):
            yield pairs


def _typed_arguments(fields: Mapping[bytes, Reply]) -> Iterator[tuple[str, str]]:
    """Yield the name and the type of each value that the arguments contain."""
    for argument in _described(fields):
        kind = _text(argument.get(b"type"))
        if kind in ("oneof", "block"):
            yield from _typed_arguments(argument)
        elif kind != "pure-token":
            yield _text(argument.get(b"display_text") or argument.get(b"name")), kind


def _argument(argument: dict[bytes, Reply]) -> str:
    """Print one argument with its brackets."""
    flags = argument.get(b"flags")
    known = set(map(_text, flags)) if isinstance(flags, list) else set()
    token = _text(argument.get(b"token"))
    parts = list(map(_argument, _described(argument)))
    kind = _text(argument.get(b"type"))
    # The types of arguments are those of Redis's COMMAND DOCS. Any other type is a value, shown by its name.
    if kind == "oneof":
        # Brackets are not doubled: an optional choice without a keyword gets its square brackets below.
        value = " | ".join(parts) if "optional" in known and not token else f"<{' | '.join(parts)}>"
    elif kind == "block":
        value = " ".join(parts)
    elif kind == "pure-token":
        value = ""
    else:
        value = _text(argument.get(b"display_text") or argument.get(b"name"))
    whole = f"{token} {value}".strip()
    # With multiple_token the keyword is repeated with each value, as GET is in SORT.
    if "multiple" in known:
        whole += f" [{whole if 'multiple_token' in known else value} ...]"
    return f"[{whole}]" if "optional" in known else whole


def _text(value: Reply) -> str:
    """Return a string that the server sent, on one line. Empty if the value is not a string."""
    # A server may send names and flags as simple or as bulk strings. Redis sends flags as simple strings.
    data = value.text if isinstance(value, SimpleString) else value
    # Printable, because all of this is shown at the terminal.
    if not isinstance(data, bytes):
        return ""
    return printable(" ".join(data.decode(errors="replace").split()).encode()).decode()
