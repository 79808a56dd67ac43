"""Telnet commands in a stream of text (RFC 854, RFC 855), sans-I/O.

A command begins with the byte IAC (0xFF), which UTF-8 does not contain. telnet adds commands when a key such as Ctrl-C
is pressed, and PuTTY does when it connects. `TelnetReader` cuts them out of the stream. What a command does to the line
that is being typed is the task of `server.protocols.text_lines`.
"""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import CommandError, subnegotiation_too_long

IAC = 0xFF
"""Interpret As Command."""

SE, SB, WILL, WONT, DO, DONT = 0xF0, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE
FIRST_COMMAND = 0xEC
"""The lowest code of a command: EOF (RFC 1184). IAC before a lower byte has no meaning."""

# Commands as `TelnetReader.read` returns them.
SUSP, ABORT, BREAK, IP, AO, AYT, EC, EL = (bytes([code]) for code in (0xED, 0xEE, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8))
ESCAPED_IAC, SUBNEGOTIATION, DO_TIMING_MARK = bytes([IAC]), bytes([SB]), bytes([DO, 0x06])

INTERRUPTS = frozenset({IP, BREAK, ABORT, SUSP, EL})
"""Commands that give up the line that is being typed: Ctrl-C, Ctrl-\\, Ctrl-Z, and Erase Line."""

MISTAKEN_BYTES: Mapping[bytes, bytes] = {IP: b"\x83", AO: b"\x8f", SUSP: b"\x9a", BREAK: b"\x9c", ABORT: b"\x9c"}
"""The byte of a character that telnet replaces by each command.

telnet of inetutils compares typed bytes with the keys of the terminal without their highest bit
(``TerminalSpecialChars``). It takes 0x83 for Ctrl-C (0x03), 0x8F for Ctrl-O, 0x9A for Ctrl-Z and 0x9C for Ctrl-\\.
"""

AYT_REPLY = b"\r\n[Yes]\r\n"
"""The reply to Are You There, as telnetd of BSD sends it."""

MAX_SUBNEGOTIATION = 4096
"""Bytes between SB and SE. They have no meaning here, because every option is refused."""


class SubnegotiationTooLong(CommandError):
    """Raised by `TelnetReader.read` if a subnegotiation exceeds `MAX_SUBNEGOTIATION`."""

    def __init__(self) -> None:
        super().__init__(subnegotiation_too_long(MAX_SUBNEGOTIATION))


NOTHING: frozenset[bytes] = frozenset()
"""Shared, because an empty set takes 216 bytes of every connection."""


class TelnetReader:
    """Read the commands of one connection, and refuse every option once.

    RFC 854 forbids to reply to what changes nothing. Two sides that repeat their refusals would never end.
    """

    __slots__ = ("_refused", "_skipped", "partial")

    def __init__(self) -> None:
        self.partial = b""
        """The command that has begun and not ended. Of a subnegotiation IAC SB, and IAC if that was its last byte."""
        self._skipped = 0  # bytes of the subnegotiation
        self._refused = NOTHING

    def read(self, data: bytes, at: int) -> tuple[bytes | None, int]:
        """Read a command, or the rest of one, at this position. Return it and the position after it.

        A command is returned without its IAC. A byte below `FIRST_COMMAND` is returned like a command. None is returned
        after a subnegotiation, and if more bytes are needed. Raises `SubnegotiationTooLong`.
        """
        while at < len(data):
            if self.partial[1:2] == SUBNEGOTIATION:
                at = self._skip_subnegotiation(data, at)
                if not self.partial:
                    break
            else:
                self.partial += data[at : at + 1]
                at += 1
                length = len(self.partial)
                if length == 3 or (length == 2 and not SB <= self.partial[1] <= DONT):
                    command, self.partial = self.partial[1:], b""
                    return command, at
        return None, at

    def _skip_subnegotiation(self, data: bytes, at: int) -> int:
        """Skip to the end of the subnegotiation or of the data. Return the position after it."""
        if len(self.partial) == 3:  # the last byte was IAC
            if data[at] == SE:
                self.partial, self._skipped = b"", 0
            else:
                self.partial, self._skipped = self.partial[:2], self._skipped + 1
            return at + 1
        iac = data.find(IAC, at)
        end = len(data) if iac < 0 else iac
        self._skipped += end - at
        if self._skipped > MAX_SUBNEGOTIATION:
            raise SubnegotiationTooLong
        self.partial += data[end : end + 1]
        return min(end + 1, len(data))

    def reply_to(self, command: bytes) -> bytes:
        """Return what is to be sent: the refusal of an option, the reply to Are You There, or nothing."""
        if command == AYT:
            return AYT_REPLY
        if command[0] not in (WILL, DO):
            return b""
        # Every DO TIMING-MARK needs a reply (RFC 860): until it arrives, telnet discards all output after Ctrl-C.
        if command != DO_TIMING_MARK:
            if command in self._refused:
                return b""
            self._refused |= {command}
        return bytes([IAC, WONT if command[0] == DO else DONT, command[1]])
