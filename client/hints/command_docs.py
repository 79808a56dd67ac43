"""Read usage lines from a server's reply to COMMAND DOCS.

kvline sends a usage line per command. Redis describes each argument in a map, from which the line is composed here, in
the notation of Redis's documentation.
"""

from __future__ import annotations

from collections.abc import Iterator

from common.replies import Reply, SimpleString


def usage_lines(documents: Reply) -> dict[str, str]:
    """Map each command's name, in capitals, to its usage line. Empty if the server sent no documents."""
    if not isinstance(documents, dict):
        return {}
    names = {name: _text(name).upper() for name in documents}
    return {names[name]: f"{names[name]} {_arguments(each)}".rstrip() for name, each in documents.items()}


def _arguments(document: Reply) -> str:
    """Print the arguments of a command. Empty if the server does not document them."""
    if not isinstance(document, dict):
        return ""
    if b"usage" in document:  # kvline: the line as the command table has it
        return _text(document[b"usage"]).partition(" ")[2]
    subcommands = document.get(b"subcommands")
    if isinstance(subcommands, dict):  # before the arguments: a container of Redis has none of its own
        return f"<{' | '.join(_subcommand(name, each) for name, each in subcommands.items())}>"
    return " ".join(map(_argument, _described(document)))


def _subcommand(name: bytes, document: Reply) -> str:
    """Print a subcommand and its arguments. Redis's name for it is ``client|list``."""
    return f"{_text(name).rpartition('|')[2].upper()} {_arguments(document)}".rstrip()


def _described(document: dict[bytes, Reply]) -> Iterator[dict[bytes, Reply]]:
    """Yield the maps under ``arguments``, of a command or of an argument that consists of several."""
    arguments = document.get(b"arguments")
    return (each for each in arguments if isinstance(each, dict)) if isinstance(arguments, list) else iter(())


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
    return " ".join(data.decode(errors="replace").split()) if isinstance(data, bytes) else ""
