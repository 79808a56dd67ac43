"""Every row of the two tables in docs/frames.md."""

from __future__ import annotations

import re

import pytest

from tests.harness.frame_client import Answer, FrameClient, framed
from tests.harness.processes import ROOT, StartServer

DOCUMENT = (ROOT / "docs" / "frames.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table whose heading begins so, row by row."""
    table = DOCUMENT.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


def refused(answer: Answer, status: int = 400) -> bool:
    """Return whether a reply has this status, a reason, and nothing else."""
    return answer.keys() == {"status_code", "error"} and answer["status_code"] == status and answer["error"] != ""


def test_the_document_has_the_rows_that_are_tested_here() -> None:
    requests = [row[0] for row in rows("request")]
    assert [re.findall(r'"command": "(\w+)"', each) for each in requests[:5]] == [
        ["SET"],
        ["GET"],
        ["DEL"],
        ["RST"],
        ["INCRBY"],
    ]
    assert len(requests) == 8, "the other three rows are about 400, 503 and lengths"
    assert [row[0] for row in rows("set by")] == [
        "a frame: `12`",
        'a frame: `"12"`',
        'a frame: `{"a": [1]}`',
        "`SET k hello`",
        "`SET k 12`",
        "bytes that are not UTF-8",
    ]


@pytest.mark.parametrize("value", [0, "", False, [], {}, "v", 1.5, [None, {"k": None}]])
def test_set_replies_200_and_get_has_the_value(client: FrameClient, value: object) -> None:
    assert client.ask({"command": "SET", "key": "k", "value": value}) == {"status_code": 200}
    answer = client.ask({"command": "GET", "key": "k"})
    assert repr(answer) == repr({"status_code": 200, "value": value})


def test_set_replaces_what_was_there(client: FrameClient) -> None:
    client.set("k", [1])
    client.set("k", "other")
    assert client.get("k") == "other"


def test_get_replies_404_and_no_value_for_a_missing_key(client: FrameClient) -> None:
    assert client.ask({"command": "GET", "key": "k"}) == {"status_code": 404}


def test_del_replies_200_once_and_404_from_then_on(client: FrameClient) -> None:
    client.set("k", 1)
    assert client.ask({"command": "DEL", "key": "k"}) == {"status_code": 200}
    assert client.ask({"command": "DEL", "key": "k"}) == {"status_code": 404}
    assert client.ask({"command": "GET", "key": "k"}) == {"status_code": 404}


def test_rst_replies_200_and_deletes_every_key(client: FrameClient) -> None:
    client.set("a", 1)
    client.set("b", 2)
    assert client.ask({"command": "RST"}) == {"status_code": 200}
    assert client.run("DBSIZE") == 0


@pytest.mark.parametrize(
    ("command", "arguments", "value"),
    [
        ("INCRBY", ["k", 10], 10),
        ("INCRBY", ["k", "-10"], -10),
        ("SET", ["k", "v"], "OK"),
        ("GET", ["k"], None),
        ("ECHO", [1.5], "1.5"),
        ("ECHO", [-7], "-7"),
        ("ECHO", ["12"], "12"),
        ("ECHO", [12], "12"),
        ("ECHO", [""], ""),
        ("ECHO", ["zwölf \0\n\U0001f511"], "zwölf \0\n\U0001f511"),
        ("PING", [], "PONG"),
        ("DEL", ["k", "l"], 0),
        ("MGET", ["k", "l"], [None, None]),
        ("SCAN", [0], ["0", []]),
        ("CONFIG", ["GET", "maxmemory"], {"maxmemory": "0"}),
        ("COMPACT", [], []),
    ],
)
def test_any_command_runs_by_its_args_with_the_reply_in_value(
    client: FrameClient, command: str, arguments: list[object], value: object
) -> None:
    answer = client.ask({"command": command, "args": arguments})
    assert repr(answer) == repr({"status_code": 200, "value": value})


def test_a_command_without_arguments_may_omit_args(client: FrameClient) -> None:
    assert client.ask({"command": "DBSIZE"}) == {"status_code": 200, "value": 0}


def test_a_block_of_lines_is_an_array_of_lines(client: FrameClient) -> None:
    client.set("k", "a b")
    client.run("SET", "l", 1)
    assert client.run("COMPACT") == [r'SET k "\"a b\""', "SET l 1"]


def test_values_by_args_are_strings_and_not_parsed_as_json(client: FrameClient) -> None:
    client.set("k", {"a": [1]})
    assert client.run("GET", "k") == '{"a": [1]}'
    assert client.get("k") == {"a": [1]}


def test_command_names_may_be_in_any_case(client: FrameClient) -> None:
    assert client.ask({"command": "set", "key": "k", "value": 1}) == {"status_code": 200}
    assert client.ask({"command": "Get", "key": "k"}) == {"status_code": 200, "value": 1}
    assert client.ask({"command": "dEL", "key": "k"}) == {"status_code": 200}
    assert client.ask({"command": "rst"}) == {"status_code": 200}
    assert client.run("incrBY", "k", 2) == 2


def test_a_commands_own_error_is_400_with_its_text(client: FrameClient) -> None:
    client.set("k", "no number")
    answer = client.ask({"command": "INCR", "args": ["k"]})
    assert answer == {"status_code": 400, "error": "ERR value is not an integer or out of range"}


@pytest.mark.parametrize("body", [b"[]", b"{}", b"hello", b'{"command": "FLY"}', b'{"command": "GET", "key": ""}'])
def test_what_is_no_request_is_400_and_the_connection_stays(client: FrameClient, body: bytes) -> None:
    client.send(framed(body))
    assert refused(client.answer())
    assert client.run("PING") == "PONG"


def test_every_port_speaks_frames_about_one_store(start_server: StartServer) -> None:
    server = start_server("--port", "0", "--port", "0", ports=2)
    first, second = (FrameClient(int(address.rpartition(":")[2])) for address in server.addresses)
    try:
        first.set("k", {"from": "first"})
        assert second.get("k") == {"from": "first"}
        assert second.run("INCR", "n") == 1
        assert first.run("INCR", "n") == 2
        assert second.ask({"command": "RST"}) == {"status_code": 200}
        assert first.ask({"command": "GET", "key": "k"}) == {"status_code": 404}
    finally:
        first.close()
        second.close()
    server.check()
