"""The memory limit over HTTP: 507, and the figures of /metrics."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.harness.http_wire import new_http_client
from tests.harness.processes import StartServer

OOM = "OOM command not allowed when used memory > 'maxmemory'."


@pytest.fixture
def full(start_server: StartServer) -> Iterator[httpx.Client]:
    """A client of a server that has reached its limit."""
    server = start_server("--port", "0", "--http-port", "0", "--max-memory", "1kb", ports=2)
    with new_http_client(server.http_url) as client:
        assert client.put("/keys/large", content="x" * 1000).is_success
        yield client


def test_a_write_at_the_limit_is_507(full: httpx.Client) -> None:
    answers = [full.post("/", json=["SET", "k", "v"]), full.put("/keys/k", content="v")]
    assert [answer.status_code for answer in answers] == [507, 507]
    assert answers[0].json() == {"error": OOM}
    assert full.get("/keys/large").text == "x" * 1000


def test_a_transaction_is_refused_at_the_limit_because_nothing_is_queued(full: httpx.Client) -> None:
    answer = full.post("/multi-exec", json=[["GET", "large"], ["SET", "k", "v"]])
    assert (answer.status_code, answer.json()) == (507, {"error": OOM})
    assert full.delete("/keys/large").is_success
    assert full.post("/multi-exec", json=[["SET", "k", "v"]]).json() == [{"result": "OK"}]


def test_a_pipeline_reports_the_error_of_each_command(full: httpx.Client) -> None:
    answer = full.post("/pipeline", json=[["SET", "k", "v"], ["STRLEN", "large"], ["DEL", "large"], ["SET", "k", "v"]])
    assert answer.json() == [{"error": OOM}, {"result": 1000}, {"result": 1}, {"result": "OK"}]


def test_the_metrics_show_the_limit_and_what_is_used_of_it(full: httpx.Client) -> None:
    lines = full.get("/metrics").text.splitlines()
    figures = dict(line.split(" ", 1) for line in lines if not line.startswith("#"))
    assert float(figures["kvline_max_memory_bytes"]) == 1024
    assert 1000 < float(figures["kvline_used_memory_bytes"]) < 2000
    assert float(figures["kvline_evicted_keys_total"]) == 0
