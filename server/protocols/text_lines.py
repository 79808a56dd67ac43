r"""Cut a stream of bytes into lines of text, and the lines into arguments.

    bytes -> telnet's commands, deleted characters -> lines -> arguments

LF, CR LF or CR NUL ends a line. telnet sends the last one in character mode. `TextDecoder` has two paths. A read that
contains a NUL, a backspace, a delete or a 0xFF is taken apart at these bytes, and what is between them goes the way of
all other reads. The bytes of a stream have the same meaning however they are cut into reads.
"""

from __future__ import annotations

import re
from codecs import utf_8_decode

from common.codec import DecodedRequests, Encoder, ProtocolError, ProtocolReply, Request, closes_connection
from common.errors import (
    INVALID_TELNET_COMMAND,
    NO_HTTP_HERE,
    NO_TLS_HERE,
    NUL_IN_LINE,
    TOO_MANY_ARGUMENTS,
    UNBALANCED_QUOTES,
    http_is_on_port,
    line_too_long,
)
from common.limits import DEFAULT_LIMITS, Limits
from common.replies import ErrorReply, SimpleString
from common.text import ENDING_IN_CRLF, ENDING_IN_LF, WITHOUT_ENDING
from common.text_args import COMMENT, UnbalancedQuotes, split_args
from server.protocols.http_refusal import HTTP_REFUSAL, HTTP_REFUSAL_TO_HEAD
from server.protocols.telnet import (
    EC,
    ESCAPED_IAC,
    FIRST_COMMAND,
    IAC,
    INTERRUPTS,
    MISTAKEN_BYTES,
    SubnegotiationTooLong,
    TelnetReader,
)

NUL, BACKSPACE, DELETE = 0x00, 0x08, 0x7F
_PLAIN = re.compile(rb"[^\x00\x08\x7f\xff]+")
"""Bytes that are not typed and not added by telnet."""

_LINE_END = re.compile(rb"[\n\x00]")
"""The last byte of a line end."""

_INTERRUPT_KEYS = re.compile(rb"[\x03\x15\x1a\x1c]")
"""Ctrl-C, Ctrl-U, Ctrl-Z, Ctrl-\\: what they are in character mode, in which telnet sends every key as it is."""

MAX_CHARACTER_SIZE = 4
"""Bytes of the longest character in UTF-8."""

# Cross-protocol scripting through a TLS connection: the session ID in a browser's ClientHello can contain lines that an
# attacker wrote. Every ClientHello contains NUL bytes, by which one is recognised that does not begin a request.
_TLS_HANDSHAKE = b"\x16\x03"

# Lines that are no requests: comments, TLS handshakes, HTTP. One expression, because every line is compared with it.
# Through HTTP, a browser that is tricked into posting to this port sends such lines before the body that an attacker
# wrote. Redis closes such connections too ("Host:" and "POST" are aliases of a command that quits).
_NO_REQUEST = re.compile(
    rb"#|\x16\x03|(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|TRACE|CONNECT|PRI) \S+ HTTP/\d|Host:", re.IGNORECASE
)


