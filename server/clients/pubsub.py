"""Publish/subscribe: channels, patterns of channels, and shard channels, which are channels of their own.

    PUBLISH -> PubSub.publish -> Hub -> the queue of each subscriber

A message goes to the subscribers of its channel, then to those of each pattern that matches. All subscribers get the
messages of all publishers in one order, because one lock is held while a message is put into the queues. No publisher
waits for a subscriber, because the queues are bounded (`server.clients.push`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from common.errors import (
    TOO_MANY_PATTERNS,
    TOO_MANY_SUBSCRIPTIONS,
    CommandError,
    channel_pattern_too_long,
    channel_too_long,
    too_many_subscriptions,
)
from common.limits import KIB, MIB
from common.replies import Push
from server.args.glob import Matcher, matcher
from server.clients.hub import Hub
from server.clients.push import Subscriber

MAX_CHANNEL_LENGTH = 16 * KIB
MAX_PATTERN_LENGTH = KIB
"""Bytes. A match takes at most the product of the two lengths, so patterns are shorter than those of KEYS."""

MAX_PATTERNS = 10_000
"""Different patterns in all. Each message is compared with each of them."""

MAX_CLIENT_SUBSCRIPTIONS = 64 * MIB
MAX_SUBSCRIPTIONS = 512 * MIB
"""Bytes that the subscriptions of one client take, and of all: names, and what it costs to store them."""

SUBSCRIPTION_OVERHEAD = 512
"""Bytes charged per subscription besides the name: entries in two tables, and a table of its own."""

PATTERN_OVERHEAD = 8
"""Bytes charged per byte of a pattern, for its regular expression."""

NAMES_PER_STEP = 256
"""Subscriptions that are added or removed until the lock is released: about a millisecond."""

MAX_QUICK_PATTERNS = 2 * KIB
"""Bytes of patterns up to which a PSUBSCRIBE is short: to compile them takes up to 16 ms."""

MAX_QUICK_COMPARISONS = 256 * KIB
"""The number of patterns, times the length of the channel, up to which a PUBLISH is short."""

MAX_QUICK_MESSAGE = 64 * KIB
"""Bytes of a message up to which a PUBLISH is short: it is quoted for subscribers in text."""


class Kind(Enum):
    """What a connection can subscribe to. The values are the kinds of the confirmations."""

    CHANNELS = b"subscribe", b"unsubscribe"
    PATTERNS = b"psubscribe", b"punsubscribe"
    SHARD_CHANNELS = b"ssubscribe", b"sunsubscribe"


class SubscriptionCounts(NamedTuple):
    """The number of subscriptions of one client."""

    channels: int = 0
    patterns: int = 0
    shard_channels: int = 0

    def of(self, kind: Kind) -> int:
        """Return the number that a confirmation shows: shard channels are counted on their own, as in Redis."""
        return self.shard_channels if kind is Kind.SHARD_CHANNELS else self.channels + self.patterns


class Subscriptions:
    """What one connection is subscribed to. Its own thread and, under the lock, `PubSub` use it."""

    __slots__ = ("names", "size", "subscriber")

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self.names: dict[Kind, dict[bytes, None]] = {kind: {} for kind in Kind}
        self.size = 0
        """The bytes that they take."""

    @property
    def is_empty(self) -> bool:
        """Whether there is no subscription."""
        return not any(self.names.values())

    @property
    def counts(self) -> SubscriptionCounts:
        """The number of subscriptions."""
        return SubscriptionCounts(*(len(self.names[kind]) for kind in Kind))


class PubSub:
    """All subscriptions of a server. Thread-safe. With no subscriber a message costs the look at two empty tables."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hubs = {kind: Hub(self._lock) for kind in Kind}
        self._channels = self._hubs[Kind.CHANNELS].topics
        self._shard_channels = self._hubs[Kind.SHARD_CHANNELS].topics
        self._patterns: dict[bytes, Matcher] = {}
        self._pattern_users: dict[bytes, int] = {}  # the subscribers of each, with those that are being added
        self._pattern_list: list[tuple[bytes, Matcher]] | None = []  # a copy, None after a change
        self._size = 0

    # ---------------------------------------------------------------- messages

    @property
    def has_subscribers(self) -> bool:
        """Whether a message could have a receiver. Shard channels do not count."""
        return bool(self._channels or self._patterns)

    def publish(self, channel: bytes, message: bytes) -> int:
        """Send a message to the subscribers of a channel and of the patterns that match. Return their number."""
        if not (self._channels or self._patterns):
            return 0
        # Before the lock is taken, because it may take long.
        matching = [pattern for pattern, matches in self._all_patterns() if matches(channel)]
        with self._lock:
            receivers = self._hubs[Kind.CHANNELS].push(channel, Push((b"message", channel, message)))
            for pattern in matching:
                receivers += self._hubs[Kind.PATTERNS].push(pattern, Push((b"pmessage", pattern, channel, message)))
        return receivers

    def publish_to_shard(self, channel: bytes, message: bytes) -> int:
        """Send a message to the subscribers of a shard channel. Return their number."""
        if not self._shard_channels:
            return 0
        with self._lock:
            return self._hubs[Kind.SHARD_CHANNELS].push(channel, Push((b"smessage", channel, message)))

    def may_take_long(self, channel: bytes, message: bytes) -> bool:
        """Return whether to publish this message could delay other connections of the thread."""
        return bool(self._channels or self._patterns or self._shard_channels) and (
            len(message) > MAX_QUICK_MESSAGE or len(self._patterns) * len(channel) > MAX_QUICK_COMPARISONS
        )

    @staticmethod
    def takes_long_to_compile(patterns: Sequence[bytes]) -> bool:
        """Return whether to subscribe to these patterns could delay other connections of the thread."""
        return sum(map(len, patterns)) > MAX_QUICK_PATTERNS

    def _all_patterns(self) -> list[tuple[bytes, Matcher]]:
        patterns = self._pattern_list
        if patterns is None:
            with self._lock:
                patterns = self._pattern_list = list(self._patterns.items())
        return patterns

    # ---------------------------------------------------------------- subscriptions

    def subscribe(self, kind: Kind, subscriptions: Subscriptions, names: Sequence[bytes]) -> None:
        """Add subscriptions and confirm each. Raises `CommandError`, and then none of them is added."""
        _check_lengths(kind, names)
        own = subscriptions.names[kind]
        added = [name for name in dict.fromkeys(names) if name not in own]
        size = sum(_size(kind, name) for name in added)
        if subscriptions.size + size > MAX_CLIENT_SUBSCRIPTIONS:
            raise CommandError(too_many_subscriptions(MAX_CLIENT_SUBSCRIPTIONS))
        matchers = _compile(added) if kind is Kind.PATTERNS else {}
        with self._lock:
            self._reserve(size, matchers)
        subscriptions.size += size
        hub, confirm = self._hubs[kind], subscriptions.subscriber.confirm
        for part in _parts(names):
            with self._lock:
                for name in part:
                    if name not in own:
                        own[name] = None
                        hub.add(name, subscriptions.subscriber)
                    # Under the lock, so that no message of the channel overtakes it.
                    confirm(Push((kind.value[0], name, subscriptions.counts.of(kind))))

    def _reserve(self, size: int, matchers: Mapping[bytes, Matcher]) -> None:
        """Charge subscriptions, and store their patterns. Raises `CommandError`, and then changes nothing."""
        if self._size + size > MAX_SUBSCRIPTIONS:
            raise CommandError(TOO_MANY_SUBSCRIPTIONS)
        new = {pattern: matches for pattern, matches in matchers.items() if pattern not in self._patterns}
        if len(self._patterns) + len(new) > MAX_PATTERNS:
            raise CommandError(TOO_MANY_PATTERNS)
        self._size += size
        for pattern in matchers:
            self._pattern_users[pattern] = self._pattern_users.get(pattern, 0) + 1
        if new:
            self._patterns |= new
            self._pattern_list = None

    def unsubscribe(self, kind: Kind, subscriptions: Subscriptions, names: Sequence[bytes]) -> None:
        """Remove subscriptions, all of this kind if no names are given, and confirm each."""
        confirm = subscriptions.subscriber.confirm
        ended = names or list(subscriptions.names[kind])
        if not ended:
            confirm(Push((kind.value[1], None, subscriptions.counts.of(kind))))
        for part in _parts(ended):
            with self._lock:
                for name in part:
                    self._remove(kind, subscriptions, name)
                    confirm(Push((kind.value[1], name, subscriptions.counts.of(kind))))

    def close(self, subscriptions: Subscriptions) -> None:
        """Remove all subscriptions of a connection without a confirmation."""
        for kind in Kind:
            for part in _parts(list(subscriptions.names[kind])):
                with self._lock:
                    for name in part:
                        self._remove(kind, subscriptions, name)

    def _remove(self, kind: Kind, subscriptions: Subscriptions, name: bytes) -> None:
        if name not in subscriptions.names[kind]:
            return
        del subscriptions.names[kind][name]
        size = _size(kind, name)
        subscriptions.size -= size
        self._size -= size
        self._hubs[kind].remove(name, subscriptions.subscriber)
        if kind is Kind.PATTERNS:
            self._pattern_users[name] -= 1
            if not self._pattern_users[name]:
                del self._pattern_users[name], self._patterns[name]
                self._pattern_list = None

    # ---------------------------------------------------------------- figures

    def topics(self, kind: Kind) -> list[bytes]:
        """Return the channels or patterns that have subscribers."""
        with self._lock:
            return list(self._hubs[kind].topics)

    def count(self, kind: Kind) -> int:
        """Return the number of channels or patterns that have subscribers."""
        return len(self._hubs[kind].topics)

    def subscribers_of(self, kind: Kind, names: Sequence[bytes]) -> list[int]:
        """Return the number of subscribers of each of these channels, without those of patterns."""
        with self._lock:
            topics = self._hubs[kind].topics
            return [len(topics.get(name, ())) for name in names]


def _check_lengths(kind: Kind, names: Sequence[bytes]) -> None:
    """Raise `CommandError` if a name is too long, or if there are more patterns than can be."""
    longest = max(map(len, names))
    if kind is not Kind.PATTERNS:
        if longest > MAX_CHANNEL_LENGTH:
            raise CommandError(channel_too_long(MAX_CHANNEL_LENGTH))
    elif longest > MAX_PATTERN_LENGTH:
        raise CommandError(channel_pattern_too_long(MAX_PATTERN_LENGTH))
    elif len(names) > MAX_PATTERNS:  # before they are compiled, which takes long
        raise CommandError(TOO_MANY_PATTERNS)


def _compile(patterns: Sequence[bytes]) -> dict[bytes, Matcher]:
    return {pattern: matcher(pattern) for pattern in patterns}


def _parts(names: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Cut names into parts, so that publishers can have the lock after each."""
    return (names[at : at + NAMES_PER_STEP] for at in range(0, len(names), NAMES_PER_STEP))


def _size(kind: Kind, name: bytes) -> int:
    return SUBSCRIPTION_OVERHEAD + len(name) * (PATTERN_OVERHEAD if kind is Kind.PATTERNS else 1)
