"""A listener on a Unix socket. Its file is made at the start and removed at the stop."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from server.net.listener import Listener, Scheduler
from server.session.context import ServerContext

assert sys.platform != "win32"

LOCK_ATTEMPTS = 20
LOCK_INTERVAL = 0.1
"""How often, and after how many seconds each, a start tries to lock the folder of the socket."""


class UnixListener(Listener):
    """Accepts the connections of a Unix socket at ``path``.

    ``mode`` are the permissions of the file. A client needs the permission to write. 0 means what the umask leaves, as
    in Redis. The file of a server that was killed is replaced. Raises `OSError` if another process listens there, or if
    the path cannot be used.
    """

    def __init__(self, path: str, mode: int, context: ServerContext, scheduler: Scheduler[Any]) -> None:
        self._path = path
        self._mode = mode
        self._file: os.stat_result | None = None
        with _locked_folder(path):
            _remove_stale_file(path)
            super().__init__(socket.AF_UNIX, path, context, scheduler)

    @property
    def address(self) -> str:
        """The path."""
        return self._path

    def server_bind(self) -> None:
        """Bind the socket. Nothing can connect until it listens, so the permissions are never wider than asked for."""
        super().server_bind()
        self._file = os.lstat(self._path)
        if self._mode:
            os.chmod(self._path, self._mode)

    def server_close(self) -> None:
        """Remove the file and close the socket."""
        # In this order: the file of a closed socket could be replaced by another server before it is removed here.
        with suppress(OSError):  # it was removed by something else
            if self._file is not None and os.path.samestat(self._file, os.lstat(self._path)):
                os.unlink(self._path)
        super().server_close()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection. The address of its peer is that of the listener, because the peer has none."""
        accepted, _ = super().get_request()
        return accepted, self._path


def _remove_stale_file(path: str) -> None:
    """Remove the file of a socket on which no process listens. Raises `OSError` if it is anything else."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "there is a file that is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:  # its backlog is full
            pass
    raise OSError(errno.EADDRINUSE, "another process listens there")


@contextmanager
def _locked_folder(path: str) -> Iterator[None]:
    """Lock the folder of a path, so that two servers that start at once do not both find the same stale file."""
    descriptor = os.open(os.path.dirname(path) or os.curdir, os.O_RDONLY)
    try:
        for _ in range(LOCK_ATTEMPTS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(LOCK_INTERVAL)
            else:
                break
        else:
            raise OSError(errno.EAGAIN, "another process has locked the folder")
        yield
    finally:
        os.close(descriptor)
