"""What may help after a command that the server refused: a similar name, or the usage line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from client.hints.command_docs import CommandDocument
from client.hints.usage import elements_after, is_complete, parse_usage


def find_document(documents: Mapping[str, CommandDocument], args: Sequence[str]) -> CommandDocument | None:
    """Return the document of the command or subcommand that these arguments begin with."""
    names = [arg.upper() for arg in args[:2]]
    return documents.get(" ".join(names)) or documents.get(names[0])


def advice(documents: Mapping[str, CommandDocument], args: Sequence[bytes]) -> str:
    """Return a remark for a refused request. Empty if its name is known and its arguments fit the usage line."""
    texts = [arg.decode("utf-8", "surrogateescape") for arg in args]
    if not documents or not texts[0]:
        return ""
    document = find_document(documents, texts)
    if document is None:
        similar = similar_names(documents, texts[0])
        return f"did you mean {similar[0]}? HELP lists the commands" if similar else ""
    if document.subcommands:
        names = [each.rpartition(" ")[2] for each in document.subcommands]
        similar = similar_names(names, texts[1]) if len(texts) > 1 else []
        return f"did you mean {document.name} {similar[0]}?" if similar else f"usage: {document.name} <subcommand>"
    elements = parse_usage(document.usage, document.name.count(" ") + 1)
    for arg in texts[document.name.count(" ") + 1 :]:
        if (rest := elements_after(elements, arg)) is None:
            return f"usage: {document.usage}"
        elements = rest
    return "" if is_complete(elements) else f"usage: {document.usage}"


def similar_names(names: Sequence[str] | Mapping[str, object], typed: str) -> list[str]:
    """Return the names that resemble what was typed, the most similar first."""
    from difflib import get_close_matches  # noqa: PLC0415  # takes 5 ms, and is needed after errors only

    similar = get_close_matches(typed.upper(), [name for name in names if " " not in name], n=3)
    # Exchanged letters are the most frequent mistake: GTE is GET and not GETEX.
    return sorted(similar, key=lambda name: sorted(name) != sorted(typed.upper()))
