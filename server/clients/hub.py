"""Topics and their subscribers: the mechanism of MONITOR and of publish/subscribe."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from common.replies import Push, SimpleString
from server.clients.push import Subscriber, push_to_all


class Hub:
    """The subscribers of each topic. A topic exists while it has subscribers.

    Thread-safe. ``lock`` is held while a message is put into the queues, so all subscribers get the messages in one
    order. Several hubs may share one. Nothing waits for a subscriber: see `server.clients.push.PushQueue`.
    """

    def __init__(self, lock: threading.Lock | None = None) -> None:
        self.lock = threading.Lock() if lock is None else lock
        self.topics: dict[bytes, dict[Subscriber, None]] = {}
        """Subscribers in the order of their requests. Without the lock only to find out whether there are any."""

    def add(self, topic: bytes, subscriber: Subscriber) -> None:
        """Add a subscriber. The caller holds the lock."""
        self.topics.setdefault(topic, {})[subscriber] = None

    def remove(self, topic: bytes, subscriber: Subscriber) -> None:
        """Remove a subscriber of the topic. The caller holds the lock."""
        subscribers = self.topics[topic]
        del subscribers[subscriber]
        if not subscribers:
            del self.topics[topic]

    def push(self, topic: bytes, message: Push | SimpleString) -> int:
        """Push a message to the subscribers of a topic, and return their number. The caller holds the lock."""
        subscribers: Iterable[Subscriber] | None = self.topics.get(topic)
        if not subscribers:
            return 0
        push_to_all(subscribers, message)
        return len(self.topics[topic])
