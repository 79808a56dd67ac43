"""A real Redis Cluster of three nodes as the backing server."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from redis.cluster import RedisCluster

from tests.harness.backing_redis import SHORT, execute, execute_each, info, is_unavailable, new_redis
from tests.harness.http_wire import new_http_client
from tests.harness.processes import Peer, ServerProcess, StartServer
from tests.harness.redis_server import HOST, RedisServer
from tests.harness.resp_wire import Aggregate, Reply, payload
from tests.harness.waiting import TIMEOUT, wait_until

OK = b"+OK\r\n"
QUEUED = b"+QUEUED\r\n"
CROSS_SLOT = b"-CROSSSLOT Keys in request don't hash to the same slot\r\n"
SLOTS = 16384


class ThreeNodes:
    """Three primaries that share the slots, each with a directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.nodes: list[RedisServer] = []
        try:
            self._start(folder)
        except BaseException:
            self.close()
            raise

    def _start(self, folder: Path) -> None:
        for number in range(3):
            home = folder / str(number)
            home.mkdir()
            self.nodes.append(new_redis(cluster_enabled="yes", cluster_node_timeout="2000", dir=str(home)))
        first = self.nodes[0]
        for number, node in enumerate(self.nodes):
            peer = node.connect()
            # As redis-cli does. Nodes with equal epochs resolve that later, and can undo a migration of slots by it.
            assert execute(peer, f"CLUSTER SET-CONFIG-EPOCH {number + 1}") == OK
            mine = range(SLOTS * number // 3, SLOTS * (number + 1) // 3)
            assert execute(peer, "CLUSTER ADDSLOTS " + " ".join(map(str, mine))) == OK
            execute(peer, f"CLUSTER MEET {HOST} {first.port}")
        wait_until(lambda: all(self._is_whole(node) for node in self.nodes), "the cluster is whole")

    def _is_whole(self, node: RedisServer) -> bool:
        peer = node.connect()
        section = bytes(execute(peer, "CLUSTER INFO"))
        return b"cluster_state:ok" in section and b"cluster_known_nodes:3" in section

    def add_replica(self, home: Path, primary_id: str) -> RedisServer:
        """Start a replica of a primary, and wait until its data is complete."""
        home.mkdir()
        replica = new_redis(cluster_enabled="yes", cluster_node_timeout="2000", dir=str(home))
        self.nodes.append(replica)
        execute(replica.connect(), f"CLUSTER MEET {HOST} {self.nodes[0].port}")
        wait_until(lambda: execute(replica.connect(), f"CLUSTER REPLICATE {primary_id}") == OK, "the nodes have met")
        wait_until(lambda: info(replica.connect(), "replication")["master_link_status"] == "up", "replication is up")
        return replica

    @staticmethod
    def read_replica(replica: RedisServer, key: str) -> bytes:
        """Return the reply of a replica to GET."""
        return bytes(execute_each(replica.connect(), "READONLY", f"GET {key}")[1])

    def slot_of(self, key: str) -> int:
        return int(bytes(execute(self.nodes[0].connect(), f"CLUSTER KEYSLOT {key}"))[1:])

    def owner_of(self, key: str) -> RedisServer:
        """Return the node that has a key."""
        return next(node for node in self.nodes if bytes(execute(node.connect(), f"GET {key}")).startswith(b"$"))

    def begin_migration(self, key: str, *migrated: str) -> tuple[RedisServer, RedisServer]:
        """Begin to migrate the slot of a key, and migrate these keys of the slot. Return the new and the old owner."""
        source, slot = self.owner_of(key), self.slot_of(key)
        target = next(node for node in self.nodes if node is not source)
        assert execute(target.connect(), f"CLUSTER SETSLOT {slot} IMPORTING {self._id_of(source)}") == OK
        assert execute(source.connect(), f"CLUSTER SETSLOT {slot} MIGRATING {self._id_of(target)}") == OK
        for each in migrated:
            assert execute(source.connect(), f"MIGRATE {HOST} {target.port} {each} 0 5000") == OK
        return target, source

    def end_migration(self, migration: tuple[RedisServer, RedisServer], key: str) -> None:
        """Give the slot of a key, whose keys have all been migrated, to the new owner."""
        target = migration[0]

        def knows_owner(node: RedisServer) -> bool:
            reply = bytes(execute(node.connect(), f"GET {key}"))
            return reply.startswith(b"$") if node is target else reply.endswith(b":%d\r\n" % target.port)

        for node in migration:
            assert execute(node.connect(), f"CLUSTER SETSLOT {self.slot_of(key)} NODE {self._id_of(target)}") == OK
        # Until all nodes know the owner, two of them may redirect a client to each other.
        wait_until(lambda: all(map(knows_owner, self.nodes)), "every node knows the owner")

    @staticmethod
    def _id_of(node: RedisServer) -> str:
        return payload(execute(node.connect(), "CLUSTER MYID")).decode()

    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node in self.nodes[:2])

    def client(self) -> RedisCluster:
        return RedisCluster(HOST, self.nodes[0].port)

    def close(self) -> None:
        for node in self.nodes:
            node.close()


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeNodes]:
    cluster = ThreeNodes(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def shared_server(shared_cluster: ThreeNodes) -> Iterator[ServerProcess]:
    server = ServerProcess("--port", "0", "--backend", shared_cluster.url())
    yield server
    server.close()


@pytest.fixture
def cluster(shared_cluster: ThreeNodes) -> ThreeNodes:
    """The cluster, empty."""
    for node in shared_cluster.nodes:
        assert execute(node.connect(), "FLUSHALL") == OK
    return shared_cluster


@pytest.fixture
def peer(cluster: ThreeNodes, shared_server: ServerProcess) -> Iterator[Peer]:
    yield shared_server.connect()
    shared_server.check()
    shared_server.close_peers()


def bulk(text: str) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text.encode())


