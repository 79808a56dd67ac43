"""Statistics: a shard per I/O thread and per client without a lock, merged when they are read."""

from __future__ import annotations

import socket
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from common.codec import RequestBatch
from common.replies import DEFERRED
from server.clients.registry import ClientRegistry, TooManyClients
from server.clients.stats import CommandStat, CommandStats, StatsRegistry
from server.commands import COMMANDS
from server.net.io_threads import IOThreads
from server.registry import Command
from server.session.session import Session
from tests.harness.sessions import ClientSession, connect, new_session, send_line, send_lines
from tests.harness.waiting import all_at_once

ALL = list(COMMANDS)
GET, SET = COMMANDS.resolve([b"GET", b"a"]), COMMANDS.resolve([b"SET", b"a", b"1"])
KEYS = COMMANDS.resolve([b"KEYS", b"*"])


@pytest.fixture
def eager_switches() -> Iterator[None]:
    """Switch threads as often as possible, so that a race shows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def count(shard: CommandStats, command: Command, *, nanoseconds: int = 100, failed: int = 0, rejected: int = 0) -> None:
    """Count a call as a session does."""
    stat = shard.by_command[command]
    stat.buckets[nanoseconds.bit_length()] += 1
    stat.nanoseconds += nanoseconds
    stat.failed += failed
    stat.rejected += rejected
    shard.errors += failed + rejected


def numbers(stat: CommandStat) -> tuple[int, int, int, int]:
    return stat.calls, stat.nanoseconds, stat.failed, stat.rejected


def test_totals_are_the_sum_of_all_shards() -> None:
    stats = StatsRegistry()
    first, second = stats.new_shard(), stats.new_shard()
    count(first, GET, nanoseconds=100, failed=1)
    count(second, GET, nanoseconds=1000, rejected=1)
    count(second, SET)
    totals = stats.totals()
    assert numbers(totals[GET]) == (2, 1100, 1, 1)
    assert [totals[GET].buckets[n] for n in (7, 10)] == [1, 1], "100 < 2 ** 7 and 1000 < 2 ** 10"
    assert numbers(totals[SET]) == (1, 100, 0, 0)
    assert stats.errors == 2


def test_usual_requests_are_counted_in_the_shard_of_the_thread() -> None:
    context = new_session().context
    shard = context.stats.new_shard()
    client = context.clients.add()
    session = Session(context, client, stats=shard)
    session.execute([b"GET", b"a"])
    session.execute_batch(RequestBatch(b"GET", [[b"a", b"b"]]))
    assert shard.by_command[GET].calls == 3
    assert not client.stats.by_command
    context.clients.remove(client)
    assert context.stats.totals()[GET].calls == 3


def test_what_another_thread_may_execute_is_counted_in_the_shard_of_the_client() -> None:
    context = new_session().context
    shard = context.stats.new_shard()
    client = context.clients.add()
    session = Session(context, client, stats=shard)
    session.defers_long_requests = True
    assert session.execute([b"KEYS", b"*"]) is DEFERRED
    session.execute_deferred()
    session.execute([b"SET", b"a", b"1", b"EX", b"none"])
    assert client.stats.by_command[KEYS].calls == 1
    assert KEYS not in shard.by_command
    assert (client.stats.errors, shard.errors) == (1, 0)


def test_connections_of_an_io_thread_share_a_shard() -> None:
    context = new_session().context
    scheduler = IOThreads(1)
    scheduler.start()
    try:
        with ExitStack() as stack:
            for _ in range(2):
                own, peer = (stack.enter_context(each) for each in socket.socketpair())
                connection = scheduler.connect(context, own, peer.getsockname())
                stack.callback(connection.close)
                connection.session.execute([b"GET", b"a"])
                assert not connection.session.client.stats.by_command
            assert context.stats.totals()[GET].calls == 2
    finally:
        scheduler.stop()


def test_reading_totals_changes_no_shard() -> None:
    stats = StatsRegistry()
    shard = stats.new_shard()
    count(shard, GET)
    stats.totals()[GET].nanoseconds += 5
    assert numbers(stats.totals()[GET]) == (1, 100, 0, 0)


def test_what_a_closed_client_counted_is_kept_and_counted_once() -> None:
    stats = StatsRegistry()
    shard = stats.new_shard()
    count(shard, GET, failed=1)
    for _ in range(2):
        stats.close_shard(shard)
        assert numbers(stats.totals()[GET]) == (1, 100, 1, 0)
        assert stats.errors == 1


def test_closed_clients_leave_no_shard_of_their_own() -> None:
    """Otherwise reading the totals would take longer with every client that was ever connected."""
    clients = ClientRegistry()
    for _ in range(3):
        client = clients.add()
        count(client.stats, GET)
        clients.remove(client)
        count(client.stats, GET)
    assert numbers(clients.stats.totals()[GET]) == (3, 300, 0, 0), "calls after the close are not counted"


def test_reset_counts_from_zero_and_changes_no_shard() -> None:
    stats = StatsRegistry()
    open_, closed = stats.new_shard(), stats.new_shard()
    for shard in (open_, closed):
        count(shard, GET, failed=1)
    stats.close_shard(closed)
    stats.reset()
    assert (stats.totals(), stats.errors) == ({}, 0)
    assert open_.by_command[GET].calls == 1
    count(open_, GET, nanoseconds=7)
    assert (numbers(stats.totals()[GET]), stats.errors) == ((1, 7, 0, 0), 0)
    stats.close_shard(open_)
    assert numbers(stats.totals()[GET]) == (1, 7, 0, 0)
    stats.reset()
    assert stats.totals() == {}


def test_a_command_that_was_only_rejected_is_in_the_totals() -> None:
    stats = StatsRegistry()
    stats.new_shard().by_command[GET].rejected += 1
    assert numbers(stats.totals()[GET]) == (0, 0, 0, 1)


def in_background(function: Callable[[], None]) -> Callable[[], None]:
    """Run a function again and again in a thread. Return what stops it, and raises what it raised."""
    stop, problems = threading.Event(), list[BaseException]()

    def run() -> None:
        while not stop.is_set():
            try:
                function()
            except BaseException as problem:  # raised again below
                problems.append(problem)
                return

    thread = threading.Thread(target=run)
    thread.start()

    def end() -> None:
        stop.set()
        thread.join()
        if problems:
            raise problems[0]

    return end


class ProbedCounts(defaultdict[Command, CommandStat]):
    """Counts of a client. When they are read, another client connects, and this one disconnects."""

    def __init__(self, connect_and_disconnect: Callable[[], None]) -> None:
        super().__init__(CommandStat)
        self.connect_and_disconnect: Callable[[], None] | None = connect_and_disconnect

    def copy(self) -> ProbedCounts:
        if self.connect_and_disconnect is not None:
            thread = threading.Thread(target=self.connect_and_disconnect, daemon=True)
            self.connect_and_disconnect = None
            thread.start()
            thread.join(5)
            assert not thread.is_alive()
        return self


@pytest.mark.parametrize("reading", ["totals", "reset"])
def test_clients_connect_and_disconnect_while_the_shards_are_read(reading: str) -> None:
    stats = StatsRegistry()
    shard = stats.new_shard()

    def connect_and_disconnect() -> None:
        stats.new_shard()
        stats.close_shard(shard)

    shard.by_command = ProbedCounts(connect_and_disconnect)
    count(shard, GET)
    if reading == "reset":
        stats.reset()
        assert stats.totals() == {}
    else:
        assert numbers(stats.totals()[GET]) == (1, 100, 0, 0), "counted once"
        assert numbers(stats.totals()[GET]) == (1, 100, 0, 0)


@pytest.mark.usefixtures("eager_switches")
@pytest.mark.parametrize("reading", ["totals", "reset"])
def test_writers_lose_no_count_while_others_read_or_reset(reading: str) -> None:
    stats = StatsRegistry()
    seen = CommandStat()

    def read() -> None:
        if reading == "reset":
            stats.reset()
        for stat in stats.totals().values():
            assert stat.calls >= 0
            assert stat.rejected >= 0

    def write(number: int) -> None:
        shard = stats.new_shard()
        for place in range(2000):
            count(shard, ALL[(number + place) % len(ALL)], rejected=1)
        if number % 2:
            stats.close_shard(shard)

    stop = in_background(read)
    try:
        all_at_once([lambda number=number: write(number) for number in range(6)])  # type: ignore[misc]
    finally:
        stop()
    if reading == "totals":
        for stat in stats.totals().values():
            seen.add(stat)
        assert numbers(seen) == (12_000, 1_200_000, 0, 12_000)
        assert stats.errors == 12_000
    else:
        stats.reset()
        assert (stats.totals(), stats.errors) == ({}, 0)


@pytest.mark.usefixtures("eager_switches")
def test_sessions_in_threads_lose_no_count() -> None:
    session = new_session()

    def run() -> None:
        each = connect(session.context)
        for _ in range(200):
            send_lines(each, "SET a x", "INCR a", "GET")
        each.close()

    all_at_once([run] * 6)
    totals = session.context.stats.totals()
    assert totals[SET].calls == 1200
    incr = COMMANDS.resolve([b"INCR", b"a"])
    assert (totals[incr].calls, totals[incr].failed) == (1200, 1200)
    assert totals[GET].rejected == 1200
    assert session.context.stats.errors == 2400


# ---------------------------------------------------------------- the registry of clients


@pytest.mark.usefixtures("eager_switches")
def test_client_ids_are_unique_and_rise_under_threads() -> None:
    clients = ClientRegistry()

    def add() -> list[int]:
        ids = []
        for place in range(300):
            client = clients.add()
            ids.append(client.id)
            if place % 3:
                clients.remove(client)
        return ids

    per_thread = all_at_once([add] * 8)
    assert all(ids == sorted(ids) for ids in per_thread)
    assert sorted(number for ids in per_thread for number in ids) == list(range(1, 2401))
    assert (clients.received, len(clients)) == (2400, 800)
    assert [each.id for each in clients.all()] == sorted(each.id for each in clients.all()), "oldest first"


@pytest.mark.usefixtures("eager_switches")
def test_the_limit_on_clients_holds_under_threads() -> None:
    clients = ClientRegistry(10)

    def add() -> int:
        added = 0
        for _ in range(200):
            try:
                client = clients.add()
            except TooManyClients:
                continue
            added += 1
            assert len(clients) <= 10
            clients.remove(client)
        return added

    added = sum(all_at_once([add] * 16))
    assert (clients.received, clients.rejected, len(clients)) == (added, 16 * 200 - added, 0)


# ---------------------------------------------------------------- who counts what


def test_a_queued_command_is_counted_by_exec_with_its_own_time(session: ClientSession) -> None:
    send_lines(session, "MULTI", "SET a 1", "GET a", "EXEC")
    totals = session.context.stats.totals()
    assert (totals[SET].calls, totals[GET].calls) == (1, 1)
    assert 0 < totals[GET].nanoseconds < 10**9
    exec_ = COMMANDS.resolve([b"EXEC"])
    assert totals[exec_].nanoseconds > totals[GET].nanoseconds + totals[SET].nanoseconds


def test_a_queued_command_in_stages_is_counted_with_the_time_of_all_its_stages(session: ClientSession) -> None:
    send_lines(session, "MULTI", "SET a 1", "COMPACT", "GET a", "EXEC")
    totals = session.context.stats.totals()
    compact = COMMANDS.resolve([b"COMPACT"])
    assert totals[compact].calls == 1
    assert 0 < totals[compact].nanoseconds < 10**9


def test_a_subcommand_is_counted_by_its_own_name(session: ClientSession) -> None:
    send_lines(session, "CLIENT ID", "CLIENT ID", "CLIENT ID 1", "CONFIG GET save")
    lines = send_line(session, "INFO commandstats").split("\n")
    by_name = dict(line.split(":", 1) for line in lines if ":" in line)
    assert by_name["cmdstat_client|id"].startswith("calls=2,")
    assert by_name["cmdstat_client|id"].endswith(",rejected_calls=1,failed_calls=0")
    assert "cmdstat_config|get" in by_name
    assert "cmdstat_client" not in by_name
