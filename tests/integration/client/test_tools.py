"""The tools of the client, such as ``--scan`` and ``--dump``, against kvline and a real Redis."""

from __future__ import annotations

import re
import signal
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness.any_server import AnyServer, ask
from tests.harness.fake_redis import FakeRedis, bulk
from tests.harness.processes import RUN_CLIENT, environment, run_client
from tests.harness.waiting import TIMEOUT


def run_tool(server: AnyServer, *options: str, status: int = 0) -> str:
    """Run the client with these options to its end. Return its output."""
    ended = run_client("-p", str(server.port), *options)
    assert ended.returncode == status, ended.stderr
    return ended.stdout.decode()


@pytest.fixture
def filled(target: AnyServer) -> AnyServer:
    """A server with 2,500 small strings, which are more than a page of SCAN, and a large one."""
    for number in range(50):
        pairs = [part for each in range(50) for part in (b"user:%d" % (number * 50 + each), b"12345")]
        ask(target, b"MSET", *pairs)
    ask(target, b"SET", b"large", b"x" * 10_000)
    return target


def test_scan_prints_every_key_on_a_line(filled: AnyServer) -> None:
    expected = {f"user:{number}" for number in range(2500)}
    assert set(run_tool(filled, "--scan").splitlines()) == expected | {"large"}
    assert set(run_tool(filled, "--scan", "--pattern", "user:24*").splitlines()) == {
        key for key in expected if key.startswith("user:24")
    }


def test_the_keys_of_scan_are_quoted_unless_they_are_raw(target: AnyServer) -> None:
    ask(target, b"SET", b"two words", b"1")
    assert run_tool(target, "--scan") == '"two words"\n'
    assert run_tool(target, "--scan", "--raw") == "two words\n"
    assert run_tool(target, "--scan", "--json") == '"two words"\n'


def test_bigkeys_reports_number_size_and_largest_key_of_each_type(filled: AnyServer) -> None:
    (head, row) = run_tool(filled, "--bigkeys").splitlines()
    assert head.split() == ["type", "keys", "size", "average", "largest"]
    assert row.split() == ["string", "2,501", "22,500", "bytes", "9.0", "10,000", "large"]
    if filled.kind == "redis":
        ask(filled, b"RPUSH", b"list", b"a", b"b", b"c")
        rows = run_tool(filled, "--bigkeys").splitlines()
        assert rows[2].split() == ["list", "1", "3", "elements", "3.0", "3", "list"]


def test_memkeys_reports_memory(filled: AnyServer) -> None:
    row = run_tool(filled, "--memkeys").splitlines()[1].split()
    assert row[-1] == "large"
    assert int(row[-2].replace(",", "")) > 10_000


def test_stat_prints_a_line_per_interval(filled: AnyServer) -> None:
    head, *rows = run_tool(filled, "--stat", "-i", "0.05", "-r", "3").splitlines()
    assert head.split() == ["keys", "memory", "clients", "requests/s", "connections", "hit", "rate"]
    assert len(rows) == 3
    for row in rows:
        assert re.fullmatch(r" +2,501 +[0-9.]+ MiB +[1-9]\d* +[1-9][0-9,]* +[1-9][0-9,]* +-", row), row


def test_stat_reads_the_lines_of_info_over_resp2_too() -> None:
    with closing(FakeRedis({b"INFO": bulk(b"used_memory:2048\r\nconnected_clients:3\r\ndb0:keys=7,x=1\r\n")})) as fake:
        ended = run_client("-p", str(fake.port), "--stat", "-i", "0.01", "-r", "1")
    assert ended.stdout.decode().splitlines()[1].split() == ["7", "2.0", "KiB", "3", "0", "0", "-"]


LATENCIES = re.compile(
    r"min {0}  avg {0}  max {0}  p50 {0}  p99 {0}  p99\.9 {0} ms  \(\d+ samples\)\n".replace("{0}", r"\d+\.\d\d")
)


def test_latency_prints_percentiles(target: AnyServer) -> None:
    ended = run_client("-p", str(target.port), "--latency", "-i", "0.2")
    assert ended.returncode == 0
    assert LATENCIES.fullmatch(ended.stdout.decode())


def test_the_history_of_the_latency_is_a_line_of_percentiles_per_interval_until_ctrl_c(target: AnyServer) -> None:
    command = [RUN_CLIENT, "-p", str(target.port), "--latency", "--history", "-i", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as client:
        assert client.stdout is not None
        for _ in range(3):
            assert LATENCIES.fullmatch(client.stdout.readline())
        client.send_signal(signal.SIGINT)
        assert client.wait(TIMEOUT) == 130


def test_a_dump_restores_strings_and_their_expiry(target: AnyServer, tmp_path: Path) -> None:
    values = {b"k%d" % number: bytes([number]) * number for number in range(256)} | {
        b"": b"",
        b"\xff two": "ключ".encode(),
    }
    for key, value in values.items():
        ask(target, b"SET", key, value)
    ask(target, b"SET", b"expiring", b"1", b"PXAT", b"4102444800123")
    path = tmp_path / "dump"
    run_tool(target, "--dump", str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    ask(target, b"FLUSHALL")
    assert run_tool(target, "--quiet", "--file", str(path)) == ""
    for key, value in values.items():
        assert ask(target, b"GET", key) == b"$%d\r\n%b\r\n" % (len(value), value)
    assert ask(target, b"PEXPIRETIME", b"expiring") == b":4102444800123\r\n"
    assert run_tool(target, "--dump", "-").count("\n") == len(values) + 1


def test_a_dump_reports_keys_that_are_no_strings(target: AnyServer, tmp_path: Path) -> None:
    if target.kind != "redis":
        pytest.skip("kvline has strings only")
    ask(target, b"RPUSH", b"list", b"a")
    ask(target, b"SET", b"string", b"a")
    ended = run_client("-p", str(target.port), "--dump", str(tmp_path / "dump"))
    assert (ended.returncode, ended.stderr) == (1, b"kvline: 1 keys written, 1 keys that are no strings were skipped\n")
    assert (tmp_path / "dump").read_text() == "SET string a\n"


def test_a_dump_that_cannot_be_written_is_an_error(target: AnyServer, tmp_path: Path) -> None:
    ended = run_client("-p", str(target.port), "--dump", str(tmp_path / "no" / "dump"))
    assert ended.returncode == 1
    assert ended.stderr.endswith(b"No such file or directory\n")
    assert list(tmp_path.iterdir()) == []