def items(reply: Reply) -> list[Reply]:
    assert isinstance(reply, Aggregate), reply
    return reply.items


def test_keys_set_in_the_cluster_are_read_through_the_server(cluster: ThreeNodes, peer: Peer) -> None:
    client = cluster.client()
    for number in range(100):
        client.set(f"key{number}", number)
    assert [execute(peer, f"GET key{number}") for number in range(100)] == [bulk(str(n)) for n in range(100)]
    assert all(int(bytes(execute(node.connect(), "DBSIZE"))[1:]) > 10 for node in cluster.nodes)
    client.close()


def test_replies_are_those_of_the_node(peer: Peer) -> None:
    assert execute_each(
        peer, "SET key OK", "GET key", "INCR key", "SET key other NX", "OBJECT ENCODING key", "TYPE key"
    ) == [
        OK,
        bulk("OK"),
        b"-ERR value is not an integer or out of range\r\n",
        b"$-1\r\n",
        bulk("embstr"),
        b"+string\r\n",
    ]
    assert bytes(execute(peer, "MEMORY USAGE key")).startswith(b":")


def test_keys_of_several_slots_in_one_command_are_refused_as_redis_does(peer: Peer) -> None:
    for line in ("MGET a b", "MSET a 1 b 2", "DEL a b", "RENAME a b", "COPY a b", "EXISTS a b c", "LCS a b"):
        assert execute(peer, line) == CROSS_SLOT, line
    assert execute_each(peer, "MSET {t}a 1 {t}b 2", "MGET {t}a {t}b", "DEL {t}a {t}b") == [
        OK,
        Aggregate(b"*2\r\n", [bulk("1"), bulk("2")]),
        b":2\r\n",
    ]


def test_commands_on_all_keys_are_run_on_all_nodes(cluster: ThreeNodes, peer: Peer) -> None:
    for number in range(100):
        execute(peer, f"SET key{number} {number} EX 1000")
    assert execute(peer, "DBSIZE") == b":100\r\n"
    assert len(items(execute(peer, "KEYS key*"))) == 100
    assert bytes(execute(peer, "RANDOMKEY")).partition(b"\r\n")[2].startswith(b"key")
    assert info(peer, "keyspace") == {"db0": "keys=100,expires=100,avg_ttl=0"}
    peer.send(b"COMPACT\n")
    assert {peer.line().split()[1] for _ in range(100)} == {b"key%d" % number for number in range(100)}
    assert execute(peer, "FLUSHALL") == OK
    assert [execute(node.connect(), "DBSIZE") for node in cluster.nodes] == [b":0\r\n"] * 3
    assert execute(peer, "RANDOMKEY") == b"$-1\r\n"


