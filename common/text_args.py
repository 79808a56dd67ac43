"""The arguments of a line of the text protocol. `common.text` prints them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from common.codec import Args

COMMENT = b"#"
"""A line that begins with this is a comment. It is ignored, as an empty line is."""

# An argument is a bare part, then perhaps a quoted one, after which a blank or the end of the line must follow (as in
# Redis's sdssplitargs). The quantifiers are possessive, so that a quote that is never closed costs linear time.
_ARGUMENT = re.compile(
    rb"""([^ \t"']*+)(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"|'((?:[^'\\]|\\'|\\)*+)'|)(?=[ \t]|\Z)[ \t]*""",
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_NAMED_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


class UnbalancedQuotes(ValueError):
    """Raised if a quote is opened and not closed, or closed in the middle of an argument."""


def split_args(line: bytes) -> Args:
    r"""Split a line into arguments, as a shell would: blanks separate, quotes keep together.

    ``"…"`` knows ``\n \r \t \b \a \\ \" \xHH``, and any other escaped byte is that byte. ``'…'`` knows only ``\'``.
    Outside quotes a backslash has no meaning. Raises `UnbalancedQuotes`.

    >>> split_args(rb'SET "odd key" it\s "\x00\n"')
    [b'SET', b'odd key', b'it\\s', b'\x00\n']
    """
    # The usual line has no quotes, and bytes.split gives the same arguments as the regular expression then.
    if b'"' not in line and b"'" not in line:
        args = line.replace(b"\t", b" ").split(b" ")
        return [arg for arg in args if arg] if b"" in args else args
    # `_ARGUMENT` skips the blanks after an argument. Those before the first one would be read as an empty argument.
    return list(_quoted_args(line.lstrip(b" \t")))


def _quoted_args(line: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(line):
        match = _ARGUMENT.match(line, at)
        if match is None:
            raise UnbalancedQuotes
        # Not None if the quotes were empty: "" is an argument, as in `sdssplitargs`.
        bare, double, single = match.groups()
        if double is not None:
            bare += _ESCAPE.sub(_unescape, double)
        elif single is not None:
            bare += single.replace(b"\\'", b"'")
        yield bare
        at = match.end()


def _unescape(match: re.Match[bytes]) -> bytes:
    digits, other = match.groups()
    return bytes.fromhex(digits.decode()) if digits else _NAMED_ESCAPES.get(other, other)
