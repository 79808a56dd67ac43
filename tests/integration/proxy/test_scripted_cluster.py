"""Redirections and failovers of a cluster whose nodes follow a script."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from common.errors import CROSS_SLOT, CommandError
from common.replies import ErrorKind, Lines
from server.commands import COMMANDS
from server.engines.base import CallContext
from server.engines.redis.slots import SLOT_COUNT, key_slot
from server.engines.redis.time_limit import time_limit
from tests.harness.backend_engine import BackendEngine, NewEngine, new_engine
from tests.harness.fake_redis import HOST, OK, SILENT, FakeRedis, FakeRequest, Script, Step, array, bulk
from tests.harness.waiting import TIMEOUT, wait_until

__all__ = ["new_engine"]

SLOT = key_slot(b"key")


class FakeCluster:
    """Two nodes, of which ``owner`` serves all slots according to both."""

    def __init__(self) -> None:
        self.nodes = [FakeRedis({b"GET": bulk(b"node %d" % number)}) for number in range(2)]
        self.owner: FakeRedis | None = self.nodes[0]
        for node in self.nodes:
            node.script[b"CLUSTER"] = self.slots

    def slots(self, _: FakeRequest | None = None) -> bytes:
        """Return the reply to CLUSTER SLOTS."""
        if self.owner is None:
            return array()
        address = array(bulk(HOST.encode()), b":%d\r\n" % self.owner.port)
        return array(array(b":0\r\n", b":%d\r\n" % (SLOT_COUNT - 1), address))

    def redirect(self, code: bytes, node: FakeRedis, host: str = HOST) -> bytes:
        """Return a MOVED or ASK error that names a node."""
        return b"-%b %d %b:%d\r\n" % (code, SLOT, host.encode(), node.port)

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    def close(self) -> None:
        for node in self.nodes:
            node.close()


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    made = FakeCluster()
    yield made
    made.close()


def get(engine: BackendEngine) -> object:
    """Return the reply to GET, or the kind of its error."""
    try:
        return engine.execute("GET key")
    except CommandError as problem:
        return problem.reply.kind


def test_a_failover_is_followed_though_the_dead_node_sends_no_redirection(
    cluster: FakeCluster, new_engine: NewEngine
) -> None:
    engine = new_engine(cluster.url)
    assert get(engine) == b"node 0"
    cluster.nodes[0].close()
    assert get(engine) is ErrorKind.UPSTREAM_DOWN
    cluster.owner = cluster.nodes[1]
    wait_until(lambda: get(engine) == b"node 1", "requests are sent to the node that took over")


@pytest.mark.parametrize("how", ["transaction", "watch"])
def test_a_failover_is_followed_after_a_failed_transaction(
    cluster: FakeCluster, new_engine: NewEngine, how: str
) -> None:
    first, second = cluster.nodes
    second.script |= {b"MULTI": OK, b"GET": b"+QUEUED\r\n", b"WATCH": OK, b"EXEC": array(bulk(b"node 1"))}
    engine = new_engine(cluster.url)
    first.close()
    cluster.owner = second
    watched = (b"key",) if how == "watch" else ()

    def transaction() -> object:
        try:
            return engine.execute_all("GET key", watched=watched)
        except CommandError as problem:
            return problem.reply.kind

    assert transaction() is ErrorKind.UPSTREAM_DOWN
    wait_until(lambda: transaction() == [b"node 1"], "transactions are sent to the node that took over")


def test_a_failover_from_a_node_that_hangs_is_followed(cluster: FakeCluster, new_engine: NewEngine) -> None:
    engine = new_engine(cluster.url, timeout=1.0)
    cluster.nodes[0].script |= {b"GET": SILENT, b"CLUSTER": SILENT}
    assert get(engine) is ErrorKind.UPSTREAM_TIMEOUT
    cluster.owner = cluster.nodes[1]
    wait_until(lambda: get(engine) == b"node 1", "requests are sent to the node that took over")


def test_moved_is_followed_and_remembered(cluster: FakeCluster, new_engine: NewEngine) -> None:
    first, second = cluster.nodes
    engine = new_engine(cluster.url)
    first.script[b"GET"] = cluster.redirect(b"MOVED", second)
    cluster.owner = second
    assert [get(engine) for _ in range(3)] == [b"node 1"] * 3
    assert first.count(b"GET") == 1


def test_moved_without_a_host_means_the_host_of_the_sender(cluster: FakeCluster, new_engine: NewEngine) -> None:
    first, second = cluster.nodes
    engine = new_engine(cluster.url)
    first.script[b"GET"] = cluster.redirect(b"MOVED", second, host="")
    assert get(engine) == b"node 1"


def test_ask_is_followed_once_and_not_remembered(cluster: FakeCluster, new_engine: NewEngine) -> None:
    first, second = cluster.nodes
    engine = new_engine(cluster.url)
    first.script |= {b"GET": cluster.redirect(b"ASK", second), b"CLUSTER": SILENT}  # so no reload can correct the table
    second.script |= {b"ASKING": OK, b"CLUSTER": SILENT}
    assert [get(engine) for _ in range(2)] == [b"node 1"] * 2
    assert first.count(b"GET") == 2
    assert second.requests[-2:] == [[b"ASKING"], [b"GET", b"key"]]


def test_tryagain_is_tried_again(cluster: FakeCluster, new_engine: NewEngine) -> None:
    replies: Iterator[bytes] = iter([b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n"] * 2)
    cluster.nodes[0].script[b"GET"] = lambda _: next(replies, bulk(b"value"))
    assert get(new_engine(cluster.url)) == b"value"


@pytest.mark.parametrize("code", [b"MOVED", b"ASK", b"TRYAGAIN"])
def test_a_storm_of_redirections_ends_in_an_error(cluster: FakeCluster, new_engine: NewEngine, code: bytes) -> None:
    """Each node sends the client to the other one, as two nodes that disagree about a slot do."""
    first, second = cluster.nodes
    for node, other in ((first, second), (second, first)):
        node.script |= {b"GET": cluster.redirect(code, other), b"ASKING": OK}
    engine = new_engine(cluster.url)
    kind, text = engine.failure("GET key")
    assert kind is ErrorKind.UPSTREAM_DOWN
    assert text == b"ERR backend unavailable: the cluster redirected the request too often"
    assert first.count(b"GET") + second.count(b"GET") <= 10


@pytest.mark.parametrize("code", [b"MOVED", b"ASK", b"TRYAGAIN"])
def test_a_storm_of_redirections_ends_a_transaction_too(
    cluster: FakeCluster, new_engine: NewEngine, code: bytes
) -> None:
    first, second = cluster.nodes
    for node, other in ((first, second), (second, first)):
        moved = cluster.redirect(code, other)
        node.script |= {b"ASKING": OK, b"MULTI": OK, b"GET": moved, b"WATCH": moved, b"EXEC": ABORTED}
    engine = new_engine(cluster.url)
    for watched in ((), (b"key",)):
        with pytest.raises(CommandError) as raised:
            engine.execute_all("GET key", watched=watched)
        assert raised.value.reply.kind is ErrorKind.UPSTREAM_DOWN


# ---------------------------------------------------------------- transactions and watches while a slot migrates

ABORTED = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
TRYAGAIN = b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n"
TRANSACTION: Script = {
    b"ASKING": OK,
    b"MULTI": OK,
    b"GET": b"+QUEUED\r\n",
    b"EXEC": array(bulk(b"value")),
    b"WATCH": OK,
}


def migrate(cluster: FakeCluster) -> tuple[FakeRedis, FakeRedis]:
    """Let the first node send all requests for keys to the second one by ASK. Return both."""
    first, second = cluster.nodes
    ask = cluster.redirect(b"ASK", second)
    first.script |= {b"MULTI": OK, b"GET": ask, b"WATCH": ask, b"EXEC": ABORTED}
    second.script |= TRANSACTION
    return first, second


def test_a_transaction_follows_ask_and_does_not_remember_it(cluster: FakeCluster, new_engine: NewEngine) -> None:
    first, second = migrate(cluster)
    engine = new_engine(cluster.url)
    for _ in range(2):
        assert engine.execute_all("GET key") == [b"value"]
        assert second.requests[-4:] == [[b"ASKING"], [b"MULTI"], [b"GET", b"key"], [b"EXEC"]]
    assert first.count(b"EXEC") == 2


def test_a_watch_follows_ask_and_so_does_its_transaction(cluster: FakeCluster, new_engine: NewEngine) -> None:
    _, second = migrate(cluster)
    assert new_engine(cluster.url).execute_all("GET key", watched=(b"key",)) == [b"value"]
    assert second.requests[-6:] == [
        *[[b"ASKING"], [b"WATCH", b"key"]],
        *[[b"ASKING"], [b"MULTI"], [b"GET", b"key"], [b"EXEC"]],
    ]


def test_a_later_watch_on_an_importing_node_is_preceded_by_asking(cluster: FakeCluster, new_engine: NewEngine) -> None:
    _, second = migrate(cluster)
    second.script[b"EXEC"] = array()
    engine = new_engine(cluster.url).engine
    watch = engine.database(0).new_watch()
    for key in (b"{key}a", b"{key}b"):
        engine.database(0).watch(watch, [key])
        assert second.requests[-2:] == [[b"ASKING"], [b"WATCH", key]]
    assert engine.execute_all([], {0: watch}, CallContext()) == []


@pytest.mark.parametrize("watched", [(), (b"key",)], ids=["unwatched", "watched"])
def test_a_transaction_that_exec_redirects_by_ask_is_repeated_or_dirty(
    cluster: FakeCluster, new_engine: NewEngine, watched: tuple[bytes, ...]
) -> None:
    """The key is migrated after the commands have been queued. A watch has not seen what happened since."""
    first, second = cluster.nodes
    first.script |= {**TRANSACTION, b"EXEC": cluster.redirect(b"ASK", second)}
    second.script |= TRANSACTION
    outcome = new_engine(cluster.url).execute_all("GET key", watched=watched)
    assert outcome == (None if watched else [b"value"])
    assert second.count(b"EXEC") == (0 if watched else 1)


def test_a_transaction_that_is_refused_ends_its_watch(cluster: FakeCluster, new_engine: NewEngine) -> None:
    first, _ = cluster.nodes
    first.script |= TRANSACTION
    engine = new_engine(cluster.url).engine
    watch = engine.database(0).new_watch()
    engine.database(0).watch(watch, [b"key"])
    args = [b"GET", b"in another slot"]
    with pytest.raises(CommandError) as raised:
        engine.execute_all([(0, [(COMMANDS.resolve(args), args)])], {0: watch}, CallContext())
    assert raised.value.reply == CROSS_SLOT
    assert not watch.keys


@pytest.mark.parametrize("code", [b"MOVED", b"ASK", b"TRYAGAIN"])
def test_a_watch_whose_keys_are_redirected_later_is_dirty(
    cluster: FakeCluster, new_engine: NewEngine, code: bytes
) -> None:
    first, second = cluster.nodes
    first.script |= TRANSACTION
    second.script |= TRANSACTION
    engine = new_engine(cluster.url).engine
    watch = engine.database(0).new_watch()
    engine.database(0).watch(watch, [b"{key}a"])
    first.script[b"WATCH"] = cluster.redirect(code, second)
    engine.database(0).watch(watch, [b"{key}b"])
    assert engine.execute_all([], {0: watch}, CallContext()) is None
    assert (first.count(b"EXEC"), second.count(b"EXEC")) == (0, 0)


def test_a_transaction_and_a_watch_are_tried_again_after_tryagain(cluster: FakeCluster, new_engine: NewEngine) -> None:
    """Of their keys, some have been migrated, and the others have not."""
    first, _ = cluster.nodes
    replies = {name: iter([TRYAGAIN] * 2) for name in (b"EXEC", b"WATCH")}
    first.script |= TRANSACTION
    for name, final in ((b"EXEC", array(bulk(b"value"))), (b"WATCH", OK)):
        first.script[name] = lambda _, name=name, final=final: next(replies[name], final)
    engine = new_engine(cluster.url)
    assert engine.execute_all("GET key") == [b"value"]
    assert engine.execute_all("GET key", watched=(b"key",)) == [b"value"]
    assert (first.count(b"EXEC"), first.count(b"WATCH")) == (4, 3)


def test_tryagain_after_ask_is_tried_again_at_the_importing_node(cluster: FakeCluster, new_engine: NewEngine) -> None:
    first, second = migrate(cluster)
    replies: Iterator[bytes] = iter([TRYAGAIN] * 3)
    second.script[b"GET"] = lambda _: next(replies, bulk(b"value"))
    assert get(new_engine(cluster.url)) == b"value"
    assert (first.count(b"GET"), second.count(b"ASKING")) == (1, 4)


def test_compact_reads_keys_that_have_been_migrated_where_they_are(cluster: FakeCluster, new_engine: NewEngine) -> None:
    first, second = migrate(cluster)
    first.script |= {b"COMMAND": array(bulk(b"x")), b"SCAN": array(bulk(b"0"), array(bulk(b"key")))}
    first.script[b"PEXPIRETIME"] = first.script[b"GET"]
    second.script |= {b"PEXPIRETIME": b"+QUEUED\r\n", b"EXEC": array(bulk(b"value"), b":-1\r\n")}
    lines = new_engine(cluster.url).execute("COMPACT")
    assert isinstance(lines, Lines)
    assert list(lines.lines) == [b"SET key value"]


# ---------------------------------------------------------------- requests in flight


@pytest.mark.parametrize("takes_over", [False, True], ids=["the node stays", "another node takes over"])
def test_a_timeout_does_not_disturb_requests_in_flight_on_the_same_node(
    cluster: FakeCluster, new_engine: NewEngine, takes_over: bool
) -> None:
    """The time-out causes a refresh of the slot table, which retires the node if it serves no slot any more."""
    first, second = cluster.nodes
    go_on = threading.Event()

    def reply(request: FakeRequest) -> Step:
        if request.args[1] == b"silent":
            return SILENT
        go_on.wait(TIMEOUT)
        return bulk(request.args[1])

    first.script[b"GET"] = reply
    engine = new_engine(cluster.url, timeout=600.0)
    with ThreadPoolExecutor(8) as pool:
        in_flight = [pool.submit(engine.execute, f"GET key{number}") for number in range(8)]
        wait_until(lambda: first.count(b"GET") == 8, "eight requests wait for their replies")
        cluster.owner = second if takes_over else first
        refreshes = first.count(b"CLUSTER") + second.count(b"CLUSTER")
        with time_limit(0.2):
            assert engine.failure("GET silent")[0] is ErrorKind.UPSTREAM_TIMEOUT
        wait_until(lambda: first.count(b"CLUSTER") + second.count(b"CLUSTER") > refreshes, "the table is loaded again")
        if takes_over:
            wait_until(lambda: get(engine) == b"node 1", "the new table is used")
        go_on.set()
        assert [each.result(TIMEOUT) for each in in_flight] == [b"key%d" % number for number in range(8)]


# ---------------------------------------------------------------- malformed replies, other nodes


@pytest.mark.parametrize("reply", [b"-MOVED\r\n", b"-MOVED x y:z\r\n", b"-MOVED 99999 127.0.0.1:1\r\n", b"-ASK 1\r\n"])
def test_a_malformed_redirection_is_an_error(cluster: FakeCluster, new_engine: NewEngine, reply: bytes) -> None:
    cluster.nodes[0].script[b"GET"] = reply
    assert get(new_engine(cluster.url)) is ErrorKind.UPSTREAM_DOWN


@pytest.mark.parametrize("reply", [OK, array(OK), array(array(b":0\r\n", b":99999\r\n", array(bulk(b"h"), b":1\r\n")))])
def test_a_malformed_slot_table_is_an_error(cluster: FakeCluster, new_engine: NewEngine, reply: bytes) -> None:
    for node in cluster.nodes:
        node.script[b"CLUSTER"] = reply
    assert get(new_engine(cluster.url)) is ErrorKind.UPSTREAM_DOWN


def test_a_node_that_does_not_know_its_host_is_the_one_that_was_asked(
    cluster: FakeCluster, new_engine: NewEngine
) -> None:
    first, second = cluster.nodes
    second.close()
    address = array(bulk(b""), b":%d\r\n" % first.port)
    first.script[b"CLUSTER"] = array(array(b":0\r\n", b":%d\r\n" % (SLOT_COUNT - 1), address))
    assert get(new_engine(cluster.url)) == b"node 0"


@pytest.mark.parametrize("steps", [SILENT, b"-LOADING Redis is loading\r\n", b"-ERR cluster support disabled\r\n"])
def test_the_slot_table_is_loaded_from_another_node_if_one_fails(
    cluster: FakeCluster, new_engine: NewEngine, steps: Step
) -> None:
    def slots_over_a_slow_network(_: FakeRequest) -> bytes:
        time.sleep(0.02)  # more than the minimum of a timeout
        return cluster.slots()

    cluster.nodes[0].script[b"CLUSTER"] = slots_over_a_slow_network
    cluster.nodes[1].script[b"CLUSTER"] = steps
    timeout = 6.0 if steps is SILENT else TIMEOUT  # a part of it passes before the other node is asked
    while not cluster.nodes[1].count(b"CLUSTER"):  # the order of the nodes is random
        assert get(new_engine(cluster.url, timeout=timeout, start=False)) == b"node 0"


def test_a_slot_that_is_assigned_later_is_found(cluster: FakeCluster, new_engine: NewEngine) -> None:
    cluster.owner = None
    engine = new_engine(cluster.url)
    kind, text = engine.failure("GET key")
    assert (kind, text) == (
        ErrorKind.UPSTREAM_DOWN,
        b"ERR backend unavailable: no node of the cluster serves slot %d" % SLOT,
    )
    assert engine.failure("DBSIZE")[0] is ErrorKind.UPSTREAM_DOWN
    cluster.owner = cluster.nodes[0]
    assert get(engine) == b"node 0"


def test_connections_to_a_node_without_slots_are_closed(cluster: FakeCluster, new_engine: NewEngine) -> None:
    first, second = cluster.nodes
    engine = new_engine(cluster.url)
    assert get(engine) == b"node 0"
    first.script[b"GET"] = cluster.redirect(b"MOVED", second)
    cluster.owner = second
    assert get(engine) == b"node 1"
    wait_until(lambda: first.closed_connections == first.connections, "the idle connection is closed")


SCRIPTS: list[tuple[str, Script]] = [
    ("DBSIZE", {b"DBSIZE": OK}),
    ("KEYS *", {b"KEYS": b":1\r\n"}),
    ("SCAN 0", {b"SCAN": array()}),
]


@pytest.mark.parametrize(("line", "script"), SCRIPTS, ids=[line for line, _ in SCRIPTS])
def test_a_reply_of_the_wrong_type_is_an_error_of_the_backing_server(
    cluster: FakeCluster, new_engine: NewEngine, line: str, script: Script
) -> None:
    cluster.nodes[0].script |= script
    assert new_engine(cluster.url).failure(line)[0] is ErrorKind.UPSTREAM_DOWN


def test_a_write_to_all_nodes_reports_those_that_failed(cluster: FakeCluster, new_engine: NewEngine) -> None:
    first, second = cluster.nodes
    halves = [
        array(b":%d\r\n" % low, b":%d\r\n" % high, array(bulk(HOST.encode()), b":%d\r\n" % node.port))
        for low, high, node in ((0, 8191, first), (8192, SLOT_COUNT - 1, second))
    ]
    for node in cluster.nodes:
        node.script[b"CLUSTER"] = array(*halves)
        node.script[b"FLUSHALL"] = OK
    engine = new_engine(cluster.url)
    engine.execute("FLUSHALL")
    second.script[b"FLUSHALL"] = b"-MISCONF no disk\r\n"
    text = b"ERR backend unavailable: some nodes failed, the others have executed the command (1 of 2 failed)"
    assert engine.failure("FLUSHALL") == (ErrorKind.UPSTREAM_DOWN, text)
    first.script[b"FLUSHALL"] = b"-MISCONF no disk\r\n"
    assert engine.failure("FLUSHALL") == (ErrorKind.CLIENT, b"MISCONF no disk")
