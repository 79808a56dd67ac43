"""Eviction with a durable log: it is logged, replay evicts nothing, and while the log fails nothing is evicted."""

from __future__ import annotations

import errno
import os

from server.engines.log.engine import DurableEngine, LogSettings
from server.keyspace.store import Store
from tests.harness.clock import Clock
from tests.harness.logs import LoggedServer
from tests.harness.sessions import new_session, send_line
from tests.harness.simulated_disk import SimulatedDisk

LIMIT = 5_000
KEYS = [f"SET key{number} {number:0500}" for number in range(20)]


def limited(policy: str = "allkeys-lru") -> LoggedServer:
    server = LoggedServer()
    server.engine.limit_memory(LIMIT, policy)
    return server


def start_with_limit(disk: SimulatedDisk, limit: int) -> tuple[Store, DurableEngine]:
    """Start a server as `server.app` does: the limit is set before the replay."""
    store = Store()
    engine = DurableEngine(store, LogSettings("data", lambda: disk))
    engine.limit_memory(limit, "allkeys-lru")
    engine.open()
    return store, engine


def test_an_evicted_key_is_missing_after_a_restart() -> None:
    server = limited()
    server.run(*KEYS)
    assert 0 < len(server.items()) < 10
    assert server.restart().items() == server.items()
    server.rewrite()
    assert server.restart().items() == server.items()


def test_an_eviction_in_the_background_is_written_without_a_client() -> None:
    server = LoggedServer()
    server.run(*KEYS)
    server.engine.limit_memory(LIMIT, "allkeys-lru")
    while not server.engine.evict_slice():
        pass
    assert server.log.pending_bytes == 0
    assert len(server.items()) < 10
    assert server.restart().items() == server.items()


def test_replay_evicts_nothing_and_the_rest_is_evicted_afterwards() -> None:
    server = LoggedServer()
    server.run(*KEYS, "EXPIRE key1 1000", "APPEND key2 x", "DEL key3")
    store, engine = start_with_limit(server.disk, LIMIT)
    assert len(store.entries(store.keys_in_order())) == 19
    assert store.evicted_keys == 0
    store.check()
    while not engine.evict_slice():
        pass
    used = engine.used_memory()
    assert used is not None
    assert used <= LIMIT
    assert server.restart().items() == store.entries(store.keys_in_order())


def test_a_restart_with_a_limit_that_is_too_low_for_the_data_refuses_writes_until_keys_are_deleted() -> None:
    server = LoggedServer()
    server.run(*KEYS)
    store, engine = start_with_limit(server.disk, 10**9)
    engine.limit_memory(LIMIT, "noeviction")
    session = new_session(engine)
    assert send_line(session, "SET k v") == "(error) OOM command not allowed when used memory > 'maxmemory'."
    assert send_line(session, "DEL " + " ".join(f"key{number}" for number in range(19))) == "19"
    assert send_line(session, "SET k v") == "OK"
    assert len(store) == 2


def test_while_the_log_fails_nothing_is_evicted(clock: Clock) -> None:
    server = LoggedServer(clock=clock)
    server.run(*KEYS)
    server.log.refuse("a reason")
    failures = server.log.failures
    server.engine.limit_memory(LIMIT, "allkeys-lru")
    assert server.engine.evict_slice()
    assert server.run("SET k v", "MULTI", "GET key1", "EXEC")[0].startswith("(error) MISCONF")
    session = server.connect()
    assert [send_line(session, line) for line in ("MULTI", "STRLEN key1", "EXEC")] == ["OK", "QUEUED", "1) 500"]
    assert len(server.items()) == 20
    assert server.log.failures == failures


def test_an_eviction_that_could_not_be_logged_is_undone_and_counted_back() -> None:
    server = limited()
    server.run(*KEYS[:7])
    before, used = server.items(), server.engine.used_memory()
    server.run_without_commit(KEYS[8])
    server.run_without_commit(KEYS[9])
    assert server.store.evicted_keys > 0

    def fail(what: str) -> None:
        if what == "append":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    server.disk.on_call = fail
    server.log.write_pending()
    assert sorted(server.items()) == sorted(before)
    assert server.engine.used_memory() == used
    server.store.check()
