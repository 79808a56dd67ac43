"""The settings of publish/subscribe, whose values CONFIG GET shows in Redis's normal form."""

from __future__ import annotations

import pytest

from common.replies import OK, Reply
from server.session.context import ServerContext
from server.settings import Settings
from server.settings.output_limits import OutputLimit
from tests.harness import sessions
from tests.harness.sessions import ClientSession, execute_line

LIMITS = "client-output-buffer-limit"
DEFAULT = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"


def execute(session: ClientSession, *args: str) -> Reply:
    return sessions.execute(session, *map(str.encode, args))


def config(session: ClientSession, name: str) -> object:
    (_, value) = execute(session, "CONFIG", "GET", name)  # type: ignore[misc]
    return value.decode()


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ("pubsub 1mb 2 3", "normal 0 0 0 slave 268435456 67108864 60 pubsub 1048576 2 3"),
        ("PubSub 1k 1kb 0", "normal 0 0 0 slave 268435456 67108864 60 pubsub 1000 1024 0"),
        (
            "replica 1g 1gb 2 normal 1m 1b 3",
            "normal 1000000 1 3 slave 1000000000 1073741824 2 pubsub 33554432 8388608 60",
        ),
        ("", DEFAULT),
    ],
)
def test_output_limits_are_shown_in_bytes(session: ClientSession, change: str, shown: str) -> None:
    assert execute(session, "CONFIG", "SET", LIMITS, change) == OK
    assert config(session, LIMITS) == shown


def test_a_class_that_is_not_named_keeps_its_limit(session: ClientSession) -> None:
    execute(session, "CONFIG", "SET", LIMITS, "pubsub 1 2 3")
    execute(session, "CONFIG", "SET", LIMITS, "normal 4 5 6")
    assert config(session, LIMITS) == "normal 4 5 6 slave 268435456 67108864 60 pubsub 1 2 3"
    assert session.context.push_limit.limit == OutputLimit(1, 2, 3)


@pytest.mark.parametrize(
    "value", ["pubsub", "x 1 1 1", "pubsub -1 1 1", "pubsub 1 1 1.5", "pubsub 9223372036854775808 1 1"]
)
def test_a_wrong_limit_changes_nothing(session: ClientSession, value: str) -> None:
    assert execute(session, "CONFIG", "SET", LIMITS, value) != OK
    assert config(session, LIMITS) == DEFAULT


# As Redis 7.0.15 prints them, which shows no "n" after "A".
@pytest.mark.parametrize(
    ("letters", "shown"),
    [
        ("", ""),
        ("EKA", "AKE"),
        ("gnK", "gnK"),
        ("zlt", "lzt"),
        ("EKx", "xKE"),
        ("mEKdtexzhsl$gn", "AKEm"),
        ("An", "A"),
        ("AAKK", "AK"),
    ],
)
def test_event_classes_are_shown_in_the_order_of_redis(session: ClientSession, letters: str, shown: str) -> None:
    assert execute(session, "CONFIG", "SET", "notify-keyspace-events", letters) == OK
    assert config(session, "notify-keyspace-events") == shown


def test_an_unknown_event_class_changes_nothing(session: ClientSession) -> None:
    execute_line(session, "CONFIG SET notify-keyspace-events KEx")
    assert execute_line(session, "CONFIG SET notify-keyspace-events KEQ") != OK
    assert config(session, "notify-keyspace-events") == "xKE"


def test_the_settings_apply_from_the_start(context: ServerContext) -> None:
    settings = Settings(notify_keyspace_events="KE$", host="", ports=())
    context.change_settings({"notify_keyspace_events": settings.notify_keyspace_events})
    assert context.key_events.is_on
    context.change_settings({"notify_keyspace_events": ""})
    assert not context.key_events.is_on
