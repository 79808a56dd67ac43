"""A client for JSON frames that uses no code of the server."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

from tests.harness.waiting import TIMEOUT

Answer = dict[str, Any]


def framed(body: bytes) -> bytes:
    """Prefix a body with its length: signed, four bytes, big-endian."""
    return struct.pack(">i", len(body)) + body


def frame(request: Any, *, ascii_only: bool = True) -> bytes:
    """Encode any JSON value as a frame."""
    return framed(json.dumps(request, ensure_ascii=ascii_only).encode())


def run(command: str, *arguments: Any) -> bytes:
    """Encode a request with ``args`` as a frame."""
    return frame({"command": command, "args": [*arguments]})


def set_to(key: str, value: Any) -> bytes:
    return frame({"command": "SET", "key": key, "value": value})


def get(key: str) -> bytes:
    return frame({"command": "GET", "key": key})


def take_answer(stream: bytes) -> tuple[Answer, bytes]:
    """Decode the first frame of a stream. Return its content and the rest of the stream."""
    (length,) = struct.unpack_from(">i", stream)
    body = stream[4 : 4 + length]
    assert len(body) == length, f"a frame of {length} bytes ends after {len(body)}"
    answer = json.loads(body)
    assert isinstance(answer, dict)
    return answer, stream[4 + length :]


def answers_in(stream: bytes) -> list[Answer]:
    """Decode a stream that consists of whole frames."""
    found: list[Answer] = []
    while stream:
        answer, stream = take_answer(stream)
        found.append(answer)
    return found


class FrameClient:
    """One connection. A reply's length is read with one call, as the ``speicher`` client does."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> Answer:
        """Receive one reply."""
        header = self.socket.recv(4)
        assert len(header) == 4, f"one recv(4) got {header!r}"
        (length,) = struct.unpack(">i", header)
        body = bytearray()
        while len(body) < length:
            piece = self.socket.recv(length - len(body))
            assert piece, f"closed after {len(body)} bytes of {length}"
            body += piece
        answer = json.loads(body)
        assert isinstance(answer, dict)
        return answer

    def ask(self, request: Any) -> Answer:
        """Send one request. Return its reply."""
        self.send(frame(request))
        return self.answer()

    def run(self, command: str, *arguments: Any) -> Any:
        """Run a command with ``args``. Return its value."""
        self.send(run(command, *arguments))
        answer = self.answer()
        assert answer.keys() == {"status_code", "value"}, answer
        assert answer["status_code"] == 200
        return answer["value"]

    def set(self, key: str, value: Any) -> None:
        assert self.ask({"command": "SET", "key": key, "value": value}) == {"status_code": 200}

    def get(self, key: str) -> Any:
        """Return a value that must be there."""
        answer = self.ask({"command": "GET", "key": key})
        assert answer["status_code"] == 200, answer
        return answer["value"]

    def rest(self) -> bytes:
        """Receive everything until the server closes the connection in an orderly way."""
        received = bytearray()
        while piece := self.socket.recv(65536):
            received += piece
        return bytes(received)

    def finish_sending(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()