class TextDecoder:
    """Cut a stream of bytes into lines and the lines into arguments.

    ``others`` are the first bytes of requests of other protocols. A request that begins with one is not read here, nor
    is one that begins with IAC and no command of telnet. ``encoder`` encodes all replies; without one they are text
    whose lines end as the line of the request does. ``http_port`` is named in the response to an HTTP request.
    """

    __slots__ = ("_crlf", "_http_port", "_lf", "_limits", "_others", "_partial", "_skipping", "_telnet")

    def __init__(
        self,
        limits: Limits = DEFAULT_LIMITS,
        others: bytes = b"",
        encoder: Encoder | None = None,
        http_port: int | None = None,
    ) -> None:
        self._limits = limits
        self._others = others
        self._lf: Encoder = encoder or ENDING_IN_LF
        self._crlf: Encoder = encoder or ENDING_IN_CRLF
        self._http_port = http_port
        self._telnet = TelnetReader()
        # The line that has begun, without deleted characters. While it is skipped, its last bytes.
        self._partial = bytearray()
        self._skipping = False  # the line has been refused already, and what follows up to its end is ignored

    def decode(self, data: bytes) -> tuple[list[DecodedRequests], bytes]:
        """Return the requests that ``data`` completes, and the rest. See `common.codec.Decoder`."""
        batches: list[DecodedRequests] = []
        # Integers: looking for a byte by a bytes object of length 1 takes 20 times as long in a short read.
        if IAC in data or NUL in data or DELETE in data or BACKSPACE in data or self._telnet.partial:
            return batches, self._read_typed(data, batches)
        return batches, self._read_lines(data, batches)

    def decode_one(self, data: bytes) -> tuple[list[DecodedRequests], bytes]:
        """Return the first request that ``data`` completes, and the data after it. See `common.codec.Decoder`."""
        at = 0
        while at < len(data):
            found = _LINE_END.search(data, at)
            end = len(data) if found is None else found.end()
            batches, rest = self.decode(data[at:end])
            if batches or rest:
                return batches, rest + data[end:]
            at = end
        return [], b""

    def use(self, limits: Limits) -> None:
        """Obey these bounds from now on. See `common.codec.Decoder`."""
        self._limits = limits

    def _read_lines(self, data: bytes, batches: list[DecodedRequests]) -> bytes:
        """Append the requests of all complete lines. Return the rest, as `decode` does."""
        at = 0
        while at < len(data):
            # Only at the beginning of a line. Inside one, any byte may appear.
            if not self._partial and not self._skipping and data[at] in self._others:
                return data[at:]
            end = data.find(b"\n", at)
            if end < 0:
                self._store_partial(data[at:], batches)
                break
            line = data[at:end]
            at = end + 1
            if self._skipping:
                self._end_line()
                continue
            if self._partial:
                line = bytes(self._partial) + line
                self._partial.clear()
            encoder = self._crlf if line.endswith(b"\r") else self._lf
            line = line.removesuffix(b"\r")
            if _NO_REQUEST.match(line) or len(line) > self._limits.max_line:
                if self._refuse_line(line, batches):
                    break
                continue
            request = self._request(line)
            if request:  # an empty line gets no reply, as in Redis
                _append(request, encoder, batches)
        return b""

    def _store_partial(self, part: bytes, batches: list[DecodedRequests]) -> None:
        """Store the beginning of a line. If it grows beyond the limit, refuse the line at once and skip to its end."""
        if self._skipping:
            self._partial += part[-MAX_CHARACTER_SIZE:]
            del self._partial[:-MAX_CHARACTER_SIZE]
            return
        self._partial += part
        if self._partial.startswith(_TLS_HANDSHAKE):
            self._close(NO_TLS_HERE, batches)
        elif len(self._partial) > self._limits.max_line + 1:  # one more, because it may be the CR of a line break
            # Redis closes the connection here. A line break resynchronises the stream, so that is not necessary.
            self._skip_line(self._line_too_long(), batches)

    def _refuse_line(self, line: bytes, batches: list[DecodedRequests]) -> bool:
        """Ignore a comment; refuse a line that is too long or no text. Return whether the connection is closed."""
        if line.startswith(_TLS_HANDSHAKE):
            self._close(NO_TLS_HERE, batches)
            return True
        # Too long comes first, because for a line in several reads it is decided before the line is complete. For the
        # same reason the error always ends with LF.
        if len(line) > self._limits.max_line:
            error = self._line_too_long()
            _append(error, self._lf, batches)
            return error.close_connection
        if line.startswith(COMMENT):
            return False
        # Before anything is executed, and it closes the connection: the lines after it may be an attacker's commands.
        refusal = NO_HTTP_HERE if self._http_port is None else http_is_on_port(self._http_port)
        encoder = HTTP_REFUSAL_TO_HEAD if line[:5].upper() == b"HEAD " else HTTP_REFUSAL
        _append(ProtocolError(refusal, close_connection=True), encoder, batches)
        return True

    def _request(self, line: bytes) -> Request:
        try:
            args = split_args(line)
        except UnbalancedQuotes:
            return ProtocolError(UNBALANCED_QUOTES)
        if len(args) > self._limits.max_args:
            return ProtocolError(TOO_MANY_ARGUMENTS, close_connection=self._limits.unauthenticated)
        return args

    def _line_too_long(self) -> ProtocolError:
        return ProtocolError(line_too_long(self._limits.max_line), close_connection=self._limits.unauthenticated)

    def _skip_line(self, error: ProtocolError, batches: list[DecodedRequests]) -> None:
        """Refuse the line that has begun, and skip to its end."""
        _append(error, self._lf, batches)
        del self._partial[:-MAX_CHARACTER_SIZE]
        self._skipping = True

    def _end_line(self) -> None:
        """Give up the line that has begun, or end one that is skipped."""
        self._partial.clear()
        self._skipping = False

    def _close(self, error: ErrorReply, batches: list[DecodedRequests]) -> None:
        _append(ProtocolError(error, close_connection=True), self._lf, batches)

    # ---------------------------------------------------------------- what telnet adds, and keys

    def _read_typed(self, data: bytes, batches: list[DecodedRequests]) -> bytes:
        """Do as `_read_lines` does with data that may contain what telnet adds, and keys that edit the line."""
        at = 0
        while at < len(data) and not closes_connection(batches):
            if self._telnet.partial or data[at] == IAC:
                rest, at = self._read_telnet(data, at, batches)
            elif plain := _PLAIN.match(data, at):
                at = plain.end()
                rest = self._read_lines(plain[0], batches)
            else:
                rest = self._read_key(data[at : at + 1], batches)
                at += 1
            if rest:
                return rest + data[at:]
        return b""

    def _read_key(self, key: bytes, batches: list[DecodedRequests]) -> bytes:
        """Read a NUL, a backspace or a delete. Return the rest: it if it begins a request of another protocol."""
        if key[0] != NUL:
            self._erase_character()
        elif self._partial.endswith(b"\r"):
            # CR NUL ends a line in character mode, in which Ctrl-C is no command of telnet but a character of the line.
            self._partial[:] = _INTERRUPT_KEYS.split(self._partial)[-1]
            return self._read_lines(b"\n", batches)
        elif not self._partial and not self._skipping and NUL in self._others:
            return key
        else:
            self._close(NUL_IN_LINE, batches)
        return b""

    def _read_telnet(self, data: bytes, at: int, batches: list[DecodedRequests]) -> tuple[bytes, int]:
        """Read a command of telnet or a part of one. Return the rest as `_read_key` does, and the position after it."""
        try:
            command, at = self._telnet.read(data, at)
        except SubnegotiationTooLong as problem:
            self._close(problem.reply, batches)
            return b"", len(data)
        if command is None:
            return b"", at
        if command == ESCAPED_IAC or command[0] < FIRST_COMMAND:
            return self._read_data(command, at, batches)
        if command in MISTAKEN_BYTES and _continues_character(self._partial, MISTAKEN_BYTES[command]):
            self._store_partial(MISTAKEN_BYTES[command], batches)
        elif command in INTERRUPTS:
            self._end_line()
        elif command == EC:
            self._erase_character()
        elif reply := self._telnet.reply_to(command):
            _append(ProtocolReply(SimpleString(reply)), WITHOUT_ENDING, batches)
        return b"", at

    def _read_data(self, byte: bytes, at: int, batches: list[DecodedRequests]) -> tuple[bytes, int]:
        """Read 0xFF and a byte that is no command of telnet, which is before ``at``. Return as `_read_telnet` does."""
        if not self._partial and not self._skipping:  # it begins the length of a JSON frame
            return ESCAPED_IAC + byte, at
        if byte == ESCAPED_IAC:
            self._store_partial(byte, batches)
            return b"", at
        if not self._skipping:
            self._skip_line(ProtocolError(INVALID_TELNET_COMMAND), batches)
        return b"", at - 1  # the byte may end the line

    def _erase_character(self) -> None:
        """Delete the last character of the line: all its bytes, if it is UTF-8."""
        line = self._partial
        if _INTERRUPT_KEYS.match(line[-1:]):  # what is before it has been given up
            return
        size = 1
        while size < min(len(line), MAX_CHARACTER_SIZE) and line[-size] & 0xC0 == 0x80:
            size += 1
        del line[-size:]


def _continues_character(line: bytearray, byte: bytes) -> bool:
    """Return whether the line ends with a part of a character in UTF-8 that this byte continues."""
    end = bytes(line[1 - MAX_CHARACTER_SIZE :])
    begin = next((at for at in reversed(range(len(end))) if end[at] & 0xC0 != 0x80), 0)
    try:
        utf_8_decode(end[begin:] + byte, "strict", False)  # the character need not be complete
    except UnicodeDecodeError:  # after a whole character the byte begins another one, which it cannot
        return False
    return True


# Requests with the same encoder share a batch. A pipeline of one client is then one batch.
def _append(request: Request, encoder: Encoder, batches: list[DecodedRequests]) -> None:
    if batches and batches[-1][0] is encoder:
        batches[-1][1].append(request)
    else:
        batches.append((encoder, [request]))
