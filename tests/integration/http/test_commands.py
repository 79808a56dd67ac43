"""Commands over Upstash's REST API: body, path, pipeline, transaction, base64, and every command of the table."""

from __future__ import annotations

from base64 import b64encode

import httpx
import pytest

from server.commands import COMMANDS
from tests.harness.http_wire import Wire
from tests.harness.processes import ServerProcess


@pytest.mark.parametrize(
    ("command", "result"),
    [
        (["SET", "k", "v"], "OK"),
        (["set", "k", 12], "OK"),
        (["GET", "nothing"], None),
        (["INCRBY", "n", 10], 10),
        (["INCRBYFLOAT", "f", 1.5], "1.5"),
        (["ECHO", "sn☃w"], "sn☃w"),
        (["ECHO", True], "true"),
        (["ECHO", 1e300], "1e+300"),
        (["MGET", "a", "b"], [None, None]),
        (["KEYS", "*"], []),
        (["SCAN", 0], ["0", []]),
        (["CONFIG", "GET", "databases"], ["databases", "16"]),
        (["LCS", "a", "b", "IDX"], ["matches", [], "len", 0]),
        (["COMPACT"], ""),
        (["PING"], "PONG"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None,
)
def test_a_reply_has_the_json_form_of_upstash(http: httpx.Client, command: list[object], result: object) -> None:
    answer = http.post("/", json=command)
    assert (answer.status_code, answer.json()) == (200, {"result": result})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (["NONSENSE"], "ERR unknown command 'NONSENSE', with args beginning with: "),
        (["GET"], "ERR wrong number of arguments for 'get' command"),
        (["INCR", "text"], "ERR value is not an integer or out of range"),
        ([""], "ERR unknown command '', with args beginning with: "),
        (["EXEC"], "ERR EXEC without MULTI"),
    ],
)
def test_an_error_is_400_with_the_text_of_redis(http: httpx.Client, command: list[str], error: str) -> None:
    http.put("/keys/text", content="hello")
    answer = http.post("/", json=command)
    assert (answer.status_code, answer.json()) == (400, {"error": error})


@pytest.mark.parametrize("path", ["/", "/pipeline", "/multi-exec"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"GET k",
        b"{}",
        b"null",
        b'"GET"',
        b"[[]]",
        b"[null]",
        b'["GET", null]',
        b'[["GET", ["k"]]]' * 2,
        b'["GET", {"k": 1}]',
        b'["\xff"]',
        b'["\\ud800"]',
        b"[NaN]",
        b"[1e999]",
        b"[" * 100_000,
        b"[" + b"1" * 5000 + b"]",
        b'["GET", "k"',
    ],
    ids=lambda value: repr(value[:16]),
)
def test_a_body_that_is_no_command_is_400_with_a_sentence(http: httpx.Client, path: str, body: bytes) -> None:
    answer = http.post(path, content=body)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert "Traceback" not in answer.text
    assert len(answer.text) < 200


def test_every_command_of_the_table_is_known_by_body_and_path(http: httpx.Client) -> None:
    too_many = ["x"] * 60
    for name in (command.name.decode() for command in COMMANDS):
        for answer in (http.post("/", json=[name, *too_many]), http.post("/".join(["", name, *too_many]))):
            assert "unknown command" not in answer.text, name
            assert answer.status_code in (200, 400), name


# ---------------------------------------------------------------- the path


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_command_may_be_in_the_path(http: httpx.Client, method: str) -> None:
    assert http.request(method, "/set/k/hello%20you%2F/EX/100").json() == {"result": "OK"}
    assert http.request(method, "/get/k").json() == {"result": "hello you/"}
    assert http.request(method, "/get/none").json() == {"result": None}
    assert http.request(method, "/nonsense").status_code == 400


def test_the_query_contains_options(http: httpx.Client, server: ServerProcess) -> None:
    assert http.get("/set/k/v?EX=100&NX").json() == {"result": "OK"}
    assert http.get("/set/k/w?EX=100&NX").json() == {"result": None}
    assert 0 < int(server.connect().ask(b"TTL k")) <= 100


def test_the_body_is_the_last_argument_before_the_options(http: httpx.Client) -> None:
    value = bytes(range(256))
    assert http.post("/set/k?EX=100", content=value).json() == {"result": "OK"}
    assert http.get("/keys/k").content == value


