"""The text dialect: one command a line, as people type it and read it.

Both halves stand here: ``split_args`` and ``TextDecoder`` read lines, ``quote`` and ``TextEncoder`` print replies. The
one rule between them: what is printed can be typed back, whatever bytes it holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from common.codec import Args, DecodedRequests, Encoder, ProtocolError, Request, protocol_error
from common.limits import DEFAULT_LIMITS, Limits
from common.replies import ErrorReply, Lines, NoReply, NullArray, Reply, SimpleString

# ---------------------------------------------------------------- words

# A word is a bare part, then perhaps a quoted one, which a blank or the line's end must follow (as in Redis's
# sdssplitargs). The quantifiers are possessive, so a quote that is never closed costs linear time.
_WORD = re.compile(
    rb"""([^ \t"']*+)(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"|'((?:[^'\\]|\\'|\\)*+)'|)(?=[ \t]|\Z)[ \t]*""",
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_NAMED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


class UnbalancedQuotes(ValueError):
    """A quote was opened and not closed, or closed in the middle of a word."""


UNBALANCED_QUOTES = protocol_error(b"unbalanced quotes in request", close_connection=False)
"""What a line that raises `UnbalancedQuotes` is answered, by the server and by the client alike."""


def split_args(line: bytes) -> Args:
    r"""Split a line into words, as a shell would: blanks separate, quotes keep together.

    ``"…"`` knows ``\n \r \t \b \a \\ \" \xHH``, and any other escaped byte stands for itself; ``'…'`` knows only
    ``\'``. Outside quotes a backslash is a byte like any other. Raises `UnbalancedQuotes`.

    >>> split_args(rb'SET "odd key" it\s "\x00\n"')
    [b'SET', b'odd key', b'it\\s', b'\x00\n']
    """
    if b'"' not in line and b"'" not in line:
        args = line.replace(b"\t", b" ").split(b" ")
        return [word for word in args if word] if b"" in args else args
    return list(_quoted_words(line.lstrip(b" \t")))


def _quoted_words(line: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(line):
        match = _WORD.match(line, at)
        if match is None:
            raise UnbalancedQuotes
        bare, double, single = match.groups()
        if double is not None:
            bare += _ESCAPE.sub(_unescape, double)
        elif single is not None:
            bare += single.replace(b"\\'", b"'")
        yield bare
        at = match.end()


def _unescape(match: re.Match[bytes]) -> bytes:
    digits, other = match.groups()
    return bytes.fromhex(digits.decode()) if digits else _NAMED.get(other, other)


# ---------------------------------------------------------------- quoting

_BARE_ASCII = re.compile(rb"[!#-&)-~][!#-&(-~]*")
_ESCAPED = {b'"': rb"\"", b"\\": rb"\\", b"\n": rb"\n", b"\r": rb"\r", b"\t": rb"\t", b"\b": rb"\b", b"\a": rb"\a"}
_NOT_PLAIN_BYTE = re.compile(rb'[^ -~]|["\\]')
_NOT_PLAIN_CHARACTER = re.compile(r'[^ -~]|["\\]')


def quote(word: bytes) -> bytes:
    r"""Print a word so that `split_args` reads the same bytes back: bare where that is safe, else in double quotes.

    >>> quote(b"hello"), quote(b"hello world"), quote(b"\xff\n")
    (b'hello', b'"hello world"', b'"\\xff\\n"')
    """
    if _BARE_ASCII.fullmatch(word) or _is_bare(word):
        return word
    return quote_always(word)


def quote_always(word: bytes) -> bytes:
    """Print a word in double quotes, whether it needs them or not."""
    try:
        text = word.decode()
    except UnicodeDecodeError:
        return b'"' + _NOT_PLAIN_BYTE.sub(_escape_byte, word) + b'"'
    return b'"' + _NOT_PLAIN_CHARACTER.sub(_escape_character, text).encode() + b'"'


def _is_bare(word: bytes) -> bool:
    """Tell whether a word that is not all ASCII needs no quotes. Blanks other than the space are not printable."""
    if word.isascii():
        return False
    try:
        text = word.decode()
    except UnicodeDecodeError:
        return False
    return text.isprintable() and not text.startswith("(") and not any(c in text for c in " \"'")


def _escape_byte(match: re.Match[bytes]) -> bytes:
    byte = match[0]
    return _ESCAPED.get(byte) or b"\\x%02x" % byte[0]


def _escape_character(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable() and character not in '"\\':
        return character
    return b"".join(_ESCAPED.get(byte) or b"\\x%02x" % byte[0] for byte in _single_bytes(character.encode())).decode()


def _single_bytes(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def format_command(args: Iterable[bytes]) -> bytes:
    """Print a command as a line that runs it when it is typed."""
    return b" ".join(map(quote, args))


# ---------------------------------------------------------------- replies

_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")

_SCALAR_FORMS: dict[type, Callable[[Any], bytes]] = {
    bytes: quote,
    int: lambda number: b"%d" % number,
    float: lambda number: b"%.17g" % number,
    bool: lambda truth: b"(true)" if truth else b"(false)",
    type(None): lambda _: b"(nil)",
    SimpleString: lambda status: status.text,
    NullArray: lambda _: b"(nil)",
    ErrorReply: lambda error: b"(error) " + error.text.translate(_LINE_BREAKS),
}


def reply_lines(reply: Reply, margin: bytes = b"") -> Iterator[bytes]:
    """Print a reply as lines without line breaks.

    The first line carries no margin, since it goes on where the caller's line stands (behind ``1) ``); the others do.
    """
    if isinstance(reply, Lines):
        yield from _block_lines(reply, margin)
    elif isinstance(reply, dict):
        yield from _array_lines((each for pair in reply.items() for each in pair), margin)
    elif isinstance(reply, list):
        yield from _array_lines(reply, margin)
    else:
        yield _SCALAR_FORMS[type(reply)](reply)


def _array_lines(items: Iterable[Reply], margin: bytes) -> Iterator[bytes]:
    number = 0
    for number, item in enumerate(items, 1):
        label = b"%d) " % number
        lead = label if number == 1 else margin + label
        for line in reply_lines(item, margin + b" " * len(label)):
            yield lead + line
            lead = b""
    if not number:
        yield b"(empty)"


def _block_lines(block: Lines, margin: bytes) -> Iterator[bytes]:
    lines = iter(block.lines)
    yield next(lines, b"")
    for line in lines:
        yield margin + line


class TextEncoder:
    """Print replies with one line break; it keeps no state, so one instance serves every connection."""

    def __init__(self, line_break: bytes) -> None:
        self._line_break = line_break
        self.scalars: Mapping[type, Callable[[Any], bytes]] = {
            NoReply: lambda _: b"",
            **{kind: _with_ending(form, line_break) for kind, form in _SCALAR_FORMS.items()},
        }

    def stream(self, reply: Reply) -> Iterator[bytes]:
        """Print any reply, a line a piece."""
        for line in reply_lines(reply):
            yield line + self._line_break


def _with_ending(form: Callable[[Any], bytes], ending: bytes) -> Callable[[Any], bytes]:
    return lambda reply: form(reply) + ending


ENDING_IN_LF = TextEncoder(b"\n")
ENDING_IN_CRLF = TextEncoder(b"\r\n")


# ---------------------------------------------------------------- requests

# A browser that was tricked into posting to this port sends these lines before the body that the attacker wrote.
_HTTP = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|TRACE|CONNECT|PRI) \S+ HTTP/\d|Host:", re.IGNORECASE)


class TextDecoder:
    """Cut a stream of bytes into lines and the lines into words.

    ``others`` are the first bytes by which other dialects are known: a request that begins with one is left alone.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS, others: bytes = b"") -> None:
        self._limits = limits
        self._others = others
        self._partial = bytearray()
        self._skipping = False

    def decode(self, data: bytes, at: int, batches: list[DecodedRequests]) -> tuple[bytes, int]:
        """Append the requests that ``data`` holds from ``at`` on; see `common.codec.Decoder`."""
        while at < len(data):
            if not self._partial and not self._skipping and data[at] in self._others:
                break
            end = data.find(b"\n", at)
            if end < 0:
                self._keep(data[at:], batches)
                return data, len(data)
            line = data[at:end]
            at = end + 1
            if self._skipping:
                self._skipping = False
                continue
            if self._partial:
                line = bytes(self._partial) + line
                self._partial.clear()
            request = self._request(line.removesuffix(b"\r"))
            if request:
                _append(request, ENDING_IN_CRLF if line.endswith(b"\r") else ENDING_IN_LF, batches)
            if isinstance(request, ProtocolError) and request.close_connection:
                break
        return data, at

    def _keep(self, part: bytes, batches: list[DecodedRequests]) -> None:
        """Keep a line's beginning; when it grows past the limit, refuse the line at once and skip to its end."""
        if self._skipping:
            return
        self._partial += part
        if len(self._partial) > self._limits.max_line + 1:  # the one may yet be the CR of a line break
            self._partial.clear()
            self._skipping = True
            batches.append((ENDING_IN_LF, [self._too_long()]))

    def _request(self, line: bytes) -> Request:
        if len(line) > self._limits.max_line:
            return self._too_long()
        if _HTTP.match(line):
            return protocol_error(b"this port does not speak HTTP", close_connection=True)
        try:
            args = split_args(line)
        except UnbalancedQuotes:
            return UNBALANCED_QUOTES
        if len(args) > self._limits.max_args:
            return protocol_error(b"too many words in request", close_connection=False)
        return args

    def _too_long(self) -> ProtocolError:
        return protocol_error(b"line longer than %d bytes" % self._limits.max_line, close_connection=False)


def _append(request: Request, encoder: Encoder, batches: list[DecodedRequests]) -> None:
    if batches and batches[-1][0] is encoder:
        batches[-1][1].append(request)
    else:
        batches.append((encoder, [request]))
