"""The text protocol: one command per line, as people type it and read it.

`quote` and `TextEncoder` print replies, `common.text_args.split_args` reads a line. One rule connects them: what is
printed can be typed back, whatever bytes it contains. `server.protocols.text_lines` cuts a stream of bytes into lines.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from common.pieces import PIECE_SIZE
from common.replies import ErrorReply, Line, Lines, NoReply, NullArray, Push, PushItem, Reply, SimpleString

TYPE_CHECKING = False  # not from `typing`, as in `common.replies`
if TYPE_CHECKING:
    from typing import Any

    from common.codec import Columns, Scalars

# ---------------------------------------------------------------- quoting

# No blank, quote or control character. The first one is not "(" either: a stored "(nil)" must not look like a null,
# nor "(error) …" like an error.
_BARE_ASCII = bytes(byte for byte in range(0x21, 0x7F) if byte not in b"\"'")

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

    A table and not a regular expression with a function per match: 50 MB of control characters took 208 seconds. The
    entries are made when they are needed, because a call per character took 15 seconds for 50 MB.
    """

    def __missing__(self, code: int) -> str:
        if len(self) >= MAX_ESCAPES:
            self.clear()
        character = chr(code)
        if code < 0x80:
            escaped = _ESCAPED_BYTES.get(code, character)
        elif character.isprintable():
            escaped = character
        else:
            escaped = "".join(f"\\x{byte:02x}" for byte in character.encode())
        self[code] = escaped
        return escaped


MAX_ESCAPES = 32 * 1024
"""Entries of the table for characters: about 5 MB."""

_ESCAPED_CHARACTERS = _EscapedCharacters()


def quote(arg: bytes) -> bytes:
    r"""Print an argument so that `split_args` reads the same bytes back: bare if that is safe, else in double quotes.

    >>> quote(b"hello"), quote(b"hello world"), quote(b"\xff\n")
    (b'hello', b'"hello world"', b'"\\xff\\n"')
    """
    # `translate` deletes the bytes that need no quotes. A regular expression is no faster, and `re` is slow to import.
    if not arg.translate(None, _BARE_ASCII):
        if arg and arg[0] != 0x28:  # "("
            return arg
    elif not arg.isascii() and _is_bare_text(arg):
        return arg
    return quote_always(arg)


def quote_always(arg: bytes) -> bytes:
    """Print an argument in double quotes, whether it needs them or not."""
    if len(arg) > PIECE_SIZE:  # each piece is one call that no other thread can interrupt: 20 MB took a second
        return b"".join(_in_quotes(arg))
    # One invalid byte makes the whole value binary: mixing both forms would print some bytes as text by chance.
    try:
        escaped = arg.decode().translate(_ESCAPED_CHARACTERS).encode()
    except UnicodeDecodeError:
        escaped = _escape_bytes(arg)
    return b'"%b"' % escaped


def quoted_pieces(value: bytes) -> Iterator[bytes]:
    """Print a value as `quote` does, in pieces. The memory used does not depend on the value's size.

    No step takes long, so that other threads can run meanwhile.
    """
    if len(value) <= PIECE_SIZE:
        yield quote(value)
        return
    if _is_bare(value):
        yield from _slices(value)
        return
    yield from _in_quotes(value)


def _in_quotes(value: bytes) -> Iterator[bytes]:
    # UTF-8 is checked to the end first, because what has been printed cannot be taken back.
    yield b'"'
    if _is_utf8(value):
        for text in _decoded_pieces(value):
            yield text.translate(_ESCAPED_CHARACTERS).encode()
    else:
        yield from map(_escape_bytes, _slices(value))
    yield b'"'


def _slices(value: bytes) -> Iterator[bytes]:
    for at in range(0, len(value), PIECE_SIZE):
        yield value[at : at + PIECE_SIZE]


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


def _is_bare(value: bytes) -> bool:
    """Return whether a value that is not empty needs no quotes."""
    if value.isascii():
        return not value.startswith(b"(") and not any(piece.translate(None, _BARE_ASCII) for piece in _slices(value))
    return _is_bare_text(value)


def _is_bare_text(value: bytes) -> bool:
    """Return whether a value that is not empty is text without blanks and quotes, of whatever script."""
    if value.startswith(b"("):
        return False
    try:
        # Blanks other than the space are not printable.
        return all(
            text.isprintable() and " " not in text and '"' not in text and "'" not in text
            for text in _decoded_pieces(value)
        )
    except UnicodeDecodeError:
        return False


