"""The text protocol: one command per line, as people type it and read it.

`split_args` and `TextDecoder` read lines, `quote` and `TextEncoder` print replies. One rule connects them: what is
printed can be typed back, whatever bytes it contains.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from common.codec import PIECE_SIZE, Args, DecodedRequests, Encoder, ProtocolError, Request
from common.errors import (
    NO_HTTP_HERE,
    NO_TLS_HERE,
    NUL_IN_LINE,
    TOO_MANY_ARGUMENTS,
    UNBALANCED_QUOTES,
    line_too_long,
)
from common.limits import DEFAULT_LIMITS, Limits
from common.replies import ErrorReply, Lines, NoReply, NullArray, Reply, SimpleString

# ---------------------------------------------------------------- arguments

# An argument is a bare part, then perhaps a quoted one, after which a blank or the end of the line must follow (as in
# Redis's sdssplitargs). The quantifiers are possessive, so that a quote that is never closed costs linear time.
_ARGUMENT = re.compile(
    rb"""([^ \t"']*+)(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"|'((?:[^'\\]|\\'|\\)*+)'|)(?=[ \t]|\Z)[ \t]*""",
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_NAMED_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


COMMENT = b"#"
"""Begins a line that is no request. Files of commands have such lines, and so does the durable log."""


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


# ---------------------------------------------------------------- quoting

# No blank, quote or control character. The first one is not "(" either: a stored "(nil)" must not look like a null,
# nor "(error) …" like an error.
_BARE_ASCII = re.compile(rb"[!#-&)-~][!#-&(-~]*")

_ESCAPED_BYTES = {byte: f"\\x{byte:02x}" for byte in range(256) if not 0x20 <= byte < 0x7F} | {
    ord('"'): r"\"",
    ord("\\"): r"\\",
    ord("\n"): r"\n",
    ord("\r"): r"\r",
    ord("\t"): r"\t",
    ord("\b"): r"\b",
    ord("\a"): r"\a",
}
"""A table for `str.translate`: the escape of every byte that is not printed as it is."""


class _EscapedCharacters(dict[int, str]):
    """The same for characters: control characters as above, others that are not printable by their UTF-8 bytes.

    A table and not a regular expression with a function per match: 50 MB of control characters took 208 seconds.
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character.isprintable():
            return character
        return "".join(f"\\x{byte:02x}" for byte in character.encode())


_ESCAPED_CHARACTERS = _EscapedCharacters({code: text for code, text in _ESCAPED_BYTES.items() if code < 0x80})


def quote(arg: bytes) -> bytes:
    r"""Print an argument so that `split_args` reads the same bytes back: bare if that is safe, else in double quotes.

    >>> quote(b"hello"), quote(b"hello world"), quote(b"\xff\n")
    (b'hello', b'"hello world"', b'"\\xff\\n"')
    """
    if _BARE_ASCII.fullmatch(arg) or _is_bare(arg):
        return arg
    return quote_always(arg)


def quote_always(arg: bytes) -> bytes:
    """Print an argument in double quotes, whether it needs them or not."""
    # One invalid byte makes the whole value binary: mixing both forms would print some bytes as text by chance.
    try:
        escaped = arg.decode().translate(_ESCAPED_CHARACTERS).encode()
    except UnicodeDecodeError:
        escaped = _escape_bytes(arg)
    return b'"%b"' % escaped


def quoted_pieces(value: bytes) -> Iterator[bytes]:
    """Print a large value as `quote` does, in pieces. The memory used does not depend on the value's size."""
    if _BARE_ASCII.fullmatch(value) or _is_bare(value):
        yield from _slices(value)
        return
    # UTF-8 is checked to the end first, because what has been printed cannot be taken back.
    yield b'"'
    if _is_utf8(value):
        for text in _decoded_pieces(value):
            yield text.translate(_ESCAPED_CHARACTERS).encode()
    else:
        yield from map(_escape_bytes, _slices(value))
    yield b'"'


def _slices(value: bytes) -> Iterator[bytes]:
    return (value[at : at + PIECE_SIZE] for at in range(0, len(value), PIECE_SIZE))


