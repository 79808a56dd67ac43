"""The limit on connections: one above it gets an error and is closed, and the others are not affected."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from tests.harness.processes import Peer, ServerProcess, StartServer
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.every_scheduler

REFUSAL = b"-ERR max number of clients reached\r\n"
PING = b"*1\r\n$4\r\nPING\r\n"


def read_info(peer: Peer) -> dict[str, str]:
    """Return the fields of INFO."""
    peer.send(b"INFO\nECHO end\n")
    lines = list(iter(peer.line, b"end\n"))
    return dict(line.decode().rstrip().split(":", 1) for line in lines if b":" in line)


def served(server: ServerProcess) -> bool:
    """Return whether one more client is served. It disconnects again."""
    peer = Peer(server.port)
    with contextlib.closing(peer):
        try:
            return peer.ask(b"PING") == b"PONG"
        except ConnectionError:
            return False


def full_server(start_server: StartServer, places: int = 2, shell: str = "") -> tuple[ServerProcess, list[Peer]]:
    """Start a server and take all of its places."""
    server = start_server("--port", "0", "--max-clients", str(places), shell=shell)
    peers = [server.connect() for _ in range(places)]
    assert {peer.ask(b"PING") for peer in peers} == {b"PONG"}
    return server, peers


def test_a_connection_beyond_the_limit_is_refused_and_closed_before_it_sends_anything(
    start_server: StartServer,
) -> None:
    server, peers = full_server(start_server)
    threads = server.threads()
    for _ in range(3):
        assert server.connect().rest() == REFUSAL
    assert server.threads() == threads
    assert [peer.ask(b"PING") for peer in peers] == [b"PONG"] * 2
    info = read_info(peers[0])
    assert (info["connected_clients"], info["maxclients"]) == ("2", "2")
    assert (info["total_connections_received"], info["rejected_connections"]) == ("2", "3")


def kill(peer: Peer, other: Peer) -> None:
    number = int(peer.ask(b"CLIENT ID"))
    assert other.ask(b"CLIENT KILL ID %d" % number) == b"1"


@pytest.mark.parametrize(
    "leave",
    [
        lambda peer, _: peer.close(),
        lambda peer, _: peer.reset(),
        lambda peer, _: peer.finish_sending(),
        lambda peer, _: peer.ask(b"QUIT"),
        lambda peer, _: peer.send(b"*x\r\n"),
        kill,
    ],
    ids=["close", "reset", "end of input", "QUIT", "protocol error", "CLIENT KILL"],
)
def test_a_closed_connection_makes_room_for_another(
    start_server: StartServer, leave: Callable[[Peer, Peer], object]
) -> None:
    server, (first, second) = full_server(start_server)
    assert server.connect().rest() == REFUSAL
    leave(first, second)
    wait_until(lambda: served(server), "another client is served in its place")
    assert second.ask(b"PING") == b"PONG"


def test_the_limit_applies_to_all_ports_together(start_server: StartServer) -> None:
    server = start_server("--port", "0", "--port", "0", "--max-clients", "2", ports=2)
    first, second = (int(address.rpartition(":")[2]) for address in server.addresses)
    with contextlib.ExitStack() as stack:
        served_peers = [stack.enter_context(contextlib.closing(Peer(port))) for port in (first, second)]
        assert [peer.ask(b"PING") for peer in served_peers] == [b"PONG"] * 2, "both are accepted before the others come"
        refused = [stack.enter_context(contextlib.closing(Peer(port))) for port in (first, second)]
        assert [peer.rest() for peer in refused] == [REFUSAL] * 2
        assert [peer.ask(b"PING") for peer in served_peers] == [b"PONG"] * 2


def test_the_limit_can_be_changed_while_clients_are_connected(start_server: StartServer) -> None:
    server, (first, second) = full_server(start_server)
    assert first.ask(b"CONFIG SET maxclients 3") == b"OK"
    third = server.connect()
    assert third.ask(b"PING") == b"PONG"
    assert server.connect().rest() == REFUSAL
    assert first.ask(b"CONFIG SET maxclients 1") == b"OK"
    assert {peer.ask(b"PING") for peer in (first, second, third)} == {b"PONG"}, "no connection is closed"
    second.close()
    wait_until(lambda: read_info(first)["connected_clients"] == "2", "one connection is closed")
    assert server.connect().rest() == REFUSAL


def test_refused_clients_that_send_much_and_read_nothing_block_no_other_client(start_server: StartServer) -> None:
    server, (first, second) = full_server(start_server)
    threads = server.threads()
    refused = [server.connect() for _ in range(200)]
    for peer in refused:
        with contextlib.suppress(ConnectionError):
            peer.send(PING * 1000)
    assert first.ask(b"PING") == b"PONG"
    wait_until(lambda: read_info(first)["rejected_connections"] == "200", "all of them are refused")
    assert server.threads() == threads
    second.close()
    wait_until(lambda: served(server), "another client is served")


def test_a_client_that_is_refused_leaves_no_file_open(start_server: StartServer) -> None:
    server, (first, _) = full_server(start_server, shell="ulimit -n 40")
    for _ in range(100):
        assert server.connect().rest() == REFUSAL
    assert first.ask(b"PING") == b"PONG"
    assert "cannot accept connections" not in server.log
