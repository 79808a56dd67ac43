"""The input of the client if it is no terminal: bytes that `select` can wait for together with a socket."""

from __future__ import annotations

import os
import socket
import stat
import sys
import threading
from contextlib import suppress
from typing import Protocol

READ_SIZE = 256 * 1024


class Source(Protocol):
    """An input that `select` accepts, because it has ``fileno``."""

    def fileno(self) -> int: ...

    def read(self) -> bytes:
        """Return the next bytes, at least one unless the input has ended. Blocks if there are none yet."""
        ...


def open_source(descriptor: int) -> Source:
    """Return the source that reads a file descriptor."""
    return ThreadSource(descriptor) if sys.platform == "win32" else DescriptorSource(descriptor)


def size_of_file(descriptor: int) -> int:
    """Return the size of a regular file in bytes. 0 for anything else, whose size is not known."""
    status = os.fstat(descriptor)
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


class DescriptorSource:
    """A file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def read(self) -> bytes:
        """See `Source`."""
        # Not a file object: its buffer may hold lines while `select` waits for the descriptor to become readable.
        return os.read(self._descriptor, READ_SIZE)


class ThreadSource:
    """A file descriptor that a thread reads and passes on through a socket.

    On Windows `select` accepts nothing but sockets. The thread is a daemon, because nothing can interrupt its read. The
    buffers of the socket bound what it has read in advance.
    """

    def __init__(self, descriptor: int) -> None:
        self._receiver, sender = socket.socketpair()
        threading.Thread(target=_copy, args=(descriptor, sender), name="standard input", daemon=True).start()

    def fileno(self) -> int:
        return self._receiver.fileno()

    def read(self) -> bytes:
        """See `Source`."""
        return self._receiver.recv(READ_SIZE)


def _copy(descriptor: int, sender: socket.socket) -> None:
    # A read error is the end of the input. A send error means that the client reads no more, for example after QUIT.
    with sender, suppress(OSError):
        while data := os.read(descriptor, READ_SIZE):
            sender.sendall(data)
