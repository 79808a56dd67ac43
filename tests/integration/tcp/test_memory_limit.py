"""The memory limit over each TCP protocol, and what a hostile client gets out of it."""

from __future__ import annotations

from common.limits import MIB
from common.resp_client import encode_request
from tests.harness.frame_client import FrameClient
from tests.harness.processes import StartServer
from tests.harness.waiting import wait_until

OOM = "OOM command not allowed when used memory > 'maxmemory'."


def test_the_error_in_text_resp_and_frames(start_server: StartServer) -> None:
    server = start_server("--port", "0", "--max-memory", "1kb")
    peer = server.connect()
    peer.send(b"SET large %b\nSET k v\n" % (b"x" * 1000))
    assert [peer.line() for _ in range(2)] == [b"OK\n", f"(error) {OOM}\n".encode()]
    peer.send(encode_request([b"SET", b"k", b"v"]))
    assert peer.line() == f"-{OOM}\r\n".encode()
    frames = FrameClient(server.port)
    try:
        assert frames.ask({"command": "SET", "key": "k", "value": "v"}) == {"status_code": 507, "error": OOM}
        assert frames.ask({"command": "DEL", "key": "large"})["status_code"] == 200
        assert frames.ask({"command": "SET", "key": "k", "value": "v"})["status_code"] == 200
    finally:
        frames.close()


def test_clients_that_write_without_end_do_not_make_the_server_grow(start_server: StartServer) -> None:
    server = start_server("--port", "0", "--max-memory", "16mb", "--eviction", "allkeys-lru")
    empty = server.resident_bytes()
    peers = [server.connect() for _ in range(4)]
    for number in range(60):
        for each, peer in enumerate(peers):
            key = b"%d-%d" % (each, number)
            peer.send(b"MULTI\nSETRANGE %b 99999 x\nAPPEND %b y\nEXPIRE %b 1000\nEXEC\n" % (key, key, key))
            peer.send(b"SETRANGE other%b 99999 x\nCOPY other%b third%b\n" % (key, key, key))
        for peer in peers:
            replies = [peer.line() for _ in range(9)]
            assert not any(b"error" in reply for reply in replies), replies
    # 72 MB were written.
    assert server.resident_bytes() - empty < 1.5 * 16 * MIB


def test_a_stream_of_new_and_deleted_keys_leaves_nothing_in_the_server(start_server: StartServer) -> None:
    server = start_server("--port", "0", "--max-memory", "1gb", "--eviction", "allkeys-lfu")
    peer = server.connect()
    before = 0
    for turn in range(6):
        for chunk in range(50):
            numbers = range(chunk * 1000, chunk * 1000 + 1000)
            peer.send(b"".join(b"SET %d:%d x\nDEL %d:%d\n" % (turn, each, turn, each) for each in numbers))
            for _ in range(2000):
                peer.line()
        if turn == 1:
            before = server.resident_bytes()
    wait_until(lambda: server.resident_bytes() - before < 12 * MIB, "stale keys are removed")
