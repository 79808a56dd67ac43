"""Random clients on the real session, engine and log, over a simulated disk that crashes at every call.

After each crash, what is replayed must be the keyspace after some prefix of the history, and the prefix must contain
everything that a client has seen: its own writes and those that it has read.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass

from server.commands import COMMANDS
from server.engines.base import CommitFailed, EngineStartError
from server.engines.log.engine import DurableEngine, LogSettings
from server.engines.log.log import ALWAYS
from server.engines.log.rewrite import RewriteFailed, rewrite
from server.keyspace.store import Store
from server.session.context import ServerContext
from tests.harness.clock import Clock
from tests.harness.logs import AllItems, all_items, items_after_sending
from tests.harness.sessions import ClientSession
from tests.harness.simulated_disk import ENOUGH, SimulatedDisk

KEYS = [b"a", b"b", b"c", b"key", b"k\n"]
DATABASES = [b"0", b"0", b"1", b"2"]
VALUES = [b"1", b"2", b"x", b"x y", b"\xff\0", b"", b"# 3 0 00000000\n", b"v" * 90]


class LostData(AssertionError):
    """What was replayed is not allowed."""


@dataclass
class Faults:
    """The probabilities of failures of the disk."""

    sync: float = 0.0
    append: float = 0.0
    full: float = 0.0
    other: float = 0.0
    """Of the calls that create, rename, remove, cut and sync names."""


class Simulation:
    """One run. Everything random comes from the seed, so that a failure can be repeated."""

    def __init__(self, seed: int, level: str = ALWAYS, faults: Faults | None = None, disk: SimulatedDisk | None = None):
        self.rng = random.Random(seed)
        self.seed = seed
        self.level = level
        self.faults = faults or Faults()
        self.clock = Clock()
        self.crash_points = 0
        self.history: list[AllItems] = [{}]
        self.acknowledged = 0
        """The last state in the history that a client knows of."""
        self.synced = 0
        """The last state that a power failure must leave, at the level everysec."""
        self.is_crashing = False
        self.doubtful: list[AllItems] = []
        """States that were undone after a failed sync. A crash may bring them back until the log begins anew."""
        self.keeps_order = True
        """Undoing a removal gives the key the last place, and a replay does not know of it."""
        self.disk = disk or SimulatedDisk(self.rng)
        self.disk.short_writes = 0.1
        self._open(self.disk)

    def _open(self, disk: SimulatedDisk) -> None:
        self.disk = disk
        self.may_fail = False  # a server that cannot write at its start does not start
        disk.on_call = self._on_call
        self.store = Store(self.clock)
        self.engine = DurableEngine(self.store, LogSettings("simulated", lambda: disk, self.level))
        self.service = self.engine.open()
        self.log = self.service.log
        self.rewriting: Iterator[int] | None = None
        self.doubtful, self.keeps_order = [], True
        context = ServerContext(self.engine, COMMANDS)
        self.may_fail = True
        self.sessions = [ClientSession(context) for _ in range(3)]

    # ---------------------------------------------------------------- the workload

    def run(self, rounds: int) -> None:
        try:
            for _ in range(rounds):
                self.round()
        finally:
            self.is_crashing = True  # what is left of a rewrite ends without checks

    def round(self) -> None:
        rng = self.rng
        for session in rng.sample(self.sessions, rng.randint(1, 3)):
            for _ in range(rng.randint(1, 2)):
                session.feed(self._request())
                self.history.append(self._items())
        if rng.random() < 0.2:  # while changes are not durable yet
            self._let_time_pass()
        if rng.random() < 0.2:
            self.step_rewrite()
        self._commit()
        choice = rng.randrange(12)
        if choice == 0:
            self._let_time_pass()
        elif choice in (1, 2, 8, 9):
            self.tick()
        elif choice in (3, 4, 5, 6):
            self.step_rewrite()
        elif choice == 7 and rng.random() < 0.5:
            self.crash()
        if self.disk.free < ENOUGH and rng.random() < 0.3:
            self.disk.free = ENOUGH

    def _let_time_pass(self) -> None:
        self.clock.forward(self.rng.randrange(400, 3000))
        self.engine.expire_slice()
        self.history.append(self._items())

    def _commit(self) -> None:
        try:
            self.log.commit()
        except CommitFailed:
            self._check_rolled_back()
        else:
            self.acknowledged = len(self.history) - 1

    def _check_rolled_back(self) -> None:
        """What is left must be a prefix of the history with everything acknowledged.

        It may have more than that, which a rotation has written.
        """
        self.keeps_order = False
        items = self._items()
        left = self._visible(items, in_order=False)
        for last in range(self.acknowledged, len(self.history)):
            if left == self._visible(self.history[last], in_order=False):
                break
        else:
            allowed = self.history[self.acknowledged :]
            raise self._lost(f"{items} is left after a failure, allowed are {allowed}")
        self.doubtful += self.history[last + 1 :]
        # The order of the keys may be another one now.
        self.history[last + 1 :] = [items]
        self.acknowledged = last + 1

    def tick(self) -> None:
        was_failing = self.log.problem is not None
        if was_failing and self.rewriting is not None:
            return  # one rewrite at a time, and recovery may be another one
        before = self.log.failures
        end = len(self.history) - 1
        self.service.tick()
        if self.log.failures != before:
            self._check_rolled_back()
        elif self.log.problem is None and not self.log.files.needs_sync:
            self.acknowledged = self.synced = end
        if was_failing and self.log.problem is None:
            self.doubtful.clear()

    def step_rewrite(self) -> None:
        before = self.log.failures
        try:
            if self.rewriting is None:
                self.rewriting = rewrite(self.log)
            for _ in range(self.rng.randint(1, 3)):
                next(self.rewriting)
        except StopIteration:
            self.rewriting = None
        except RewriteFailed:
            self.rewriting = None
        if self.log.failures != before:
            self._check_rolled_back()

    def _request(self) -> bytes:
        rng = self.rng
        key, other, value = rng.choice(KEYS), rng.choice(KEYS), rng.choice(VALUES)
        time = b"%d" % rng.randrange(1, 2000)
        commands = [
            [b"SET", key, value],
            [b"SET", key, value, b"PX", time],
            [b"SET", key, value, b"NX"],
            [b"SET", key, value, b"KEEPTTL"],
            [b"GETEX", key, b"PX", time],
            [b"APPEND", key, value],
            [b"SETRANGE", key, b"%d" % rng.randrange(5), value],
            [b"INCR", key],
            [b"INCRBYFLOAT", key, b"0.5"],
            [b"DEL", key, other],
            [b"RENAME", key, other],
            [b"COPY", key, other, b"REPLACE"],
            [b"MSETNX", key, value, other, value],
            [b"PEXPIRE", key, time],
            [b"PERSIST", key],
            [b"GET", key],
            [b"SELECT", rng.choice(DATABASES)],
            [b"MOVE", key, rng.choice(DATABASES)],
            [b"COPY", key, other, b"DB", rng.choice(DATABASES), b"REPLACE"],
        ]
        if rng.random() < 0.03:
            return _encode([rng.choice([b"FLUSHALL", b"FLUSHDB"])])
        if rng.random() < 0.05:
            return _encode([b"SWAPDB", rng.choice(DATABASES), rng.choice(DATABASES)])
        if rng.random() < 0.15:
            queue = [rng.choice(commands) for _ in range(3)]
            return b"".join(map(_encode, [[b"MULTI"], *queue, [b"EXEC"]]))
        return _encode(rng.choice(commands))

    # ---------------------------------------------------------------- crashes

    def _on_call(self, what: str) -> None:
        if self.is_crashing:
            return
        self._check_crash(self.disk)
        if not self.may_fail:
            return
        rng, faults = self.rng, self.faults
        if what == "sync" and rng.random() < faults.sync:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if what == "append" and rng.random() < faults.append:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if what == "append" and rng.random() < faults.full:
            self.disk.free = rng.randrange(50)
        if what not in ("append", "sync") and rng.random() < faults.other:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _check_crash(self, disk: SimulatedDisk) -> None:
        """Crash a copy of the disk in two ways, and replay what is left of it."""
        self.is_crashing = True
        try:
            for after, first in self._crashed(disk):
                self._check_start(after, first)
        finally:
            self.is_crashing = False

    def _crashed(self, disk: SimulatedDisk) -> list[tuple[SimulatedDisk, int]]:
        """Return disks after a crash, with the first state that may be on each."""
        after_power_failure = self.acknowledged if self.level == ALWAYS else self.synced
        return [
            (disk.after_power_failure(self.rng), after_power_failure),
            (disk.after_kill(self.rng), self.acknowledged),
        ]

    def _check_start(self, disk: SimulatedDisk, first: int, *, may_crash_again: bool = True) -> None:
        if may_crash_again and self.rng.random() < 0.2:
            # The start crashes too: what it has done so far must not make anything worse.
            lowest = first if self.level == ALWAYS else min(first, self.synced)

            def crash_again(_: str) -> None:
                self._check_start(disk.after_power_failure(self.rng), lowest, may_crash_again=False)

            disk.on_call = crash_again
        files = {name: bytes(inode.data) for name, inode in disk.files.items()}
        try:
            items = replayed(disk, self.clock)
        except EngineStartError as problem:
            raise self._lost(f"{problem}, from {files}") from None
        self.crash_points += 1
        if self.rng.random() < 0.1 and (sent := items_after_sending(disk)) != items:
            raise self._lost(f"{sent} is what a server gets from {files}, not {items}")
        allowed = self.doubtful + self.history[first:]
        visible = self._visible(items, in_order=self.keeps_order)
        if not any(visible == self._visible(each, in_order=self.keeps_order) for each in reversed(allowed)):
            raise self._lost(f"{items} was replayed, allowed are {allowed}, from {files}")

    def crash(self) -> None:
        """Crash in earnest, and go on with what is left."""
        self.is_crashing = True
        disk, _ = self.rng.choice(self._crashed(self.disk))
        disk.short_writes = 0.1
        self._open(disk)
        items = self._items()
        self.history.append(items)
        self.acknowledged = self.synced = len(self.history) - 1
        self.is_crashing = False

    def _lost(self, what: str) -> LostData:
        return LostData(f"KVLINE_SIMULATION_SEED={self.seed}: {what}")

    # ---------------------------------------------------------------- states

    def _items(self) -> AllItems:
        return all_items(self.store)

    def _visible(self, items: AllItems, *, in_order: bool = True) -> AllItems:
        """Return the keys that have not expired."""
        visible: AllItems = {}
        for index, each in items.items():
            found = [item for item in each if item[2] is None or item[2] > self.clock.now]
            if found:
                visible[index] = found if in_order else sorted(found, key=lambda item: item[0])
        return visible


def replayed(disk: SimulatedDisk, clock: Clock) -> AllItems:
    """Start a server on a disk, and return what it replays."""
    store = Store(clock)
    DurableEngine(store, LogSettings("simulated", lambda: disk)).open()
    return all_items(store)


def _encode(args: list[bytes]) -> bytes:
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args)
