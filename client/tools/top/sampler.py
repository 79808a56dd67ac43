"""The thread that asks the server at intervals, and connects again after the connection is lost.

A thread, because a conversation blocks: while a server hangs, the view still reacts to keys.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from client.connection import ConnectionLost
from client.conversation import CannotConnect, Conversation
from client.tools.top.snapshot import Snapshot, take_snapshot
from common.resp_client import MalformedReply


class Sampler:
    """Calls ``publish`` with a snapshot every ``interval`` seconds, or with the reason if there is no connection."""

    def __init__(
        self, conversation: Conversation, interval: float, publish: Callable[[Snapshot | str], object]
    ) -> None:
        self._conversation = conversation
        self._interval = interval
        self._publish = publish
        self._runs = threading.Event()
        self._runs.set()
        self._ended = threading.Event()
        # A daemon: the end of the program does not wait for a server that hangs.
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Publish nothing any more. Does not wait for the thread."""
        self._ended.set()
        self._runs.set()

    def pause(self) -> None:
        """Ask nothing until `resume`."""
        self._runs.clear()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._runs.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            sample = self._sample()
            if not self._ended.is_set():
                self._publish(sample)
            self._ended.wait(self._interval)
            self._runs.wait()
        self._conversation.disconnect()

    def _sample(self) -> Snapshot | str:
        try:
            if self._conversation.is_lost():
                self._conversation.reconnect()
            return take_snapshot(self._conversation)
        except (CannotConnect, ConnectionLost, MalformedReply) as problem:
            return str(problem)