def format_command(args: Iterable[bytes]) -> bytes:
    """Print a command as a line that runs it when it is typed."""
    return b" ".join(map(quote, args))


def command_line(args: Sequence[bytes]) -> Line:
    """Do the same for a reply. A long line is printed in pieces, each time that it is read."""
    return format_command(args) if sum(map(len, args)) <= PIECE_SIZE else _LongCommandLine(args)


class _LongCommandLine:
    """The pieces of a command's line."""

    def __init__(self, args: Sequence[bytes]) -> None:
        self._args = args

    def __iter__(self) -> Iterator[bytes]:
        lead = b""
        for arg in self._args:
            yield lead
            yield from quoted_pieces(arg)
            lead = b" "


def abbreviated(arg: bytes, size: int) -> bytes:
    """Return an argument of at most this size as it is. Of a longer one return the beginning, and how much follows."""
    if len(arg) <= size:
        return arg
    end = size
    while end > max(0, size - MAX_CONTINUATION_BYTES) and arg[end] & 0xC0 == 0x80:  # not within a character
        end -= 1
    return arg[:end] + b"... (%d more bytes)" % (len(arg) - end)


def more_arguments(count: int) -> bytes:
    """Return what is shown instead of further arguments."""
    return b"... (%d more arguments)" % count


MAX_CONTINUATION_BYTES = 3
"""Bytes of a character of UTF-8 after its first one."""


# ---------------------------------------------------------------- replies

# Quotes and backslashes are printed as they are: the text of an error is not an argument.
_ESCAPED_IN_ERRORS = _EscapedCharacters(
    {code: text for code, text in _ESCAPED_CHARACTERS.items() if chr(code) not in '"\\'}
)


def printable(text: bytes) -> bytes:
    """Escape what is not printable as in `quote`, so that the text is one line and controls no terminal."""
    decoded = text.decode(errors="backslashreplace")
    return (decoded if decoded.isprintable() else decoded.translate(_ESCAPED_IN_ERRORS)).encode()


def without_controls(text: str) -> str:
    """Replace what is not printable, except line breaks and tabs, so that the text controls no terminal."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text)


def _error_line(error: ErrorReply) -> bytes:
    """Print an error as one line.

    An error may repeat arguments of a client. A line break in them would begin a line that looks like a further reply,
    and an escape sequence would control the terminal that shows the error.
    """
    return b"(error) " + printable(error.text)


# By the exact type of the reply, because bool is a subclass of int.
_SCALAR_FORMS: dict[type, Callable[[Any], bytes]] = {
    bytes: quote,
    int: lambda number: b"%d" % number,
    float: lambda number: b"%.17g" % number,
    bool: lambda truth: b"(true)" if truth else b"(false)",
    type(None): lambda _: b"(nil)",
    SimpleString: lambda status: status.text,
    NullArray: lambda _: b"(nil)",
    ErrorReply: _error_line,
    Push: lambda push: b" ".join([_push_item(item) for item in push.items]),
}


def _push_item(item: PushItem) -> bytes:
    """Print what a push consists of. The keys of an array are parts of the line like the other items."""
    return b" ".join(map(quote, item)) if isinstance(item, tuple) else _SCALAR_FORMS[type(item)](item)


class TextEncoder:
    """Print replies with one kind of line break. It has no state, so one instance serves every connection."""

    marks_pushes = True  # a push is a line of several parts, and a value with a blank in it is printed in quotes

    def __init__(self, line_break: bytes) -> None:
        self._line_break = line_break
        self.columns: Columns = {}
        self.scalars: Scalars = {
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
        pieces = reply.pieces(self._line_break)
        yield next(pieces, self._line_break)
        yield from pieces

    def _pieces(self, reply: Reply, margin: bytes) -> Iterator[bytes]:
        """Print a reply without its last line break. Lines after the first one begin with the margin."""
        if isinstance(reply, Lines):
            yield from reply.joined(self._line_break + margin)
        elif isinstance(reply, dict):
            yield from self._items(chain.from_iterable(reply.items()), margin)
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
WITHOUT_ENDING = TextEncoder(b"")
"""For what the protocol itself sends. See `common.codec.ProtocolReply`."""
