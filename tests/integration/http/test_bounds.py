"""Clients that send too much, too little or malformed input, do not read, or disconnect: their cost and responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from common.text import quote
from tests.harness.http_wire import HOST, Wire, fetch, new_http_client, request, start_with_http
from tests.harness.processes import ServerProcess, StartServer
from tests.harness.waiting import wait_until, watch

MIB = 1024 * 1024
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"


@pytest.fixture(scope="module")
def own() -> Iterator[ServerProcess]:
    """A server for these tests only, because they measure its memory."""
    server = start_with_http(ServerProcess)
    yield server
    server.check()
    server.close()


@pytest.fixture
def own_wire(own: ServerProcess) -> Iterator[Wire]:
    with Wire(own.http_url) as connection:
        yield connection


def send_what_is_taken(wire: Wire, data: bytes, most: int) -> int:
    """Send the data repeatedly, up to ``most`` bytes or until the server reads no more. Return the bytes sent."""
    wire.socket.settimeout(0.5)
    sent = 0
    try:
        while sent < most:
            wire.socket.sendall(data)
            sent += len(data)
    except OSError:
        pass
    return sent


def put_large(server: ServerProcess, megabytes: int) -> None:
    with new_http_client(server.http_url) as http:
        http.put("/keys/big", content=b"x" * (megabytes * MIB)).raise_for_status()


# ---------------------------------------------------------------- bodies


def test_a_body_that_is_declared_too_long_is_413_before_it_is_sent(wire: Wire) -> None:
    wire.send(b"PUT /keys/k HTTP/1.1\r\n%bExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (HOST, 17 * MIB))
    refused = wire.answer()
    assert refused.status == 413
    assert json.loads(refused.body) == {"error": f"the body is longer than {16 * MIB} bytes"}


def test_a_body_in_chunks_is_413_as_soon_as_it_is_too_long(start_server: StartServer) -> None:
    server = start_with_http(start_server, "--http-max-body", "1000")
    with Wire(server.http_url) as wire:
        wire.send(b"PUT /keys/k HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n3e9\r\n%b\r\n" % (HOST, b"x" * 1001))
        assert wire.answer().status == 413
        wire.send(b"0\r\n\r\n")
        assert wire.ask(b"PUT", b"/keys/k", b"x" * 1000).status == 201, "the connection stays open"


def test_a_body_in_chunks_that_arrives_at_once_is_413_too(start_server: StartServer) -> None:
    server = start_with_http(start_server, "--http-max-body", "1000")
    with Wire(server.http_url) as wire:
        chunk = b"3e9\r\n%b\r\n0\r\n\r\n" % (b"x" * 1001)
        wire.send(b"PUT /keys/k HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n%b" % (HOST, chunk))
        assert wire.answer().status == 413
        assert wire.ask(b"GET", b"/keys/k").status == 404


def test_a_client_that_waits_for_100_continue_gets_it(wire: Wire) -> None:
    wire.send(b"PUT /keys/k HTTP/1.1\r\n%bExpect: 100-continue\r\nContent-Length: 5\r\n\r\n" % HOST)
    assert wire.answer().status == 100
    wire.send(b"hello")
    assert wire.answer().status == 201
    assert wire.ask(b"GET", b"/keys/k").body == b"hello"


def test_a_request_may_arrive_byte_by_byte(wire: Wire) -> None:
    for byte in request(b"PUT", b"/keys/k", b"hello"):
        wire.send(bytes([byte]))
    assert wire.answer().status == 201
    assert wire.ask(b"GET", b"/keys/k").body == b"hello"


def test_a_body_that_a_route_does_not_take_is_ignored(wire: Wire) -> None:
    assert wire.ask(b"GET", b"/healthz", b"x" * MIB).status == 200
    assert wire.ask(b"GET", b"/healthz").status == 200


def test_a_request_with_an_upgrade_header_and_a_body_is_400(wire: Wire) -> None:
    refused = wire.ask(b"PUT", b"/keys/k", b"DELETE /keys HTTP/1.1\r\n%b\r\n" % HOST, UPGRADE)
    assert refused.status == 400
    assert "without an Upgrade header" in json.loads(refused.body)["error"]
    assert wire.is_closed_by_the_server()


def test_an_upgrade_header_without_a_body_is_ignored(wire: Wire) -> None:
    wire.send(request(b"GET", b"/healthz", headers=UPGRADE) + request(b"GET", b"/keys/k"))
    assert (wire.answer().status, wire.answer().status) == (200, 404)
    websocket = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    assert wire.ask(b"GET", b"/healthz", headers=websocket).status == 200


# ---------------------------------------------------------------- heads


@pytest.mark.parametrize("part", ["path", "header", "headers"])
def test_an_endless_head_is_431(wire: Wire, part: str) -> None:
    start, more = {
        "path": (b"GET /keys/", b"x" * 1000),
        "header": (b"GET / HTTP/1.1\r\nX: ", b"x" * 1000),
        "headers": (b"GET / HTTP/1.1\r\n", b"X: 1\r\n" * 200),
    }[part]
    wire.send(start + more * 2000)  # the response must arrive although the server does not parse the rest
    refused = wire.answer()
    assert refused.status == 431
    assert json.loads(refused.body)["error"]
    assert wire.is_closed_by_the_server()


def test_a_head_of_sixty_thousand_bytes_is_accepted(wire: Wire) -> None:
    assert wire.ask(b"PUT", b"/keys/" + b"k" * 60_000, b"v").status == 201


def test_trailers_are_neither_stored_nor_unlimited(own: ServerProcess, own_wire: Wire) -> None:
    before = own.resident_bytes()
    own_wire.send(b"POST / HTTP/1.1\r\n" + HOST + b'Transfer-Encoding: chunked\r\n\r\n8\r\n["PING"]\r\n0\r\n')
    send_what_is_taken(own_wire, b"X-Trailer: %b\r\n" % (b"x" * 2000) * 30, 40 * MIB)
    assert own.resident_bytes() - before < 20 * MIB


def test_trailers_are_not_used_as_headers(start_server: StartServer) -> None:
    server = start_with_http(start_server, KVLINE_PASSWORD="secret")
    with Wire(server.http_url) as wire:
        wire.send(b"GET /healthz HTTP/1.1\r\n%b\r\n" % HOST)  # so that the next request is read while this one runs
        wire.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
        wire.send(b'8\r\n["PING"]\r\n0\r\nAuthorization: Bearer secret\r\n\r\n')
        assert (wire.answer().status, wire.answer().status) == (200, 401)


@pytest.mark.parametrize(
    "data",
    [
        b"NONSENSE\r\n\r\n",
        b"\x00" * 1000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /keys/\xff HTTP/1.1\r\n" + HOST + b"\r\n",
        b"PUT /keys/k HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"PUT /keys/k HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999999\r\n\r\n",
        b"PUT /keys/k HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
    ids=lambda data: repr(data[:30]),
)
def test_malformed_input_is_400_and_closes_the_connection(wire: Wire, data: bytes) -> None:
    wire.send(data)
    refused = wire.answer()
    assert (refused.status, json.loads(refused.body)) == (400, {"error": "malformed HTTP request"})
    assert wire.is_closed_by_the_server()


CHUNKED = b"PUT /keys/k HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" % HOST


@pytest.mark.parametrize(
    ("parts", "statuses"),
    [
        ([CHUNKED + b"ZZ\r\n"], [400]),
        ([CHUNKED, b"ZZ\r\n"], [400]),
        ([CHUNKED + b"0\r\n" + b"Trailer: t\r\n" * 10_000], [431]),
        ([request(b"POST", b"/keys/n/incr") + CHUNKED + b"ZZ\r\n"], [200, 400]),
    ],
    ids=["at once", "in two parts", "endless trailers", "after another request"],
)
def test_a_malformed_body_is_refused_and_nothing_is_changed(
    http: httpx.Client, wire: Wire, parts: list[bytes], statuses: list[int]
) -> None:
    for part in parts:
        wire.send(part)
        http.get("/healthz")  # when this returns, the server has read the part
    assert [wire.answer().status for _ in statuses] == statuses
    assert wire.is_closed_by_the_server()
    assert http.get("/keys/k").status_code == 404


JSON_PATHS = pytest.mark.parametrize("path", [b"/", b"/pipeline", b"/multi-exec"])


@JSON_PATHS
def test_commands_in_json_have_a_lower_limit_than_values(wire: Wire, path: bytes) -> None:
    refused = wire.ask(b"POST", path, b'["ECHO","%b"]' % (b"x" * MIB))
    assert (refused.status, json.loads(refused.body)) == (413, {"error": f"the body is longer than {MIB} bytes"})
    longest = b'["ECHO",%b"x"]' % (b" " * (MIB - len(b'["ECHO","x"]')))
    assert wire.ask(b"POST", b"/", longest).status == 200
    for method, value_path in ((b"PUT", b"/keys/k"), (b"POST", b"/set/k")):
        assert wire.ask(method, value_path, b"x" * (2 * MIB)).status in (200, 201)


def test_commands_in_json_that_are_declared_too_long_are_413_before_they_are_sent(wire: Wire) -> None:
    wire.send(b"POST / HTTP/1.1\r\n%bExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (HOST, MIB + 1))
    assert wire.answer().status == 413


@pytest.mark.parametrize(
    ("options", "size", "status"),
    [
        (["--http-max-json", "2000"], 1999, 200),
        (["--http-max-json", "2000"], 2001, 413),
        (["--http-max-json", "3000000"], 2 * MIB, 200),
        (["--http-max-body", "1000"], 1001, 413),
    ],
)
def test_the_limit_of_commands_in_json_is_an_option(
    start_server: StartServer, options: list[str], size: int, status: int
) -> None:
    with Wire(start_with_http(start_server, *options).http_url) as wire:
        assert wire.ask(b"POST", b"/", b'["PING"]'.ljust(size)).status == status


@JSON_PATHS
@pytest.mark.parametrize("item", [b"[]", b'["a"]'], ids=repr)
def test_json_with_too_many_values_is_refused_before_it_is_parsed(
    start_server: StartServer, path: bytes, item: bytes
) -> None:
    server = start_with_http(start_server, "--http-max-json", str(16 * MIB))
    with Wire(server.http_url) as wire:
        body = b"[" + (item + b",") * ((16 * MIB - 2) // (len(item) + 1)) + b"0]"
        before = peak_resident_bytes(wire)
        refused = wire.ask(b"POST", path, body)
        assert refused.status == 400
        assert b"it has more than 1048576 values" in refused.body
        assert peak_resident_bytes(wire) - before < 100 * MIB


def peak_resident_bytes(wire: Wire) -> int:
    """Return the maximum so far of what the server has had in memory."""
    info = json.loads(wire.ask(b"POST", b"/", b'["INFO","memory"]').body)["result"]
    return int(info.partition("used_memory_peak:")[2].split()[0])


def test_compact_with_a_large_value_takes_memory_independent_of_its_size(start_server: StartServer) -> None:
    server = start_with_http(start_server)
    block, blocks = bytes(range(256)), 16 * MIB // 256
    with Wire(server.http_url) as wire:
        assert wire.ask(b"PUT", b"/keys/big", block * blocks).status == 201
        before = peak_resident_bytes(wire)
        printed = wire.ask(b"GET", b"/compact").body
        assert peak_resident_bytes(wire) - before < 10 * MIB
    assert printed == b'SET big "' + quote(block)[1:-1] * blocks + b'"\n'


def test_pipelining_refuses_malformed_input_after_earlier_responses(wire: Wire) -> None:
    wire.send(request(b"PUT", b"/keys/k", b"v") + request(b"GET", b"/keys/k") + b"NONSENSE\r\n\r\n")
    assert [wire.answer().status for _ in range(3)] == [201, 200, 400]
    assert wire.is_closed_by_the_server()


# ---------------------------------------------------------------- many requests at once


def test_pipelining_ten_thousand_requests_keeps_their_order(wire: Wire) -> None:
    wire.send(request(b"POST", b"/keys/n/incr") * 10_000)
    assert [wire.answer().body for _ in range(10_000)] == [b"%d" % number for number in range(1, 10_001)]


def test_pipelining_keeps_bodies_with_their_requests(wire: Wire) -> None:
    sent = [request(b"PUT", b"/keys/k", b"%d" % number * 3000) + request(b"GET", b"/keys/k") for number in range(50)]
    wire.send(b"".join(sent))
    for number in range(50):
        assert wire.answer().status in (200, 201)
        assert wire.answer().body == b"%d" % number * 3000


@pytest.mark.parametrize(
    "sent", [request(b"GET", b"/keys/value"), request(b"POST", b"/", b'["GET", "value"]')], ids=["GET", "POST"]
)
def test_backpressure_bounds_the_memory_of_endless_requests(own: ServerProcess, own_wire: Wire, sent: bytes) -> None:
    assert own_wire.ask(b"PUT", b"/keys/value", b"x" * 10_000).status in (200, 201)
    before = own.resident_bytes()
    assert send_what_is_taken(own_wire, sent * 5000, 100 * MIB) < 100 * MIB, "reading stops while responses are unread"
    assert own.resident_bytes() - before < 20 * MIB


def test_backpressure_delays_a_large_body_after_many_requests(own: ServerProcess, own_wire: Wire) -> None:
    before = own.resident_bytes()
    own_wire.send(
        request(b"GET", b"/keys") * 500 + b"PUT /keys/k HTTP/1.1\r\n%bContent-Length: 99999999\r\n\r\n" % HOST
    )
    send_what_is_taken(own_wire, b"x" * MIB, 90 * MIB)
    assert own.resident_bytes() - before < 30 * MIB


# ---------------------------------------------------------------- slow readers


@pytest.mark.parametrize("what", ["compact", "pipeline", "transaction", "command"])
def test_backpressure_bounds_large_responses_that_are_not_read(own: ServerProcess, what: str) -> None:
    put_large(own, 2)
    args = [["GET", "big"]] * 200
    method, path, body = {
        "compact": (b"GET", b"/compact", b""),
        "pipeline": (b"POST", b"/pipeline", json.dumps(args).encode()),
        "transaction": (b"POST", b"/multi-exec", json.dumps(args).encode()),
        "command": (b"POST", b"/", json.dumps(["MGET"] + ["big"] * 200).encode()),
    }[what]
    before = own.resident_bytes()
    with Wire(own.http_url) as slow, Wire(own.http_url) as quick:
        slow.send(request(method, path, body))
        assert max(watch(own.resident_bytes, 0.5)) - before < 20 * MIB
        assert quick.ask(b"GET", b"/healthz").status == 200


def test_a_large_response_of_small_results_is_sent_in_large_chunks(own_wire: Wire) -> None:
    body = json.dumps([["PING"]] * 50_000).encode()
    own_wire.send(request(b"POST", b"/pipeline", body, b"Connection: close\r\n"))
    answer = own_wire.rest()
    assert answer.count(b'{"result":"PONG"}') > 49_000, "a few are split between two chunks"
    assert answer.count(b"\r\n") < 30


def test_backpressure_a_reader_that_continues_gets_the_whole_response(own: ServerProcess, own_wire: Wire) -> None:
    put_large(own, 2)
    own_wire.send(request(b"POST", b"/pipeline", json.dumps([["GET", "big"]] * 5 + [["PING"]]).encode()))
    watch(own.resident_bytes, 0.2)
    outcomes = json.loads(own_wire.answer().body)
    assert [len(each["result"]) for each in outcomes] == [2 * MIB] * 5 + [4]


# ---------------------------------------------------------------- clients that disconnect


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /keys/k",
        b"PUT /keys/half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf",
        b'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n["SE',
        request(b"GET", b"/compact"),
        request(b"POST", b"/pipeline", json.dumps([["GET", "big"]] * 50).encode()),
        request(b"GET", b"/keys/big") * 20,
        request(b"POST", b"/", b'["WATCH", "k"]') + b"POST / HTTP/1.1\r\n",
    ],
    ids=["silent", "head", "body", "chunk", "compact", "pipeline", "pipelined", "watch"],
)
@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_client_that_disconnects_leaves_no_state(
    server: ServerProcess, http: httpx.Client, sent: bytes, how: str
) -> None:
    http.put("/keys/big", content=b"x" * MIB)
    before = len(client_list(http))
    wires = [Wire(server.http_url) for _ in range(5)]
    for wire in wires:
        wire.send(sent)
    wait_until(lambda: len(client_list(http)) == before + 5, "they are in CLIENT LIST")
    for wire in wires:
        if how == "reset":
            wire.reset()
        else:
            wire.__exit__()
    wait_until(lambda: len(client_list(http)) == before, "they are removed from CLIENT LIST")
    assert "watching_clients:0" in http.post("/", json=["INFO", "clients"]).json()["result"]
    assert http.get("/keys/half").status_code == 404


def client_list(http: httpx.Client) -> list[str]:
    listed = http.post("/", json=["CLIENT", "LIST"]).json()["result"]
    assert isinstance(listed, str)
    return listed.splitlines()


def test_a_client_that_resets_before_it_is_accepted_leaves_no_open_file(own: ServerProcess) -> None:
    """uvloop then knows no address of the client. The server logged a traceback and never closed the socket."""
    for _ in range(200):
        Wire(own.http_url).reset()
    with Wire(own.http_url) as wire:  # accepted after all of them
        assert wire.ask(b"GET", b"/keys/none").status == 404
    files = Path(f"/proc/{own.process.pid}/fd")
    if files.is_dir():
        wait_until(lambda: len(list(files.iterdir())) < 100, "the sockets are closed")
    own.check()


def test_without_file_descriptors_the_log_has_one_line_and_no_traceback(
    start_server: StartServer, tmp_path: Path
) -> None:
    """asyncio's own event loop, which is used without uvloop, logs a traceback for each connection."""
    (tmp_path / "uvloop.py").write_text("raise ImportError('no uvloop here')\n")
    server = start_with_http(start_server, shell=f"ulimit -n 40; export PYTHONPATH={tmp_path}")
    with ExitStack() as wires:
        for _ in range(80):
            wires.enter_context(Wire(server.http_url))
        wait_until(lambda: "cannot accept connections at present" in server.log, "no file descriptor is left")
    wait_until(lambda: fetch("GET", f"{server.http_url}/healthz").status_code == 200, "connections are served again")
    assert server.log.count("cannot accept connections at present") <= 2, "one line per ten seconds"