def test_scripts_are_loaded_on_all_nodes_and_run_on_that_of_their_keys(cluster: ThreeNodes, peer: Peer) -> None:
    client = redis_py.Redis(port=peer.socket.getpeername()[1])
    digest = client.script_load("return redis.call('SET', KEYS[1], ARGV[1])")
    assert [execute(node.connect(), f"SCRIPT EXISTS {digest}") for node in cluster.nodes] == [
        Aggregate(b"*1\r\n", [b":1\r\n"])
    ] * 3
    assert client.script_exists(digest, "0" * 40) == [True, False]
    for number in range(20):
        assert client.evalsha(digest, 1, f"key{number}", number) == b"OK"
        assert client.get(f"key{number}") == b"%d" % number
    with pytest.raises(redis_py.ResponseError, match="hash to the same slot"):
        client.eval("return 1", 2, "a", "b")
    with pytest.raises(redis_py.ResponseError, match="No scripts in execution"):
        client.script_kill()
    assert client.script_flush()
    assert client.script_exists(digest) == [False]
    client.close()


def test_scan_iterates_over_all_nodes(shared_server: ServerProcess, peer: Peer) -> None:
    client = redis_py.Redis(port=shared_server.port)
    for number in range(500):
        client.set(f"key{number}", number)
    assert sorted(client.scan_iter(count=7)) == sorted(b"key%d" % number for number in range(500))
    assert set(client.scan_iter(match="key1*")) == {b"key%d" % n for n in range(500) if str(n).startswith("1")}
    client.close()
    assert execute(peer, "SCAN nonsense") == b"-ERR invalid cursor\r\n"
    assert execute(peer, "SCAN 16383") == b"-ERR invalid cursor\r\n"


def test_a_transaction_within_one_slot_runs_as_one_step(cluster: ThreeNodes, peer: Peer) -> None:
    execute_each(peer, "MULTI", "SET {t}a 1", "INCR {t}a", "PING", "DBSIZE", "COMPACT")
    assert items(execute(peer, "EXEC")) == [
        OK,
        b":2\r\n",
        b"+PONG\r\n",
        b"-ERR DBSIZE can't run in a transaction on this backing server\r\n",
        b"-ERR COMPACT can't run in a transaction on this backing server\r\n",
    ]


def test_a_transaction_over_several_slots_is_refused_as_a_whole(peer: Peer) -> None:
    execute_each(peer, "MULTI", "SET a 1", "SET b 1")
    assert execute(peer, "EXEC") == CROSS_SLOT
    assert execute_each(peer, "EXISTS a", "EXISTS b") == [b":0\r\n"] * 2
    execute_each(peer, "WATCH a", "MULTI", "SET b 1")
    assert execute(peer, "EXEC") == CROSS_SLOT
    assert execute_each(peer, "WATCH a", "WATCH b", "UNWATCH") == [OK, CROSS_SLOT, OK]


def test_a_direct_write_to_a_node_makes_a_watch_dirty(cluster: ThreeNodes, peer: Peer) -> None:
    client = cluster.client()
    for key in "abc":
        execute(peer, f"WATCH {key}")
        client.set(key, "theirs")
        assert execute_each(peer, "MULTI", f"SET {key} ours", "EXEC")[2] == b"*-1\r\n"
        assert execute_each(peer, f"WATCH {key}", "MULTI", f"SET {key} ours", "EXEC")[3] == Aggregate(b"*1\r\n", [OK])
    client.close()


def test_slots_that_migrate_are_followed(tmp_path: Path, start_server: StartServer) -> None:
    """A key's slot migrates repeatedly between nodes, and the client sees neither ASK nor MOVED."""
    cluster = ThreeNodes(tmp_path)
    try:
        peer = start_server("--port", "0", "--backend", cluster.url()).connect()
        assert execute(peer, "SET key 1") == OK

        def move() -> None:
            cluster.end_migration(cluster.begin_migration("key", "key"), "key")

        migration = cluster.begin_migration("key", "key")
        assert execute(peer, "GET key") == bulk("1")  # by ASK
        cluster.end_migration(migration, "key")
        assert execute(peer, "INCR key") == b":2\r\n"  # by MOVED
        move()
        assert execute_each(peer, "MULTI", "INCR key", "EXEC")[2] == Aggregate(b"*1\r\n", [b":3\r\n"])
        move()
        assert execute(peer, "WATCH key") == OK
        move()
        assert execute_each(peer, "MULTI", "INCR key", "EXEC")[2] == b"*-1\r\n"  # the watching node lost the key
        assert execute_each(peer, "WATCH key", "MULTI", "INCR key", "EXEC")[3] == Aggregate(b"*1\r\n", [b":4\r\n"])
    finally:
        cluster.close()


