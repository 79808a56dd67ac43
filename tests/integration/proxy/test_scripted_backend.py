"""A backing server whose replies are late, partial, wrong or missing, at a time that a script decides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from common.errors import EXEC_ABORTED, NO_PASSWORD, CommandError
from common.replies import ErrorKind, ErrorReply
from server.engines.base import CallContext
from server.engines.redis.time_limit import time_limit
from tests.harness.backend_engine import NewEngine, new_engine
from tests.harness.fake_redis import (
    CLOSE,
    OK,
    SILENT,
    FakeConnection,
    FakeRedis,
    FakeRequest,
    Script,
    Step,
    array,
    bulk,
)
from tests.harness.waiting import TIMEOUT, wait_until

__all__ = ["new_engine"]

SHORT = 1.0
"""Seconds after which requests to a silent server fail."""

QUEUED = b"+QUEUED\r\n"
UNKNOWN = b"; whether the command ran is unknown"

NewFake = Callable[[Script], FakeRedis]


@pytest.fixture
def new_fake() -> Iterator[NewFake]:
    made: list[FakeRedis] = []

    def new(script: Script) -> FakeRedis:
        made.append(FakeRedis(script))
        return made[-1]

    yield new
    for each in made:
        each.close()


# ---------------------------------------------------------------- replies that arrive late


@pytest.mark.parametrize("first", ["GET a", "INCR a", "MULTI"])
def test_a_late_reply_is_never_taken_for_the_reply_to_the_next_request(
    new_fake: NewFake, new_engine: NewEngine, first: str
) -> None:
    """The server replies to the first request when it gets the second one, if that is on the same connection."""
    late: list[FakeConnection] = []

    def no_reply_yet(request: FakeRequest) -> Step:
        late.append(request.connection)
        return SILENT

    def get(request: FakeRequest) -> list[Step]:
        if request.args[1] == b"a":
            return [no_reply_yet(request)]
        return [bulk(b"the value of a")] * (request.connection in late) + [bulk(b"the value of b")]

    fake = new_fake({b"GET": get, b"INCR": no_reply_yet, b"MULTI": no_reply_yet, b"EXEC": SILENT})
    engine = new_engine(fake.url, connections=1, timeout=TIMEOUT)
    with time_limit(SHORT), pytest.raises(CommandError) as raised:
        engine.execute_all("GET a") if first == "MULTI" else engine.execute(first)
    assert raised.value.reply.kind is ErrorKind.UPSTREAM_TIMEOUT
    assert engine.execute("GET b") == b"the value of b"
    assert len(late) >= 1


def test_the_rest_of_a_malformed_reply_is_not_taken_for_the_reply_to_the_next_request(
    new_fake: NewFake, new_engine: NewEngine
) -> None:
    replies = iter([b"?\r\n" + bulk(b"the value of a"), bulk(b"the value of b")])
    fake = new_fake({b"GET": lambda _: next(replies)})
    engine = new_engine(fake.url, connections=1)
    kind, text = engine.failure("GET a")
    assert kind is ErrorKind.UPSTREAM_DOWN
    assert b"not a Redis reply" in text
    assert engine.execute("GET b") == b"the value of b"


def test_an_unsolicited_reply_is_not_taken_for_the_reply_to_the_next_request(
    new_fake: NewFake, new_engine: NewEngine
) -> None:
    """It arrives while the connection is idle in the pool."""
    used: list[FakeConnection] = []

    def get(request: FakeRequest) -> bytes:
        used.append(request.connection)
        return bulk(request.args[1])

    fake = new_fake({b"GET": get})
    engine = new_engine(fake.url, connections=1)
    assert engine.execute("GET a") == b"a"
    used[0].send(bulk(b"unsolicited"))
    assert engine.execute("GET b") == b"b"
    assert used[1] is not used[0]


def test_a_second_reply_to_one_request_is_not_taken_for_the_reply_to_the_next_request(
    new_fake: NewFake, new_engine: NewEngine
) -> None:
    """Both arrive in one read."""
    fake = new_fake({b"GET": lambda request: bulk(request.args[1]) + bulk(b"one too many")})
    engine = new_engine(fake.url, connections=1)
    assert [engine.execute("GET a"), engine.execute("GET b")] == [b"a", b"b"]


def test_a_connection_with_a_malformed_login_is_not_used(new_fake: NewFake, new_engine: NewEngine) -> None:
    replies = iter([b"?\r\n"])
    fake = new_fake({b"HELLO": lambda _: next(replies, OK), b"GET": bulk(b"value")})
    engine = new_engine(fake.url, connections=1, start=False)
    assert engine.failure("GET key")[0] is ErrorKind.UPSTREAM_DOWN
    assert engine.execute("GET key") == b"value"
    assert (fake.connections, fake.count(b"HELLO")) == (2, 2)


# ---------------------------------------------------------------- replies that do not arrive


@pytest.mark.parametrize("steps", [CLOSE, [b"$100\r\nhalf of it", CLOSE], [b"$", CLOSE]])
def test_a_connection_that_closes_before_the_whole_reply_is_an_error_and_nothing_is_sent_twice(
    new_fake: NewFake, new_engine: NewEngine, steps: Step
) -> None:
    fake = new_fake({b"GET": steps, b"SET": steps})
    engine = new_engine(fake.url)
    assert engine.failure("GET key") == (ErrorKind.UPSTREAM_DOWN, b"ERR backend unavailable: the connection was closed")
    kind, text = engine.failure("SET key value")
    assert kind is ErrorKind.UPSTREAM_DOWN
    assert text.endswith(UNKNOWN)
    assert (fake.count(b"GET"), fake.count(b"SET")) == (1, 1)
    assert engine.info("backend")["backend_unavailable"] == 2


@pytest.mark.parametrize("steps", [SILENT, b"$100\r\nhalf of it"])
def test_a_reply_that_is_too_slow_is_a_timeout_and_nothing_is_sent_twice(
    new_fake: NewFake, new_engine: NewEngine, steps: Step
) -> None:
    fake = new_fake({b"GET": steps, b"SET": steps})
    engine = new_engine(fake.url, timeout=SHORT)
    waited = b"ERR backend unavailable: timed out waiting for its reply"
    assert engine.failure("GET key") == (ErrorKind.UPSTREAM_TIMEOUT, waited)
    assert engine.failure("SET key value") == (ErrorKind.UPSTREAM_TIMEOUT, waited + UNKNOWN)
    assert (fake.count(b"GET"), fake.count(b"SET")) == (1, 1)
    assert engine.info("backend")["backend_timed_out"] == 2
    engine.engine.reset_stats()
    assert engine.info("backend")["backend_timed_out"] == 0


def test_a_server_that_is_silent_from_the_start_is_a_timeout_without_an_unknown_outcome(
    new_fake: NewFake, new_engine: NewEngine
) -> None:
    fake = new_fake({b"HELLO": SILENT})
    engine = new_engine(fake.url, timeout=SHORT)
    text = b"ERR backend unavailable: timed out connecting to it"
    assert engine.failure("SET key value") == (ErrorKind.UPSTREAM_TIMEOUT, text)
    assert fake.count(b"SET") == 0


def test_stop_ends_requests_that_wait_for_a_reply(new_fake: NewFake, new_engine: NewEngine) -> None:
    fake = new_fake({b"GET": SILENT})
    engine = new_engine(fake.url, connections=1, timeout=600)
    failures: list[ErrorKind] = []
    waiting = [threading.Thread(target=lambda: failures.append(engine.failure("GET key")[0])) for _ in range(2)]
    for each in waiting:
        each.start()
    wait_until(lambda: fake.count(b"GET") == 1, "one waits for a reply, the other for the connection")
    engine.engine.stop()
    for each in waiting:
        each.join(TIMEOUT)
    assert failures == [ErrorKind.UPSTREAM_DOWN] * 2
    assert engine.failure("GET key")[0] is ErrorKind.UPSTREAM_DOWN


def test_a_connection_closed_by_the_server_while_idle_costs_no_error(new_fake: NewFake, new_engine: NewEngine) -> None:
    used: list[FakeConnection] = []

    def set_(request: FakeRequest) -> bytes:
        used.append(request.connection)
        return OK

    fake = new_fake({b"SET": set_})
    engine = new_engine(fake.url, connections=1)
    engine.execute("SET key value")
    used[0].close()
    engine.execute("SET key value")
    assert fake.count(b"SET") == 2


# ---------------------------------------------------------------- errors and types


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        (
            b"-LOADING the data.\r\n",
            ErrorKind.UPSTREAM_DOWN,
            b"ERR backend unavailable: LOADING the data",
        ),
        (b"-NOAUTH Required.\r\n", ErrorKind.UPSTREAM_DOWN, b"ERR backend unavailable: NOAUTH Required"),
        (b"-CLUSTERDOWN down\r\n", ErrorKind.UPSTREAM_DOWN, b"ERR backend unavailable: CLUSTERDOWN down"),
        (b"-LOADINGDOCK is open\r\n", ErrorKind.CLIENT, b"LOADINGDOCK is open"),
        (b"-WRONGTYPE wrong.\r\n", ErrorKind.CLIENT, b"WRONGTYPE wrong."),
        (b"-OOM no memory\r\n", ErrorKind.OUT_OF_MEMORY, b"OOM no memory"),
        (
            b"-ERR value is not an integer or out of range\r\n",
            ErrorKind.CONFLICT,
            b"ERR value is not an integer or out of range",
        ),
    ],
)
def test_an_error_has_the_kind_of_its_code(
    new_fake: NewFake, new_engine: NewEngine, reply: bytes, kind: ErrorKind, text: bytes
) -> None:
    fake = new_fake({b"GET": reply, b"MULTI": OK, b"EXEC": array(reply)})
    engine = new_engine(fake.url)
    assert engine.failure("GET key") == (kind, text)


def test_an_error_inside_a_transaction_takes_the_place_of_a_reply(new_fake: NewFake, new_engine: NewEngine) -> None:
    fake = new_fake({b"MULTI": OK, b"GET": QUEUED, b"EXEC": array(b"-OOM no memory\r\n", bulk(b"value"))})
    outcomes = new_engine(fake.url).execute_all("GET a", "COMPACT", "GET b")
    assert outcomes is not None
    error, refused, value = outcomes
    assert isinstance(error, CommandError)
    assert error.reply == ErrorReply(b"OOM", b"no memory")
    assert isinstance(refused, CommandError)
    assert refused.reply.text == b"ERR COMPACT can't run in a transaction on this backing server"
    assert value == b"value"


@pytest.mark.parametrize("reply", [b":1\r\n", OK, array(), array(b":1\r\n", b":2\r\n"), bulk(b"x")])
def test_a_reply_to_exec_of_the_wrong_type_or_length_is_an_error_of_the_backing_server(
    new_fake: NewFake, new_engine: NewEngine, reply: bytes
) -> None:
    fake = new_fake({b"MULTI": OK, b"GET": QUEUED, b"EXEC": reply})
    with pytest.raises(CommandError) as raised:
        new_engine(fake.url).execute_all("GET a")
    assert raised.value.reply.kind is ErrorKind.UPSTREAM_DOWN


def test_a_reply_to_scan_of_the_wrong_type_is_an_error_of_the_backing_server(
    new_fake: NewFake, new_engine: NewEngine
) -> None:
    fake = new_fake({b"COMMAND": array(b"$-1\r\n"), b"SCAN": b":1\r\n", b"DBSIZE": OK, b"INFO": bulk(b"")})
    engine = new_engine(fake.url)
    assert engine.failure("COMPACT")[0] is ErrorKind.UPSTREAM_DOWN
    assert engine.engine.key_counts() is None


# ---------------------------------------------------------------- connections that watch


def test_a_watch_that_is_refused_holds_no_connection(new_fake: NewFake, new_engine: NewEngine) -> None:
    fake = new_fake({b"WATCH": b"-NOPERM this user has no permissions to run the 'watch' command\r\n"})
    engine = new_engine(fake.url, start=False).engine
    for _ in range(3):
        with pytest.raises(CommandError):
            engine.database(0).watch(engine.database(0).new_watch(), [b"key"])
    assert fake.connections == 1


def test_a_watch_whose_connection_gets_an_unsolicited_reply_is_dirty_and_its_connection_is_closed(
    new_fake: NewFake, new_engine: NewEngine
) -> None:
    watching: list[FakeConnection] = []

    def watch_(request: FakeRequest) -> bytes:
        watching.append(request.connection)
        return OK

    fake = new_fake({b"WATCH": watch_, b"MULTI": OK, b"GET": QUEUED, b"EXEC": array(bulk(b"value"))})
    engine = new_engine(fake.url, start=False).engine
    watch = engine.database(0).new_watch()
    engine.database(0).watch(watch, [b"key"])
    watching[0].send(OK)
    assert engine.execute_all([], {0: watch}, CallContext()) is None
    wait_until(lambda: fake.closed_connections == 1, "the connection is closed")


# ---------------------------------------------------------------- MULTI or EXEC is refused

NOPERM_MULTI = b"-NOPERM this user has no permissions to run the 'multi' command\r\n"


@pytest.mark.parametrize("watched", [(), (b"key",)], ids=["unwatched", "watched"])
def test_a_transaction_whose_multi_is_refused_runs_nothing(
    new_fake: NewFake, new_engine: NewEngine, watched: tuple[bytes, ...]
) -> None:
    """Sent in the same write as MULTI, the commands would run one by one."""
    fake = new_fake({b"MULTI": NOPERM_MULTI, b"WATCH": OK, b"SET": OK, b"EXEC": b"-ERR EXEC without MULTI\r\n"})
    engine = new_engine(fake.url)
    with pytest.raises(CommandError) as raised:
        engine.execute_all("SET key value", watched=watched)
    assert raised.value.reply.code == b"EXECABORT"
    assert b"NOPERM this user has no permissions to run the 'multi' command" in raised.value.reply.text
    assert (fake.count(b"MULTI"), fake.count(b"SET"), fake.count(b"EXEC")) == (1, 0, 0)


def test_a_connection_whose_multi_is_refused_ends_its_watch(new_fake: NewFake, new_engine: NewEngine) -> None:
    fake = new_fake({b"MULTI": NOPERM_MULTI, b"WATCH": OK})
    engine = new_engine(fake.url, start=False)
    with pytest.raises(CommandError):
        engine.execute_all("SET key value", watched=(b"key",))
    wait_until(lambda: fake.closed_connections == 1, "the connection is closed, no EXEC has ended its watch")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(b"-LOADING Redis is loading\r\n", ErrorKind.UPSTREAM_DOWN), (QUEUED, ErrorKind.UPSTREAM_DOWN)],
)
def test_a_reply_to_multi_that_is_not_ok_runs_nothing(
    new_fake: NewFake, new_engine: NewEngine, reply: bytes, kind: ErrorKind
) -> None:
    fake = new_fake({b"MULTI": reply, b"SET": OK, b"EXEC": array(OK)})
    with pytest.raises(CommandError) as raised:
        new_engine(fake.url).execute_all("SET key value")
    assert raised.value.reply.kind is kind
    assert UNKNOWN not in raised.value.reply.text, "nothing was sent that could have run"
    assert fake.count(b"SET") == 0


@pytest.mark.parametrize("watched", [(), (b"key",)], ids=["unwatched", "watched"])
def test_a_connection_whose_exec_is_refused_gets_no_more_requests(
    new_fake: NewFake, new_engine: NewEngine, watched: tuple[bytes, ...]
) -> None:
    """As Redis 6.0 if an ACL refuses EXEC: the connection stays in MULTI, and the next request would be queued."""
    in_multi: list[FakeConnection] = []

    def multi(request: FakeRequest) -> bytes:
        in_multi.append(request.connection)
        return OK

    def get(request: FakeRequest) -> bytes:
        return QUEUED if request.connection in in_multi else bulk(b"value")

    def watch(request: FakeRequest) -> bytes:
        return QUEUED if request.connection in in_multi else OK

    noperm = b"-NOPERM this user has no permissions to run the 'exec' command\r\n"
    fake = new_fake({b"MULTI": multi, b"GET": get, b"WATCH": watch, b"EXEC": noperm})
    engine = new_engine(fake.url, connections=1)
    for _ in range(2):
        with pytest.raises(CommandError) as raised:
            engine.execute_all("GET key", watched=watched)
        assert raised.value.reply.code == b"NOPERM"
    assert engine.execute("GET key") == b"value"
    assert len(set(in_multi)) == 2


def test_a_connection_is_used_again_after_an_aborted_transaction(new_fake: NewFake, new_engine: NewEngine) -> None:
    fake = new_fake({b"MULTI": OK, b"GET": b"-OOM no memory\r\n", b"EXEC": b"-%b\r\n" % EXEC_ABORTED.text})
    engine = new_engine(fake.url)
    for _ in range(2):
        with pytest.raises(CommandError) as raised:
            engine.execute_all("GET key")
        assert raised.value.reply.text == b"EXECABORT Transaction discarded because of: OOM no memory"
    assert fake.connections == 1


# ---------------------------------------------------------------- requests in flight on other connections


def test_a_timeout_does_not_disturb_requests_in_flight_on_other_connections(
    new_fake: NewFake, new_engine: NewEngine
) -> None:
    go_on = threading.Event()

    def get(request: FakeRequest) -> Step:
        if request.args[1] == b"silent":
            return SILENT
        go_on.wait(TIMEOUT)
        return bulk(request.args[1])

    fake = new_fake({b"GET": get})
    engine = new_engine(fake.url, timeout=600.0)
    with ThreadPoolExecutor(8) as pool:
        in_flight = [pool.submit(engine.execute, f"GET key{number}") for number in range(8)]
        wait_until(lambda: fake.count(b"GET") == 8, "eight requests wait for their replies")
        with time_limit(SHORT):
            assert engine.failure("GET silent")[0] is ErrorKind.UPSTREAM_TIMEOUT
        go_on.set()
        assert [each.result(TIMEOUT) for each in in_flight] == [b"key%d" % number for number in range(8)]


# ---------------------------------------------------------------- login


def test_the_login_is_sent_once_per_connection(new_fake: NewFake, new_engine: NewEngine) -> None:
    fake = new_fake({b"GET": bulk(b"value")})
    engine = new_engine(f"redis://user:p%40ss@127.0.0.1:{fake.port}/3?client_name=kvline")
    assert [engine.execute("GET key") for _ in range(3)] == [b"value"] * 3
    assert fake.requests == [
        [b"AUTH", b"user", b"p@ss"],
        [b"CLIENT", b"SETNAME", b"kvline"],
        [b"SELECT", b"3"],
        [b"HELLO", b"3"],
        [b"PING"],
        *[[b"GET", b"key"]] * 3,
    ]


@pytest.mark.parametrize("password", ["s3cret", "s3cret" * 100, "s3 cr et"])
def test_an_error_of_auth_never_repeats_the_password(new_fake: NewFake, new_engine: NewEngine, password: str) -> None:
    """A Redis whose AUTH is renamed, or another kind of server, repeats up to 128 bytes of an unknown command."""
    fake = new_fake(
        {b"AUTH": lambda request: b"-ERR unknown command 'AUTH', with args: %b\r\n" % request.args[1][:128]}
    )
    kind, text = new_engine(fake.url, password=password).failure("GET key")
    assert fake.requests[0] == [b"AUTH", password.encode()]
    assert kind is ErrorKind.UPSTREAM_DOWN
    assert text == b"ERR backend unavailable: it refuses AUTH, with an error that may contain the password"


def test_the_error_of_a_server_without_a_password_is_shown(new_fake: NewFake, new_engine: NewEngine) -> None:
    fake = new_fake({b"AUTH": b"-%b\r\n" % NO_PASSWORD.text})
    assert b"without any password configured" in new_engine(fake.url, password="secret").failure("GET key")[1]


@pytest.mark.parametrize("command", [b"AUTH", b"CLIENT", b"SELECT"])
def test_a_login_that_is_refused_is_an_error_with_the_servers_text(
    new_fake: NewFake, new_engine: NewEngine, command: bytes
) -> None:
    fake = new_fake({command: b"-WRONGPASS not you.\r\n"})
    engine = new_engine(f"redis://user:pass@127.0.0.1:{fake.port}/3?client_name=kvline")
    assert engine.failure("SET a b") == (ErrorKind.UPSTREAM_DOWN, b"ERR backend unavailable: WRONGPASS not you")
    assert fake.count(b"SET") == 0


def test_a_server_without_user_names_gets_the_password_alone(new_fake: NewFake, new_engine: NewEngine) -> None:
    """As Redis 5 and older, which also lack HELLO."""

    def auth(request: FakeRequest) -> bytes:
        return OK if len(request.args) == 2 else b"-ERR wrong number of arguments for 'auth' command\r\n"

    fake = new_fake({b"AUTH": auth, b"GET": bulk(b"value")})
    assert new_engine(f"redis://default:pass@127.0.0.1:{fake.port}").execute("GET key") == b"value"
    assert fake.requests[:4] == [[b"AUTH", b"default", b"pass"], [b"HELLO", b"3"], [b"AUTH", b"pass"], [b"HELLO", b"3"]]


# ---------------------------------------------------------------- tracking


class TrackedServer:
    """A fake Redis with one counter that every GET reads, and tracking that can be taken away."""

    def __init__(self, new_fake: NewFake) -> None:
        self.value = 1
        self.tracking_allowed = True
        self.trackers: list[FakeConnection] = []
        self.fake = new_fake({b"GET": lambda _: bulk(b"%d" % self.value), b"CLIENT": self._client})

    def _client(self, request: FakeRequest) -> Step:
        if request.args[1] == b"TRACKING":
            if not self.tracking_allowed:
                return b"-NOPERM this user has no permissions to run the 'client|tracking' command\r\n"
            self.trackers.append(request.connection)
        return OK


def test_cache_is_bypassed_while_tracking_is_not_connected(new_fake: NewFake, new_engine: NewEngine) -> None:
    """The server itself is up, so a stale value could be read if the cache were still used."""
    server = TrackedServer(new_fake)
    engine = new_engine(server.fake.url, cache_ttl=3600.0, cache_tracking=True)

    def connected() -> bool:
        return bool(engine.info("cache")["cache_tracking_connected"])

    wait_until(connected, "tracking is connected")
    assert engine.execute("GET key") == b"1"
    server.value = 2
    assert engine.execute("GET key") == b"1", "cached, because the server has not reported a change"
    assert engine.try_execute("GET key") == b"1"

    server.tracking_allowed = False
    server.trackers[-1].close()
    wait_until(lambda: not connected(), "the loss is noticed")
    for server.value in range(3, 6):
        assert engine.execute("GET key") == b"%d" % server.value
        assert engine.try_execute("GET key") != b"%d" % server.value, "nothing is served from the cache"
    assert engine.info("cache")["cache_keys"] == 0

    server.tracking_allowed = True
    wait_until(connected, "tracking is connected again")
    assert engine.execute("GET key") == b"5"
    server.value = 6
    assert engine.execute("GET key") == b"5", "cached again"


def test_nothing_is_cached_while_the_server_refuses_tracking(new_fake: NewFake, new_engine: NewEngine) -> None:
    server = TrackedServer(new_fake)
    server.tracking_allowed = False
    engine = new_engine(server.fake.url, cache_ttl=3600.0, cache_tracking=True)
    wait_until(lambda: server.fake.count(b"CLIENT") >= 2, "it was tried again")
    assert not engine.info("cache")["cache_tracking_connected"]
    for server.value in (2, 3):
        assert engine.execute("GET key") == b"%d" % server.value


def test_invalidate_messages_of_the_server_remove_entries(new_fake: NewFake, new_engine: NewEngine) -> None:
    server = TrackedServer(new_fake)
    engine = new_engine(server.fake.url, cache_ttl=3600.0, cache_tracking=True)
    wait_until(lambda: engine.info("cache")["cache_tracking_connected"], "tracking is connected")
    for message in (array(bulk(b"invalidate"), array(bulk(b"key"))), array(bulk(b"invalidate"), b"*-1\r\n")):
        engine.execute("GET key")
        server.value += 1
        server.trackers[-1].send(b">" + message[1:])
        wait_until(lambda: engine.execute("GET key") == b"%d" % server.value, "the entry is invalidated")
