"""The engine runs commands on the store. The lock stands here, and nowhere else.

Why every command takes it, reads too: a GET that ran between two writes of somebody's EXEC would see the first of them
and, on its next key, miss the second. With one lock around each command, and around each transaction as a whole, what
clients see is what they would see if all of it had run one after the other, in real time's order: strict
serialisability. Nothing here waits for anything but the lock: no socket, no disk, no log line. Words are parsed before
it is taken, and replies are encoded after it is released.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol, TypeAlias

from common.replies import Reply
from common.requests import Words
from server.registry import Command
from server.store import Store

Call: TypeAlias = tuple[Command, Words]


class Engine(Protocol):
    """Something that runs the commands whose scope is the store."""

    def execute(self, command: Command, words: Words) -> Reply:
        """Run one command as one step. Raises what the command raises."""
        ...

    def execute_all(self, calls: Sequence[Call]) -> list[Reply | Exception]:
        """Run the commands as one step; what one of them raises stands in its reply's place and stops no other."""
        ...


class EmbeddedEngine:
    """Run commands on a store in this process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.RLock()

    def execute(self, command: Command, words: Words) -> Reply:
        """Run one command as one step. Raises what the command raises."""
        with self._lock:
            return command.run(self._store, *words[1:])

    def execute_all(self, calls: Sequence[Call]) -> list[Reply | Exception]:
        """Run the commands as one step; what one of them raises stands in its reply's place and stops no other."""
        outcomes: list[Reply | Exception] = []
        with self._lock:
            for command, words in calls:
                try:
                    outcomes.append(self.execute(command, words))
                except Exception as problem:  # handled by the session, where the lock is free again
                    outcomes.append(problem)
        return outcomes
