"""What the log needs of an operating system: `Disk`, a directory, and `File`, one file in it.

The interface is small, so that tests can replace the real disk by a simulated one, which fails, tears and reorders what
was not synced. Every method raises `OSError`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from pathlib import Path
from typing import Protocol

from common.limits import MIB

LOCK_NAME = "lock"

WRITE_AGAIN_SIZE = MIB

MIN_FREE = 4 * MIB
"""Bytes of free space below which writes are refused, before the disk is full."""

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
"""The files contain all data, so that only the user of the server may read them."""


class File(Protocol):
    """An open file, which is read anywhere and written at its end. One thread at a time writes; any may sync."""

    def append(self, data: bytes | memoryview) -> int:
        """Write data at the end of the file. Return how many bytes were written, which may be fewer."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from an offset, and fewer only at the end of the file."""
        ...

    def size(self) -> int:
        """Return the size in bytes."""
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to this size."""
        ...

    def sync(self) -> None:
        """Return when everything that was written before the call is on the storage medium."""
        ...

    def close(self) -> None:
        """Close the file. What was not synced may be lost in a power failure."""
        ...


class Disk(Protocol):
    """A directory that belongs to one server."""

    def names(self) -> list[str]:
        """Return the names of the files."""
        ...

    def size(self, name: str) -> int:
        """Return the size of a file."""
        ...

    def open(self, name: str) -> File:
        """Open an existing file."""
        ...

    def create(self, name: str) -> File:
        """Create an empty file. One that exists is emptied."""
        ...

    def write_again(self, name: str, offset: int) -> None:
        """Write what a file has from an offset on once more, in its place, and sync it."""
        ...

    def rename(self, name: str, new_name: str) -> None:
        """Rename a file, atomically. It replaces a file that has the new name."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file."""
        ...

    def sync_directory(self) -> None:
        """Return when all files that were created, renamed or removed before are so after a power failure too."""
        ...

    def free_bytes(self) -> int:
        """Return how many bytes can be written before the disk is full."""
        ...

    def check(self) -> None:
        """Raise `OSError` if the directory is not the one that was locked: it was removed, renamed or replaced."""
        ...

    def close(self) -> None:
        """Release the lock on the directory."""
        ...


class DirectoryInUse(Exception):
    """Another server has locked the directory."""


class RealFile:
    """A file of the operating system. See `File`."""

    def __init__(self, path: Path, flags: int) -> None:
        # O_APPEND: after a failed write and a `truncate`, the next write is at the new end.
        flags |= os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = os.open(path, flags, FILE_MODE)

    def append(self, data: bytes | memoryview) -> int:
        return os.write(self._descriptor, data)

    def read(self, offset: int, size: int) -> bytes:
        # Not os.pread, which Windows does not have. Nothing else depends on the position, because of O_APPEND.
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        pieces = []
        while size > 0 and (piece := os.read(self._descriptor, size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        _sync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class RealDisk:
    """A directory of the operating system. See `Disk`.

    With ``lock``, the directory is made if it is missing, and locked for as long as this process lives.
    Raises `DirectoryInUse` if another process has locked it.
    """

    def __init__(self, path: str, *, lock: bool) -> None:
        self._path = Path(path).absolute()
        self._lock: int | None = None
        if lock:
            self._make()
            self._lock = _lock(self._path / LOCK_NAME)

    def _make(self) -> None:
        missing = [each for each in (self._path, *self._path.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(DIRECTORY_MODE)
            _sync_directory(each.parent)
        if missing:
            self._path.chmod(DIRECTORY_MODE)  # whatever the umask is

    def names(self) -> list[str]:
        return [entry.name for entry in os.scandir(self._path) if entry.is_file()]

    def size(self, name: str) -> int:
        return (self._path / name).stat().st_size

    def open(self, name: str) -> File:
        # Without the lock the files are only read: --check works on a backup that may not be written.
        return RealFile(self._path / name, os.O_RDONLY if self._lock is None else os.O_RDWR)

    def create(self, name: str) -> File:
        return RealFile(self._path / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)

    def write_again(self, name: str, offset: int) -> None:
        # Without O_APPEND, with which Linux ignores the position.
        with open(self._path / name, "r+b", buffering=0) as file:
            file.seek(offset)
            while data := file.read(WRITE_AGAIN_SIZE):
                file.seek(offset)
                while data:
                    written = file.write(data)
                    data, offset = data[written:], offset + written
            _sync(file.fileno())

    def rename(self, name: str, new_name: str) -> None:
        (self._path / name).replace(self._path / new_name)

    def remove(self, name: str) -> None:
        (self._path / name).unlink()

    def sync_directory(self) -> None:
        _sync_directory(self._path)

    def free_bytes(self) -> int:
        return shutil.disk_usage(self._path).free

    def check(self) -> None:
        if self._lock is not None and not os.path.samestat(os.fstat(self._lock), os.stat(self._path / LOCK_NAME)):
            raise FileNotFoundError(errno.ENOENT, "the directory was replaced")

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


# The platforms are compared literally below, because mypy knows by it which functions exist.

if sys.platform == "win32":
    import msvcrt

    def _sync(descriptor: int) -> None:
        os.fsync(descriptor)

    def _sync_directory(path: Path) -> None:
        """Do nothing: Windows cannot open a directory, and NTFS keeps renames in its journal."""

    def _lock_descriptor(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _sync(descriptor: int) -> None:
        if sys.platform == "darwin":
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync does not empty the cache of the drive: fsync(2) of macOS
        else:
            os.fdatasync(descriptor)

    def _sync_directory(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _lock_descriptor(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock(path: Path) -> int:
    """Lock a file for as long as this process lives. Return its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), FILE_MODE)
    try:
        _lock_descriptor(descriptor)
    except OSError as problem:
        os.close(descriptor)
        if problem.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            raise DirectoryInUse from None
        raise
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def remove_if_exists(disk: Disk, name: str) -> None:
    """Remove a file, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        disk.remove(name)


def reason_of(problem: Exception) -> str:
    """Return the text of a failure, as the operating system names it."""
    text = problem.strerror if isinstance(problem, OSError) else None
    return text or str(problem) or type(problem).__name__
