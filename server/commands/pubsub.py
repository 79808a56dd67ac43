"""Publish/subscribe. The replies to the commands that subscribe are pushes."""

from __future__ import annotations

from common.errors import SUBSCRIBE_NEEDS_CONNECTION, CommandError, wrong_subcommand
from common.replies import NO_REPLY, Reply
from server.args.glob import matcher
from server.clients.pubsub import Kind
from server.registry import ALL_KEYS, CONTROL, ONE_KEY, CommandGroup, Flag, KeyFlag
from server.session.pushes import Pushes
from server.session.session import Session

group = CommandGroup("pubsub")

PUBSUB = CONTROL | Flag.PUBSUB
PUBLISHING = PUBSUB | Flag.FAST
SUBSCRIBING = PUBSUB | Flag.NOSCRIPT | Flag.WHILE_SUBSCRIBED


@group.control(
    "PUBLISH channel message",
    "Send a message to a channel; return the number of receivers.",
    PUBLISHING,
    since="2.0.0",
    complexity="O(N+M) where N is the number of subscribers and M the number of patterns",
)
def publish(session: Session, channel: bytes, message: bytes) -> Reply:
    return session.context.pubsub.publish(channel, message)


def _publish_may_take_long(session: Session, channel: bytes, message: bytes) -> bool:
    return session.context.pubsub.may_take_long(channel, message)


group.may_take_long("PUBLISH", _publish_may_take_long)


@group.control(
    "SUBSCRIBE channel [channel ...]",
    "Receive the messages of channels.",
    SUBSCRIBING,
    since="2.0.0",
    complexity="O(N) where N is the number of channels",
)
def subscribe(session: Session, channel: bytes, *more: bytes) -> Reply:
    _pushes(session).subscribe(Kind.CHANNELS, (channel, *more))
    return NO_REPLY


@group.control(
    "UNSUBSCRIBE [channel ...]",
    "Stop receiving messages of channels, of all if none are given.",
    SUBSCRIBING,
    since="2.0.0",
    complexity="O(N) where N is the number of channels",
)
def unsubscribe(session: Session, *channels: bytes) -> Reply:
    _pushes(session).unsubscribe(Kind.CHANNELS, channels)
    return NO_REPLY


@group.control(
    "PSUBSCRIBE pattern [pattern ...]",
    "Receive the messages of channels that match patterns.",
    SUBSCRIBING,
    since="2.0.0",
    complexity="O(N) where N is the length of the patterns",
)
def psubscribe(session: Session, pattern: bytes, *more: bytes) -> Reply:
    _pushes(session).subscribe(Kind.PATTERNS, (pattern, *more))
    return NO_REPLY


def _psubscribe_may_take_long(session: Session, *patterns: bytes) -> bool:
    return session.context.pubsub.takes_long_to_compile(patterns)


group.may_take_long("PSUBSCRIBE", _psubscribe_may_take_long)


@group.control(
    "PUNSUBSCRIBE [pattern ...]",
    "Stop receiving messages that match patterns, or any if none are given.",
    SUBSCRIBING,
    since="2.0.0",
    complexity="O(N) where N is the number of patterns",
)
def punsubscribe(session: Session, *patterns: bytes) -> Reply:
    _pushes(session).unsubscribe(Kind.PATTERNS, patterns)
    return NO_REPLY


def _pushes(session: Session) -> Pushes:
    """Return what pushes the messages to a client. Raises `CommandError` if its connection cannot be pushed to."""
    return session.open_pushes(SUBSCRIBE_NEEDS_CONNECTION)


# ---------------------------------------------------------------- shard channels


@group.control(
    "SPUBLISH shardchannel message",
    "Send a message to a shard channel; return the number of receivers.",
    PUBLISHING,
    keys=ONE_KEY.used(KeyFlag.NOT_KEY),
    since="7.0.0",
    complexity="O(N) where N is the number of subscribers",
)
def spublish(session: Session, channel: bytes, message: bytes) -> Reply:
    return session.context.pubsub.publish_to_shard(channel, message)