def test_any_bytes_may_be_in_the_path(wire: Wire) -> None:
    every = b"".join(b"%%%02x" % byte for byte in range(256))
    assert wire.ask(b"GET", b"/set/%b/%b" % (every, every)).body == b'{"result":"OK"}'
    assert wire.ask(b"GET", b"/keys/" + every).body == bytes(range(256))


def test_keys_and_compact_in_capitals_are_the_commands(http: httpx.Client) -> None:
    http.put("/keys/k", content="v")
    assert http.get("/KEYS/*").json() == {"result": ["k"]}
    assert http.get("/COMPACT").json() == {"result": "SET k v"}


# ---------------------------------------------------------------- many at once


def test_a_pipeline_replies_to_each_command_and_continues_after_errors(http: httpx.Client) -> None:
    commands = [["SET", "k", "v"], ["NONSENSE"], ["GET", "k"], ["INCR", "k"], ["DEL", "k"]]
    answer = http.post("/pipeline", json=commands)
    assert answer.status_code == 200
    assert [list(each) for each in answer.json()] == [["result"], ["error"], ["result"], ["error"], ["result"]]
    assert [each.get("result") for each in answer.json()] == ["OK", None, "v", None, 1]


def test_a_request_without_commands_has_no_results(http: httpx.Client) -> None:
    assert [http.post(path, json=[]).json() for path in ("/pipeline", "/multi-exec")] == [[], []]


def test_a_long_pipeline_gets_all_replies(http: httpx.Client) -> None:
    assert http.post("/pipeline", json=[["INCR", "n"]] * 30_000).json()[-1] == {"result": 30_000}


def test_a_transaction_replies_to_each_command(http: httpx.Client) -> None:
    answer = http.post("/multi-exec", json=[["SET", "k", "v"], ["INCR", "k"], ["GET", "k"]])
    assert answer.status_code == 200
    assert answer.json() == [
        {"result": "OK"},
        {"error": "ERR value is not an integer or out of range"},
        {"result": "v"},
    ]


@pytest.mark.parametrize(
    "bad", [["NONSENSE"], ["GET"], ["MULTI"], ["EXEC"], ["DISCARD"], ["WATCH", "k"], ["RESET"], ["QUIT"]]
)
def test_a_transaction_with_a_command_that_cannot_be_queued_changes_nothing(http: httpx.Client, bad: list[str]) -> None:
    answer = http.post("/multi-exec", json=[["SET", "k", "v"], bad, ["SET", "k", "w"]])
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert http.get("/keys/k").status_code == 404


# ---------------------------------------------------------------- base64


@pytest.mark.parametrize("encoding", ["base64", "BASE64"])
def test_strings_are_in_base64_if_the_header_asks_for_it(http: httpx.Client, encoding: str) -> None:
    value = b"\xff\x00" * 100_000
    http.put("/keys/k", content=value)
    http.headers["Upstash-Encoding"] = encoding
    in_base64 = b64encode(value).decode()
    assert http.post("/", json=["GET", "k"]).json() == {"result": in_base64}
    assert http.post("/", json=["SET", "s", "v"]).json() == {"result": "OK"}
    assert http.post("/", json=["PING"]).json() == {"result": "UE9ORw=="}
    assert http.post("/pipeline", json=[["MGET", "k", "x"], ["STRLEN", "k"]]).json() == [
        {"result": [in_base64, None]},
        {"result": 200_000},
    ]
    assert http.post("/", json=["NONSENSE"]).json()["error"].startswith("ERR unknown")
    assert http.get("/get/k").json() == {"result": in_base64}


def test_bytes_that_are_not_utf_8_are_replaced_in_json(http: httpx.Client) -> None:
    http.put("/keys/k", content=b"a\xffb")
    assert http.post("/", json=["GET", "k"]).json() == {"result": "a\ufffdb"}


def test_commands_after_quit_are_not_run(http: httpx.Client) -> None:
    outcomes = http.post("/pipeline", json=[["SET", "k", "v"], ["QUIT"], ["SET", "k", "w"]])
    assert outcomes.json() == [{"result": "OK"}, {"result": "OK"}]
    assert outcomes.headers["connection"] == "close"
    assert http.get("/keys/k").text == "v"