def test_a_slot_whose_migration_has_begun_is_served(tmp_path: Path, start_server: StartServer) -> None:
    """Of two keys of a slot, one has been migrated. The client sees no redirection, whatever it sends."""
    cluster = ThreeNodes(tmp_path)
    try:
        server = start_server("--port", "0", "--backend", cluster.url())
        peer, other = server.connect(), server.connect()
        assert execute(peer, "MSET {t}moved 1 {t}stays 1") == OK
        migration = cluster.begin_migration("{t}stays", "{t}moved")
        for key, node in zip(("{t}moved", "{t}stays"), migration, strict=True):
            assert execute(node.connect(), "DBSIZE") == b":1\r\n"
            assert execute_each(peer, f"GET {key}", f"INCR {key}") == [bulk("1"), b":2\r\n"]
            assert execute_each(peer, "MULTI", f"INCR {key}", "EXEC")[2] == Aggregate(b"*1\r\n", [b":3\r\n"])
            transaction = ("MULTI", f"INCR {key}", "EXEC")
            assert execute_each(peer, f"WATCH {key}", f"GET {key}", *transaction)[1:] == [
                *(bulk("3"), OK, QUEUED),
                Aggregate(b"*1\r\n", [b":4\r\n"]),
            ]
            assert execute(peer, f"WATCH {key}") == OK
            assert execute(other, f"INCR {key}") == b":5\r\n"
            assert execute_each(peer, *transaction)[2] == b"*-1\r\n", "changed meanwhile"
        peer.send(b"COMPACT\n")
        assert {peer.line(), peer.line()} == {b"SET {t}moved 5\n", b"SET {t}stays 5\n"}
        # No node has both keys, so Redis refuses both commands by TRYAGAIN, until the other key has been migrated too.
        refused = execute_each(peer, "MGET {t}moved {t}stays", "MULTI", "GET {t}moved", "GET {t}stays", "EXEC")
        assert is_unavailable(refused[0])
        assert is_unavailable(refused[-1])
        assert execute(migration[1].connect(), f"MIGRATE {HOST} {migration[0].port} {{t}}stays 0 5000") == OK
        assert items(execute(peer, "MGET {t}moved {t}stays")) == [bulk("5")] * 2
        replies = execute_each(peer, "WATCH {t}moved {t}stays", "MULTI", "GET {t}moved", "GET {t}stays", "EXEC")
        assert items(replies[-1]) == [bulk("5")] * 2
        cluster.end_migration(migration, "{t}moved")
        assert items(execute(peer, "MGET {t}moved {t}stays")) == [bulk("5")] * 2
    finally:
        cluster.close()


def test_a_cluster_that_serves_no_client_is_502_over_http(tmp_path: Path, start_server: StartServer) -> None:
    pytest.importorskip("httptools", reason="the extra http is not installed")
    cluster = ThreeNodes(tmp_path)
    try:
        server = start_server("--port", "0", "--backend", cluster.url(), "--http-port", "0", ports=2)
        with new_http_client(server.http_url) as http:
            assert http.put("/keys/key", content=b"old").status_code == 201
            owner, slot = cluster.owner_of("key"), cluster.slot_of("key")
            assert execute(owner.connect(), f"CLUSTER DELSLOTS {slot}") == OK
            assert bytes(execute(owner.connect(), "GET key")).startswith(b"-CLUSTERDOWN")
            for response in (
                http.get("/keys/key"),
                http.put("/keys/key", content=b"new"),
                http.put("/keys/key", content=b"new", headers={"If-Match": "*"}),
                http.delete("/keys/key"),
                http.post("/multi-exec", json=[["SET", "key", "new"]]),
            ):
                assert response.status_code == 502
                assert response.json()["error"].startswith("ERR backend unavailable: ")
            assert execute(owner.connect(), f"CLUSTER ADDSLOTS {slot}") == OK
            wait_until(lambda: http.get("/keys/key").content == b"old", "the slot is served again")
    finally:
        cluster.close()