group.may_take_long("SPUBLISH", _publish_may_take_long)


@group.control(
    "SSUBSCRIBE shardchannel [shardchannel ...]",
    "Receive the messages of shard channels.",
    SUBSCRIBING,
    keys=ALL_KEYS.used(KeyFlag.NOT_KEY),
    since="7.0.0",
    complexity="O(N) where N is the number of channels",
)
def ssubscribe(session: Session, channel: bytes, *more: bytes) -> Reply:
    _pushes(session).subscribe(Kind.SHARD_CHANNELS, (channel, *more))
    return NO_REPLY


@group.control(
    "SUNSUBSCRIBE [shardchannel ...]",
    "Stop receiving messages of shard channels, of all if none are given.",
    SUBSCRIBING,
    keys=ALL_KEYS.used(KeyFlag.NOT_KEY),
    since="7.0.0",
    complexity="O(N) where N is the number of channels",
)
def sunsubscribe(session: Session, *channels: bytes) -> Reply:
    _pushes(session).unsubscribe(Kind.SHARD_CHANNELS, channels)
    return NO_REPLY


# ---------------------------------------------------------------- PUBSUB

group.container("PUBSUB", "Show which channels and patterns have subscribers.", since="2.8.0")


@group.control(
    "PUBSUB CHANNELS [pattern]",
    "Return the channels that have subscribers.",
    PUBSUB,
    since="2.8.0",
    complexity="O(N) where N is the number of channels",
)
def pubsub_channels(session: Session, *pattern: bytes) -> Reply:
    return _matching(session, Kind.CHANNELS, b"CHANNELS", pattern)


@group.control(
    "PUBSUB NUMPAT",
    "Return the number of different patterns that have subscribers.",
    PUBSUB,
    since="2.8.0",
)
def pubsub_numpat(session: Session) -> Reply:
    return session.context.pubsub.count(Kind.PATTERNS)


@group.control(
    "PUBSUB NUMSUB [channel ...]",
    "Return the number of subscribers of channels.",
    PUBSUB,
    since="2.8.0",
    complexity="O(N) where N is the number of channels asked for",
)
def pubsub_numsub(session: Session, *channels: bytes) -> Reply:
    return _numbers(session, Kind.CHANNELS, channels)


@group.control(
    "PUBSUB SHARDCHANNELS [pattern]",
    "Return the shard channels that have subscribers.",
    PUBSUB,
    since="7.0.0",
    complexity="O(N) where N is the number of shard channels",
)
def pubsub_shardchannels(session: Session, *pattern: bytes) -> Reply:
    return _matching(session, Kind.SHARD_CHANNELS, b"SHARDCHANNELS", pattern)


@group.control(
    "PUBSUB SHARDNUMSUB [shardchannel ...]",
    "Return the number of subscribers of shard channels.",
    PUBSUB,
    since="7.0.0",
    complexity="O(N) where N is the number of channels asked for",
)
def pubsub_shardnumsub(session: Session, *channels: bytes) -> Reply:
    return _numbers(session, Kind.SHARD_CHANNELS, channels)


def _matching(session: Session, kind: Kind, subcommand: bytes, pattern: tuple[bytes, ...]) -> Reply:
    # Not a wrong number of arguments: Redis has a text of its own (`addReplySubcommandSyntaxError`).
    if len(pattern) > 1:
        raise CommandError(wrong_subcommand(b"PUBSUB", subcommand))
    matches = matcher(*pattern or (b"*",))
    return [name for name in session.context.pubsub.topics(kind) if matches(name)]


def _numbers(session: Session, kind: Kind, channels: tuple[bytes, ...]) -> Reply:
    # A flat array also in RESP3, as in Redis.
    numbers = session.context.pubsub.subscribers_of(kind, channels)
    return [each for pair in zip(channels, numbers, strict=True) for each in pair]
