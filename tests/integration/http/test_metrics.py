"""/metrics: it has Prometheus's text format, follows its conventions, and reports the same figures as INFO."""

from __future__ import annotations

import re

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from common import __version__
from tests.harness.processes import ServerProcess

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def families(http: httpx.Client) -> list[Metric]:
    return list(text_string_to_metric_families(http.get("/metrics").text))


def samples(http: httpx.Client) -> Samples:
    return {
        (each.name, frozenset(each.labels.items())): each.value for family in families(http) for each in family.samples
    }


def value(of: Samples, name: str, **labels: str) -> float:
    return of[name, frozenset(labels.items())]


def info(http: httpx.Client) -> dict[str, str]:
    text = http.post("/", json=["INFO", "everything"]).json()["result"]
    return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)


def test_the_content_type_is_prometheus_own(http: httpx.Client) -> None:
    assert http.get("/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_names_and_texts_follow_the_conventions(http: httpx.Client) -> None:
    http.put("/keys/k", content="v")
    text = http.get("/metrics").text
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert set(types) == set(re.findall(r"^# HELP (\S+) \S.*\.$", text, re.MULTILINE)), "each has a help text"
    for name, kind in types.items():
        assert re.fullmatch(r"kvline_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter")
        assert not re.search(r"_(ms|milliseconds|kb|count|sum|bucket|gauge|counter|histogram)$", name)
    assert types["kvline_command_duration_seconds"] == "histogram"
    labels = set(re.findall(r"[{,](\w+)=", text))
    assert labels <= {"command", "outcome", "le", "version"}


def test_figures_agree_with_info(http: httpx.Client, server: ServerProcess) -> None:
    peer = server.connect()
    for command in (b"SET a 1", b"SET b 1 EX 100", b"INCR a", b"GET a", b"GET"):
        peer.ask(command)
    peer.ask(b"SET text x")
    peer.ask(b"INCR text")
    stats, counted = info(http), samples(http)
    assert value(counted, "kvline_keys") == 3
    assert stats["db0"].startswith("keys=3,expires=1,")
    assert value(counted, "kvline_keys_expiring") == 1
    assert value(counted, "kvline_connections") == int(stats["connected_clients"])
    assert value(counted, "kvline_connections_received_total") == int(stats["total_connections_received"])
    assert value(counted, "kvline_error_replies_total") == int(stats["total_error_replies"])
    assert value(counted, "kvline_expired_keys_total") == int(stats["expired_keys"])
    assert value(counted, "kvline_memory_bytes") == pytest.approx(int(stats["used_memory_rss"]), rel=0.2)


def test_commands_agree_with_info_by_outcome(http: httpx.Client, server: ServerProcess) -> None:
    peer = server.connect()
    for command in (b"SET a x", b"INCR a", b"GET a", b"GET", b"GET a b"):
        peer.ask(command)
    stats, counted = info(http), samples(http)
    named = {key.removeprefix("cmdstat_"): line for key, line in stats.items() if key.startswith("cmdstat_")}
    assert {"set", "incr", "get"} <= named.keys()
    for name in named.keys() - {"info"}:  # INFO is counted after it has run
        fields = {field: float(number) for field, number in (part.split("=") for part in named[name].split(","))}
        by = {
            outcome: value(counted, "kvline_commands_total", command=name, outcome=outcome)
            for outcome in ("done", "failed", "rejected")
        }
        assert by["done"] + by["failed"] == fields["calls"]
        assert by["failed"] == fields["failed_calls"]
        assert by["rejected"] == fields["rejected_calls"]
        seconds = value(counted, "kvline_command_duration_seconds_sum", command=name)
        assert seconds == pytest.approx(fields["usec"] / 1e6, abs=1e-6)


def test_the_histogram_is_cumulative_and_agrees_with_the_counters(http: httpx.Client) -> None:
    http.post("/pipeline", json=[["SET", "k", "v"], ["GET", "k"], ["INCR", "k"], ["PING"]] * 50)
    counted = samples(http)
    commands = {dict(labels)["command"] for name, labels in counted if name == "kvline_commands_total"}
    assert {"set", "get", "incr", "ping"} <= commands
    for command in commands:
        buckets = {
            float(dict(labels)["le"]): number
            for (name, labels), number in counted.items()
            if name == "kvline_command_duration_seconds_bucket" and dict(labels)["command"] == command
        }
        in_order = [buckets[bound] for bound in sorted(buckets)]
        assert in_order == sorted(in_order), "each bucket includes the lower ones"
        calls = sum(value(counted, "kvline_commands_total", command=command, outcome=how) for how in ("done", "failed"))
        assert buckets[float("inf")] == calls
        assert value(counted, "kvline_command_duration_seconds_count", command=command) == calls
        assert min(buckets) < 1e-5
        assert sorted(buckets)[-2] > 10


def test_config_resetstat_resets_the_counters(http: httpx.Client) -> None:
    http.put("/keys/k", content="v")
    http.post("/", json=["CONFIG", "RESETSTAT"])
    names = {dict(labels).get("command") for _, labels in samples(http)}
    assert "set" not in names


def test_health_is_reported_with_the_version(http: httpx.Client) -> None:
    answer = http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "version": __version__})
    assert http.head("/healthz").status_code == 200