def test_a_node_that_hangs_causes_errors_for_its_slots_only_and_recovers(
    tmp_path: Path, start_server: StartServer
) -> None:
    cluster = ThreeNodes(tmp_path)
    try:
        for node in cluster.nodes:
            execute(node.connect(), "CONFIG SET cluster-require-full-coverage no")
        server = start_server("--port", "0", "--backend", cluster.url(), "--backend-timeout", SHORT)
        peer = server.connect()
        keys = [f"key{number}" for number in range(12)]
        for key in keys:
            assert execute(peer, f"SET {key} value") == OK
        lost = cluster.nodes[0]
        there = {key: bytes(execute(lost.connect(), f"EXISTS {key}")).startswith(b":") for key in keys}
        lost.signal(signal.SIGSTOP)
        try:
            for key in keys:
                reply = execute(peer, f"GET {key}")
                assert is_unavailable(reply) if there[key] else reply == bulk("value")
            execute_each(peer, "MULTI", f"SET {keys[0]} other")
            execute(peer, "EXEC")
        finally:
            lost.signal(signal.SIGCONT)
        for key in keys:
            wait_until(lambda key=key: execute(peer, f"TYPE {key}") == b"+string\r\n", "all keys are served again")
        assert execute(peer, f"SET {keys[0]} value") == OK
    finally:
        cluster.close()


def test_a_failover_to_a_replica_is_followed(tmp_path: Path, start_server: StartServer) -> None:
    """A primary is killed. Its replica takes over, and requests are sent there without a restart of the server."""
    cluster = ThreeNodes(tmp_path)
    try:
        primary = cluster.nodes[0]
        primary_id = payload(execute(primary.connect(), "CLUSTER MYID")).decode()
        replica = cluster.add_replica(tmp_path / "replica", primary_id)
        peer = start_server("--port", "0", "--backend", cluster.url(), "--backend-timeout", SHORT).connect()
        key = next(key for key in map(str, range(100)) if execute(primary.connect(), f"GET {key}") == b"$-1\r\n")
        assert execute(peer, f"SET {key} before") == OK
        wait_until(lambda: b"\r\nbefore" in cluster.read_replica(replica, key), "the write is replicated")
        primary.kill()
        assert is_unavailable(execute(peer, f"GET {key}"))
        wait_until(lambda: execute(peer, f"SET {key} after") == OK, "the replica has taken over", 2 * TIMEOUT)
        assert execute(peer, f"GET {key}") == bulk("after")
        execute_each(peer, f"WATCH {key}", "MULTI", f"GET {key}")
        assert execute(peer, "EXEC") == Aggregate(b"*1\r\n", [bulk("after")])
    finally:
        cluster.close()


def test_a_start_without_the_cluster_logs_a_warning_and_recovers(tmp_path: Path, start_server: StartServer) -> None:
    cluster = ThreeNodes(tmp_path)
    try:
        for node in cluster.nodes:
            node.kill()
        server = start_server("--port", "0", "--backend", cluster.url())
        peer = server.connect()
        assert "backend unavailable" in server.log
        for line in ("GET key", "DBSIZE", "WATCH key", "COMPACT"):
            assert is_unavailable(execute(peer, line)), line
        for node in cluster.nodes:
            node.start_again()
        wait_until(lambda: execute(peer, "SET key value") == OK, "the cluster is up")
        for node in cluster.nodes:
            node.kill()
        wait_until(lambda: is_unavailable(execute(peer, "GET key")), "the cluster is down")
        for node in cluster.nodes:
            node.start_again()
        wait_until(lambda: execute(peer, "SET key value") == OK, "the cluster is up again")
        server.check()
    finally:
        cluster.close()


def test_a_single_server_is_refused_as_a_cluster(start_server: StartServer) -> None:
    redis = new_redis()
    try:
        peer = start_server("--port", "0", "--backend", f"redis+cluster://{HOST}:{redis.port}").connect()
        reply = bytes(execute(peer, "GET key"))
        assert reply.startswith(b"-ERR backend unavailable: ")
        assert b"cluster support disabled" in reply
    finally:
        redis.close()
