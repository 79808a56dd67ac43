"""A server with a durable log as a process: killed, restarted, checked, repaired, and its files sent to others."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest

from tests.harness.processes import Peer, ServerProcess, StartServer, run_server
from tests.harness.redis_server import RedisServer, find_redis
from tests.harness.waiting import TIMEOUT, wait_until
from tests.integration.durability.conftest import Start, compact, kill

WRITERS = 50
ROUNDS = 10


# ---------------------------------------------------------------- kill -9


class Writer(threading.Thread):
    """A client that increments a key of its own, and remembers the last reply."""

    def __init__(self, port: int, key: str) -> None:
        super().__init__(daemon=True)
        self._port, self._key = port, key
        self.acknowledged = 0

    def run(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            peer = Peer(self._port)
            with contextlib.closing(peer):
                while True:
                    self.acknowledged = int(peer.ask(f"INCR {self._key}".encode()))


@pytest.mark.parametrize("level", ["always", "everysec", "no"])
def test_a_killed_server_loses_nothing_that_it_has_replied(start: Start, level: str) -> None:
    acknowledged = dict.fromkeys((f"key:{number}" for number in range(WRITERS)), 0)
    for _ in range(ROUNDS):
        server = start("--fsync", level)
        assert_contains(server, acknowledged)
        writers = {key: Writer(server.port, key) for key in acknowledged}
        for writer in writers.values():
            writer.start()
        wait_until(partial(most_have_written, writers.values()), "most clients have a reply")
        kill(server)
        for key, writer in writers.items():
            writer.join(TIMEOUT)
            acknowledged[key] = max(acknowledged[key], writer.acknowledged)
    assert_contains(start("--fsync", level), acknowledged)


def most_have_written(writers: Iterable[Writer]) -> bool:
    return sum(each.acknowledged > 0 for each in writers) > WRITERS // 2


def assert_contains(server: ServerProcess, acknowledged: dict[str, int]) -> None:
    peer = server.connect()
    for key, value in acknowledged.items():
        stored = peer.ask(f"GET {key}".encode())
        assert int(stored.replace(b"(nil)", b"0")) >= value, key


def test_a_killed_server_keeps_transactions_whole(start: Start) -> None:
    server = start()
    done = threading.Event()

    def transfer() -> None:
        with contextlib.suppress(OSError):
            peer = Peer(server.port)
            with contextlib.closing(peer):
                for _ in range(10_000):
                    peer.send(b"MULTI\nINCRBY a 1\nDECRBY b 1\nEXEC\n")
                    if len([peer.line() for _ in range(5)][-1]) == 0:
                        return
                    done.set()

    threads = [threading.Thread(target=transfer, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert done.wait(TIMEOUT)
    kill(server)
    for thread in threads:
        thread.join(TIMEOUT)
    peer = start().connect()
    assert int(peer.ask(b"GET a")) + int(peer.ask(b"GET b")) == 0


def test_a_stopped_server_keeps_everything_and_restarts_without_a_warning(start: Start) -> None:
    server = start()
    server.connect().ask(b'MSET a 1 "b b" "x\\ny"')
    before = compact(server)
    server.signal(signal.SIGTERM)
    assert server.exit_status() == 0
    again = start()
    assert compact(again) == before
    assert "WARNING" not in again.log


def test_a_killed_rewrite_loses_nothing(start: Start) -> None:
    server = start()
    peer = server.connect()
    peer.send(
        b"".join(b"SET key:%d value:%d\n" % (number, number) for number in range(20_000)) + b"BGREWRITEAOF\nINCR last\n"
    )
    while peer.line() != b"Background append only file rewriting started\n":
        pass
    assert peer.line() == b"1\n"
    kill(server)
    again = start().connect()
    assert [again.ask(each) for each in (b"DBSIZE", b"GET key:19999", b"GET last")] == [b"20001", b"value:19999", b"1"]


# ---------------------------------------------------------------- the directory


def test_a_second_server_on_the_same_directory_is_refused(start: Start, tmp_path: Path) -> None:
    server = start()
    second = run_server("--port", "0", "--data", str(tmp_path / "data"))
    assert second.returncode == 1
    assert second.stderr == f"kvline can't start: {tmp_path}/data is used by another server\n"
    server.check()


def test_only_the_user_of_the_server_may_read_the_directory(start: Start, tmp_path: Path) -> None:
    start().connect().ask(b"SET a 1")
    assert oct((tmp_path / "data").stat().st_mode & 0o777) == "0o700"
    assert {oct(each.stat().st_mode & 0o777) for each in (tmp_path / "data").iterdir()} == {"0o600"}


@pytest.mark.parametrize("make", ["file", "missing parent of a file"])
def test_a_directory_that_cannot_be_used_is_one_sentence(tmp_path: Path, make: str) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" if make == "file" else tmp_path / "file" / "data"
    outcome = run_server("--port", "0", "--data", str(path))
    assert outcome.returncode == 1
    assert outcome.stderr.startswith(f"kvline can't start: can't use {path}: ")
    assert outcome.stderr.count("\n") == 1


def test_without_data_no_file_is_written(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("--port", "0", cwd=tmp_path)
    server.connect().ask(b"SET a 1")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- check and repair


def damaged_log(start: Start, tmp_path: Path) -> Path:
    server = start("--fsync", "always")
    peer = server.connect()
    for number in range(5):
        peer.ask(b"SET key:%d %d" % (number, number))
    kill(server)
    path = tmp_path / "data" / "00000001.log"
    path.write_bytes(path.read_bytes().replace(b"SET key:3 3", b"SET key:3 9"))
    return path


def test_check_reads_the_files_and_exits_with_0(start: Start, tmp_path: Path) -> None:
    server = start()
    server.connect().ask(b"SET a 1")
    kill(server)
    outcome = run_server("--check", str(tmp_path / "data"))
    assert outcome.returncode == 0
    assert re.fullmatch(r"00000001\.log: \d batches in \d+ bytes\n1 records\nthe log is undamaged\n", outcome.stdout)


def test_check_finds_damage_and_exits_with_1(start: Start, tmp_path: Path) -> None:
    path = damaged_log(start, tmp_path)
    before = path.read_bytes()
    outcome = run_server("--check", str(tmp_path / "data"))
    assert outcome.returncode == 1
    assert outcome.stdout.endswith("is damaged\n")
    assert path.read_bytes() == before


def test_check_of_a_missing_directory_is_one_sentence(tmp_path: Path) -> None:
    outcome = run_server("--check", str(tmp_path / "none"))
    assert (outcome.returncode, outcome.stderr) == (
        1,
        f"kvline can't read {tmp_path}/none: No such file or directory\n",
    )


def test_damage_stops_the_start_and_repair_keeps_what_comes_before_it(start: Start, tmp_path: Path) -> None:
    path = damaged_log(start, tmp_path)
    data = path.read_bytes()
    refused = run_server("--port", "0", "--data", str(tmp_path / "data"))
    assert refused.returncode == 1
    assert f"{path} is damaged at byte {data.index(b'SET key:3')}: " in refused.stderr
    assert "--repair" in refused.stderr
    assert path.read_bytes() == data
    server = start("--repair")
    assert server.connect().ask(b"MGET key:2 key:3") == b"1) 2"
    assert (tmp_path / "data" / "damaged-1-00000001.log").read_bytes() == data
    kill(server)
    assert start().connect().ask(b"DBSIZE") == b"3"


def test_a_torn_tail_is_cut_off_with_one_warning(start: Start, tmp_path: Path) -> None:
    server = start()
    peer = server.connect()
    peer.ask(b"SET a 1")
    peer.ask(b"SET b 2")
    kill(server)
    path = tmp_path / "data" / "00000001.log"
    os.truncate(path, path.stat().st_size - 3)
    again = start()
    assert again.connect().ask(b"EXISTS a b") == b"1"
    assert (
        len(re.findall(r"WARNING cut \d+ bytes of an unfinished write from the end of 00000001\.log", again.log)) == 1
    )


# ---------------------------------------------------------------- the files are requests


def test_the_files_sent_to_another_server_rebuild_the_keyspace(
    start: Start, start_server: StartServer, tmp_path: Path
) -> None:
    server = start()
    peer = server.connect()
    for command in (
        b'MSET a 1 "b b" "x\\ny" c "\\xff\\x00"',
        b"SET e 1 PXAT 3000000000000",
        b"SAVE",
        b"APPEND a 23",
        b"RENAME c d",
        b"DEL none",
        b"INCR n",
        b'SET t "# 3 0 00000000\\nx"',
    ):
        peer.ask(command)
    before = compact(server)
    kill(server)
    other = start_server("--port", "0")
    sent = other.connect()
    for path in sorted((tmp_path / "data").glob("0*")):
        sent.send(path.read_bytes())
    sent.send(b"QUIT\n")
    sent.rest()
    assert compact(other) == before


def test_the_files_can_be_sent_to_redis(start: Start, tmp_path: Path) -> None:
    found = find_redis()
    if found is None:
        pytest.skip("Redis is not installed")
    server = start()
    peer = server.connect()
    for command in (
        b'MSET a 1 "b b" "x\\ny" c "\\xff\\x00" d x',
        b"APPEND a 23",
        b"SET e 1 PXAT 3000000000000",
        b"DEL d",
    ):
        peer.ask(command)
    kill(server)
    redis = RedisServer(*found)
    try:
        sent = Peer(redis.port)
        sent.send((tmp_path / "data" / "00000001.log").read_bytes() + b"ECHO sent\r\n")
        while sent.line() != b"sent\r\n":  # a comment is an unknown command for Redis, and changes nothing
            pass
        for command, reply in ((b"GET a", b"123"), (b'GET "b b"', b"x\ny"), (b"GET c", b"\xff\0"), (b"DBSIZE", b":4")):
            sent.send(command + b"\r\n")
            header = sent.line().strip()
            if header.startswith(b"$"):
                assert sent.receive(int(header[1:]) + 2) == reply + b"\r\n"
            else:
                assert header == reply
        sent.close()
    finally:
        redis.close()
