"""What the connection of one session is sent without a request: MONITOR's lines, messages, invalidations."""

from __future__ import annotations

from collections.abc import Sequence

from common.codec import Encoder
from server.clients.monitor import MonitorHub
from server.clients.pubsub import Kind, PubSub, SubscriptionCounts, Subscriptions
from server.clients.push import PushQueue, Subscriber
from server.clients.tracker import Tracker, TrackingOptions
from server.clients.tracking import Tracking


class Pushes:
    """The queue of a connection, and what puts data into it. ``encoder`` is always that of the present request."""

    __slots__ = ("_monitor", "_monitors", "_pubsub", "_subscriptions", "_tracking", "queue", "tracker")

    def __init__(self, queue: PushQueue, monitors: MonitorHub, pubsub: PubSub, tracking: Tracking) -> None:
        self.queue = queue
        self.tracker: Tracker | None = None
        """What CLIENT TRACKING has asked for, while it is on."""
        self._monitors = monitors
        self._pubsub = pubsub
        self._tracking = tracking
        self._monitor: Subscriber | None = None
        self._subscriptions: Subscriptions | None = None

    def start_monitoring(self, encoder: Encoder) -> None:
        """Push every command from now on."""
        if self._monitor is None:
            self._monitor = Subscriber(self.queue, encoder)
            self._monitors.subscribe(self._monitor)

    def subscribe(self, kind: Kind, names: Sequence[bytes], encoder: Encoder) -> None:
        """Subscribe to channels or patterns, with a push that confirms each. Raises `CommandError`: too many."""
        self._pubsub.subscribe(kind, self._open_subscriptions(encoder), names)

    def unsubscribe(self, kind: Kind, names: Sequence[bytes], encoder: Encoder) -> None:
        """End subscriptions, all of this kind if no names are given, with a push that confirms each."""
        self._pubsub.unsubscribe(kind, self._open_subscriptions(encoder), names)

    def start_tracking(
        self, client_id: int, options: TrackingOptions, prefixes: Sequence[bytes], encoder: Encoder
    ) -> None:
        """Push invalidations from now on, or with other options than before. Raises `CommandError`."""
        tracker = self.tracker or Tracker(client_id, Subscriber(self.queue, encoder), options)
        self._tracking.start(tracker, options, prefixes)
        tracker.subscriber.encoder = encoder
        self.tracker = tracker

    def stop_tracking(self) -> None:
        """Push no more invalidations."""
        if self.tracker is not None:
            self._tracking.stop(self.tracker)
            self.tracker = None

    @property
    def receiver(self) -> Subscriber | None:
        """What another client can redirect invalidations to, if anything."""
        if self._subscriptions is not None:
            return self._subscriptions.subscriber
        return None if self.tracker is None else self.tracker.subscriber

    @property
    def counts(self) -> SubscriptionCounts:
        """The number of subscriptions."""
        return SubscriptionCounts() if self._subscriptions is None else self._subscriptions.counts

    @property
    def look_like_replies(self) -> bool:
        """Whether the client is subscribed, and cannot distinguish a message from a reply."""
        subscriptions = self._subscriptions
        return subscriptions is not None and not (
            subscriptions.subscriber.encoder.marks_pushes or subscriptions.is_empty
        )

    def close(self) -> None:
        """End the monitoring, all subscriptions and the tracking. What has not been sent yet is discarded."""
        self.stop_tracking()
        if self._monitor is not None:
            self._monitors.unsubscribe(self._monitor)
        if self._subscriptions is not None:
            self._pubsub.close(self._subscriptions)
        self.queue.close()

    def _open_subscriptions(self, encoder: Encoder) -> Subscriptions:
        """Return the subscriptions, whose pushes have the protocol of the last request about any of them."""
        if self._subscriptions is None:
            self._subscriptions = Subscriptions(Subscriber(self.queue, encoder))
        self._subscriptions.subscriber.encoder = encoder
        return self._subscriptions