def _decoded_pieces(value: bytes) -> Iterator[str]:
    """Decode UTF-8 piece by piece. Raises `UnicodeDecodeError`."""
    # Incremental, because a piece may end in the middle of a character.
    decoder = codecs.getincrementaldecoder("utf-8")()
    for piece in _slices(value):
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)


def _is_utf8(value: bytes) -> bool:
    try:
        for _ in _decoded_pieces(value):
            pass
    except UnicodeDecodeError:
        return False
    return True


def _escape_bytes(value: bytes) -> bytes:
    # Latin-1 maps each byte to the character of the same number, so that str.translate can be used on bytes.
    return value.decode("latin-1").translate(_ESCAPED_BYTES).encode("ascii")


_NOT_BARE = re.compile(r"""[ "']""")


def _is_bare(arg: bytes) -> bool:
    """Return whether an argument that is not all ASCII needs no quotes. Blanks other than the space are unprintable."""
    if arg.isascii() or arg.startswith(b"("):
        return False
    try:
        return all(text.isprintable() and not _NOT_BARE.search(text) for text in _decoded_pieces(arg))
    except UnicodeDecodeError:
        return False


def format_command(args: Iterable[bytes]) -> bytes:
    """Print a command as a line that runs it when it is typed."""
    return b" ".join(map(quote, args))


# ---------------------------------------------------------------- replies

# One line per error, as in RESP. Otherwise an argument that an error repeats could add lines that look like replies.
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")

# By the exact type of the reply, because bool is a subclass of int.
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


class TextEncoder:
    """Print replies with one kind of line break. It has no state, so one instance serves every connection."""

    def __init__(self, line_break: bytes) -> None:
        self._line_break = line_break
        self.scalars: Mapping[type, Callable[[Any], bytes | None]] = {
            **{kind: _with_ending(form, line_break) for kind, form in _SCALAR_FORMS.items()},
            # Entries that override the forms: no line break for nothing, and None for what `stream` must cut.
            NoReply: lambda _: b"",
            bytes: lambda value: quote(value) + line_break if len(value) <= PIECE_SIZE else None,
        }

    def stream(self, reply: Reply) -> Iterator[bytes]:
        """Print any reply in pieces. See `common.codec.Encoder`."""
        if isinstance(reply, Lines):
            yield from self._lines(reply)
        else:
            yield from self._pieces(reply, b"")
            yield self._line_break

    def _lines(self, reply: Lines) -> Iterator[bytes]:
        """Print lines with a line break each, so that the error of a lazy reply that fails midway begins a new line."""
        # No lines are one empty line, so that every reply has a line and a person sees that it has arrived.
        lines = iter(reply.lines)
        yield next(lines, b"") + self._line_break
        for line in lines:
            yield line + self._line_break

    def _pieces(self, reply: Reply, margin: bytes) -> Iterator[bytes]:
        """Print a reply without its last line break. Lines after the first one begin with the margin."""
        if isinstance(reply, Lines):
            lines = iter(reply.lines)
            yield next(lines, b"")
            lead = self._line_break + margin
            for line in lines:
                yield lead + line
        elif isinstance(reply, dict):
            yield from self._items((each for pair in reply.items() for each in pair), margin)
        elif isinstance(reply, list):
            yield from self._items(reply, margin)
        elif isinstance(reply, bytes) and len(reply) > PIECE_SIZE:
            yield from quoted_pieces(reply)
        else:
            yield _SCALAR_FORMS[type(reply)](reply)

    def _items(self, items: Iterable[Reply], margin: bytes) -> Iterator[bytes]:
        number = 0
        for number, item in enumerate(items, 1):
            label = b"%d) " % number
            # A nested array begins on the line of its own label, as in redis-cli: "1) 1) a".
            yield label if number == 1 else self._line_break + margin + label
            yield from self._pieces(item, margin + b" " * len(label))
        if not number:
            yield b"(empty)"


def _with_ending(form: Callable[[Any], bytes], ending: bytes) -> Callable[[Any], bytes]:
    return lambda reply: form(reply) + ending


# telnet sends and expects CRLF (RFC 854), netcat and scripts use LF. The line break of a request selects its encoder.
ENDING_IN_LF = TextEncoder(b"\n")
ENDING_IN_CRLF = TextEncoder(b"\r\n")


# ---------------------------------------------------------------- requests

