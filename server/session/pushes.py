"""What the connection of one session is sent without a request: MONITOR's lines, messages, invalidations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from server.clients.pubsub import Kind, Subscriptions
from server.clients.push import PushQueue, Subscriber
from server.clients.registry import NO_SUBSCRIPTIONS, ClientInfo
from server.clients.tracker import Tracker, TrackingOptions
from server.session.context import ServerContext
from server.session.output import OutputFormat


class Pushes:
    """The queue of a connection, and what puts data into it, encoded as the reply to the request that asked for it.

    It shows in ``client`` what is pushed. ``changed`` is called when that may have changed `look_like_replies`.
    """

    __slots__ = ("_changed", "_client", "_context", "_monitor", "_output", "_subscriptions", "_tracker", "queue")

    def __init__(
        self,
        queue: PushQueue,
        output: OutputFormat,
        client: ClientInfo,
        context: ServerContext,
        changed: Callable[[], None],
    ) -> None:
        self.queue = queue
        self._output = output
        self._client = client
        self._context = context
        self._changed = changed
        self._monitor: Subscriber | None = None
        self._subscriptions: Subscriptions | None = None
        self._tracker: Tracker | None = None

    def start_monitoring(self) -> None:
        """Push every command from now on."""
        if self._monitor is None:
            self._monitor = self._new_subscriber()
            self._context.monitors.subscribe(self._monitor)
            self._client.is_monitoring = True

    def subscribe(self, kind: Kind, names: Sequence[bytes]) -> None:
        """Subscribe to channels or patterns. A push confirms each. Raises `CommandError` if there are too many."""
        self._context.pubsub.subscribe(kind, self._open_subscriptions(), names)
        self._update()

    def unsubscribe(self, kind: Kind, names: Sequence[bytes]) -> None:
        """End subscriptions, all of this kind if no names are given. A push confirms each."""
        self._context.pubsub.unsubscribe(kind, self._open_subscriptions(), names)
        self._update()

    def start_tracking(self, options: TrackingOptions, prefixes: Sequence[bytes]) -> None:
        """Push invalidations of what the client reads from now on, or push them with other options than before.

        Raises `CommandError` if the prefixes are refused.
        """
        tracker = self._tracker or Tracker(self._client.id, self._new_subscriber(), options)
        self._context.tracking.start(tracker, options, prefixes)
        tracker.subscriber.encoder = self._output.encoder
        self._tracker = tracker
        self._update()

    def stop_tracking(self) -> None:
        """Push no more invalidations."""
        if self._tracker is not None:
            self._context.tracking.stop(self._tracker)
            self._tracker = None
            self._update()

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
            self._context.monitors.unsubscribe(self._monitor)
        if self._subscriptions is not None:
            self._context.pubsub.close(self._subscriptions)
        self.queue.close()
        self._client.is_monitoring = False
        self._client.subscriptions = NO_SUBSCRIPTIONS
        self._client.push_receiver = None

    def _update(self) -> None:
        """Show what is pushed now, and what invalidations of other clients can be redirected to."""
        subscriptions, tracker = self._subscriptions, self._tracker
        self._client.subscriptions = NO_SUBSCRIPTIONS if subscriptions is None else subscriptions.counts
        self._client.tracker = tracker
        if subscriptions is not None:
            self._client.push_receiver = subscriptions.subscriber
        else:
            self._client.push_receiver = None if tracker is None else tracker.subscriber
        self._changed()

    def _new_subscriber(self) -> Subscriber:
        return Subscriber(self.queue, self._output.encoder)

    def _open_subscriptions(self) -> Subscriptions:
        """Return the subscriptions, whose pushes have the protocol of the last request about any of them."""
        if self._subscriptions is None:
            self._subscriptions = Subscriptions(self._new_subscriber())
        self._subscriptions.subscriber.encoder = self._output.encoder
        return self._subscriptions
