"""A disk in memory that behaves as badly as a disk may: see `server.engines.log.disk` for its interface.

What was not synced may be lost, torn or reordered by a crash, in pieces of a sector. A file that was created, renamed
or removed may or may not be so after a crash, before the directory was synced. A sync that fails discards what it could
not write, and the next one succeeds, as on Linux.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

SECTOR = 16
"""Bytes that are written as a whole. Far fewer than a real sector's, so that small batches are torn too."""

ENOUGH = 1 << 40


@dataclass
class Inode:
    """The content of a file: as programs see it, and as it surely is after a crash."""

    data: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    dirty: list[tuple[int, int]] = field(default_factory=list)
    """Ranges that were written since the last sync."""

    def sync(self) -> None:
        for start, end in self.dirty:
            self.persist(start, min(end, len(self.data)))
        del self.durable[len(self.data) :]
        self.dirty.clear()

    def persist(self, start: int, end: int) -> None:
        if len(self.durable) < end:
            self.durable.extend(bytes(end - len(self.durable)))
        self.durable[start:end] = self.data[start:end]

    def lose(self, rng: random.Random) -> None:
        """Fail to sync: some of the dirty sectors are persisted, and all count as clean."""
        after = self.after_crash(rng)
        self.durable = after.durable
        self.dirty.clear()

    def after_crash(self, rng: random.Random) -> Inode:
        """Return what is left: all, none, a prefix or any of the sectors that were not synced."""
        durable = bytearray(self.durable)
        kind = rng.randrange(4)
        if kind and (self.dirty or len(self.data) < len(self.durable)):
            left = Inode(self.data, durable)
            for start, end in self.dirty:
                stop = rng.randrange(start, end + 1) if kind == 2 else end
                for at in range(start - start % SECTOR, end, SECTOR):
                    first, last = max(at, start), min(at + SECTOR, end, len(self.data))
                    if first < last and (
                        kind == 1 or (kind == 2 and last <= stop) or (kind == 3 and rng.random() < 0.5)
                    ):
                        left.persist(first, last)
            if rng.random() < 0.5 and len(self.data) < len(durable):
                del durable[len(self.data) :]
        return Inode(bytearray(durable), durable)


class SimulatedFile:
    """An open file."""

    def __init__(self, disk: SimulatedDisk, inode: Inode) -> None:
        self._disk = disk
        self._inode = inode

    def append(self, data: bytes | memoryview) -> int:
        room = self._disk.call("append")
        if self._disk.rng.random() < self._disk.short_writes:
            data = data[: self._disk.rng.randrange(1, len(data) + 1)]
        data = data[: max(0, min(len(data), self._disk.free))]
        start = len(self._inode.data)
        self._inode.data += data
        self._disk.free -= len(data)
        if data:
            self._inode.dirty.append((start, start + len(data)))
        elif room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(data)

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self._inode.data[offset : offset + size])

    def size(self) -> int:
        return len(self._inode.data)

    def truncate(self, size: int) -> None:
        self._disk.call("truncate")
        self._disk.free += max(0, len(self._inode.data) - size)
        del self._inode.data[size:]

    def sync(self) -> None:
        try:
            self._disk.call("sync")
        except OSError:
            self._inode.lose(self._disk.rng)
            raise
        self._inode.sync()

    def close(self) -> None:
        pass


class SimulatedDisk:
    """A directory. ``on_call`` is called before each operation that changes something, and may raise."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.free = ENOUGH
        self.short_writes = 0.0
        """The probability of a short write."""
        self.on_call: Callable[[str], None] = lambda _: None
        self.is_replaced = False
        """Whether the directory is not the one that was locked any more."""
        self.calls = 0
        self.files: dict[str, Inode] = {}
        self._durable: dict[str, Inode] = {}
        self._changes: list[tuple[str, str, Inode | None]] = []  # name, new name, content

    def call(self, what: str) -> bool:
        self.calls += 1
        self.on_call(what)
        return True

    def names(self) -> list[str]:
        return list(self.files)

    def size(self, name: str) -> int:
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return len(self.files[name].data)

    def open(self, name: str) -> SimulatedFile:
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return SimulatedFile(self, self.files[name])

    def create(self, name: str) -> SimulatedFile:
        self.call("create")
        inode = Inode()
        self._change(name, name, inode)
        return SimulatedFile(self, inode)

    def write_again(self, name: str, offset: int) -> None:
        self.call("write again")
        inode = self.files[name]
        inode.dirty.append((offset, len(inode.data)))
        SimulatedFile(self, inode).sync()

    def rename(self, name: str, new_name: str) -> None:
        self.call("rename")
        self._change(name, new_name, self.files[name])

    def remove(self, name: str) -> None:
        self.call("remove")
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        self.free += len(self.files[name].data)
        self._change(name, name, None)

    def _change(self, name: str, new_name: str, inode: Inode | None) -> None:
        self._changes.append((name, new_name, inode))
        _apply(self.files, name, new_name, inode)

    def sync_directory(self) -> None:
        self.call("sync directory")
        self._durable = dict(self.files)
        self._changes.clear()

    def free_bytes(self) -> int:
        return self.free

    def check(self) -> None:
        if self.is_replaced:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def close(self) -> None:
        pass

    # ---------------------------------------------------------------- crashes

    def after_power_failure(self, rng: random.Random) -> SimulatedDisk:
        """Return a disk with what may be left after a power failure."""
        files = dict(self._durable)
        for change in self._changes:
            if rng.random() < 0.5:
                _apply(files, *change)
        contents: dict[int, Inode] = {}
        disk = SimulatedDisk(rng)
        for name, inode in files.items():
            disk.files[name] = contents.setdefault(id(inode), inode.after_crash(rng))
        disk._durable = dict(disk.files)
        return disk

    def after_kill(self, rng: random.Random) -> SimulatedDisk:
        """Return a disk with everything that was written: the process was killed, and the kernel goes on."""
        copies: dict[int, Inode] = {}

        def copy(inode: Inode) -> Inode:
            left = Inode(bytearray(inode.data), bytearray(inode.durable), list(inode.dirty))
            return copies.setdefault(id(inode), left)

        disk = SimulatedDisk(rng)
        disk.files = {name: copy(inode) for name, inode in self.files.items()}
        disk._durable = {name: copy(inode) for name, inode in self._durable.items()}
        disk._changes = [(name, new, None if inode is None else copy(inode)) for name, new, inode in self._changes]
        return disk


def _apply(files: dict[str, Inode], name: str, new_name: str, inode: Inode | None) -> None:
    if name != new_name:
        files.pop(name, None)
    if inode is None:
        files.pop(new_name, None)
    else:
        files[new_name] = inode