# Cross-protocol scripting: a browser that is tricked into posting to this port sends these lines before the body that
# the attacker wrote. Redis closes such connections too ("Host:" and "POST" are aliases of a command that quits).
_HTTP = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|TRACE|CONNECT|PRI) \S+ HTTP/\d|Host:", re.IGNORECASE)

# The same in TLS: the session ID in a browser's ClientHello can contain lines that the attacker wrote. Every
# ClientHello contains NUL bytes, by which one is recognised that does not arrive at the beginning of a request.
_TLS_HANDSHAKE = b"\x16\x03"


class TextDecoder:
    """Cut a stream of bytes into lines and the lines into arguments.

    ``others`` are the first bytes of requests of other protocols. A request that begins with one is not read here.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS, others: bytes = b"") -> None:
        self._limits = limits
        self._others = others
        self._partial = bytearray()
        self._skipping = False

    def decode(self, data: bytes) -> tuple[list[DecodedRequests], bytes]:
        """Return the requests that ``data`` completes, and the rest. See `common.codec.Decoder`."""
        batches: list[DecodedRequests] = []
        at = 0
        may_be_binary = b"\0" in data or self._partial.startswith(_TLS_HANDSHAKE[:1]) or _TLS_HANDSHAKE in data
        while at < len(data):
            # Only at the beginning of a line. Inside one, any byte may appear.
            if not self._partial and not self._skipping and data[at] in self._others:
                return batches, data[at:]
            end = data.find(b"\n", at)
            if may_be_binary and (error := self._binary_error(data[at:end] if end >= 0 else data[at:])):
                self._partial.clear()
                batches.append((ENDING_IN_LF, [ProtocolError(error, close_connection=True)]))
                break
            if end < 0:
                self._store_partial(data[at:], batches)
                break
            line = data[at:end]
            at = end + 1
            if self._skipping:  # the end of a line that has been refused already
                self._skipping = False
                continue
            if self._partial:
                line = bytes(self._partial) + line
                self._partial.clear()
            request = self._request(line.removesuffix(b"\r"))
            if request:  # an empty line gets no reply, as in Redis, and a comment has none either
                _append(request, ENDING_IN_CRLF if line.endswith(b"\r") else ENDING_IN_LF, batches)
            if isinstance(request, ProtocolError) and request.close_connection:
                break
        return batches, b""

    def _binary_error(self, part: bytes) -> ErrorReply | None:
        """Return the error of a part of a line that begins a TLS connection, or that contains a NUL byte."""
        if not self._skipping and (bytes(self._partial[:2]) + part[:2]).startswith(_TLS_HANDSHAKE):
            return NO_TLS_HERE
        return NUL_IN_LINE if b"\0" in part else None

    def _store_partial(self, part: bytes, batches: list[DecodedRequests]) -> None:
        """Store the beginning of a line. If it grows beyond the limit, refuse the line at once and skip to its end."""
        if self._skipping:
            return
        self._partial += part
        if len(self._partial) > self._limits.max_line + 1:  # one more, because it may be the CR of a line break
            # Redis closes the connection here. A line break resynchronises the stream, so that is not necessary.
            self._partial.clear()
            self._skipping = True
            batches.append((ENDING_IN_LF, [ProtocolError(line_too_long(self._limits.max_line))]))

    def _request(self, line: bytes) -> Request:
        # A line within one read never passes through `_store_partial`.
        if len(line) > self._limits.max_line:
            return ProtocolError(line_too_long(self._limits.max_line))
        if line.startswith(COMMENT):
            return []
        # Before anything is executed, and it closes the connection: the lines after it may be an attacker's commands.
        if _HTTP.match(line):
            return ProtocolError(NO_HTTP_HERE, close_connection=True)
        try:
            args = split_args(line)
        except UnbalancedQuotes:
            return ProtocolError(UNBALANCED_QUOTES)
        if len(args) > self._limits.max_args:
            return ProtocolError(TOO_MANY_ARGUMENTS)
        return args


# Requests with the same encoder share a batch. A pipeline of one client is then one batch.
def _append(request: Request, encoder: Encoder, batches: list[DecodedRequests]) -> None:
    if batches and batches[-1][0] is encoder:
        batches[-1][1].append(request)
    else:
        batches.append((encoder, [request]))
