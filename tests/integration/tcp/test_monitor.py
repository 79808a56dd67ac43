"""MONITOR over real sockets: what is shown comes in order, and a reader that does not read harms only itself."""

from __future__ import annotations

import pytest

from tests.harness.processes import ServerProcess, StartServer
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.every_scheduler


def test_monitor_shows_what_others_send_after_its_own_reply(server: ServerProcess) -> None:
    monitor, other = server.connect(), server.connect()
    assert monitor.ask(b"MONITOR") == b"OK"
    for number in range(100):
        assert other.ask(b"SET key %d" % number) == b"OK"
    for number in range(100):
        assert monitor.line().endswith(b'] "SET" "key" "%d"\n' % number)
    monitor.send(b"PING\n")
    reply, shown = sorted((monitor.line(), monitor.line()), key=len)
    assert reply == b"PONG\n"
    assert shown.endswith(b'] "PING"\n'), "its own commands are shown to it too"


def test_backpressure_a_monitor_that_does_not_read_is_closed_and_blocks_no_other_client(
    start_server: StartServer,
) -> None:
    server = start_server()
    monitor, other = server.connect(), server.connect()
    assert monitor.ask(b"MONITOR") == b"OK"

    def is_alone() -> bool:
        other.send(b"ECHO %b\n" % (b"x" * 1000) * 1000)
        for _ in range(1000):
            other.line()
        return b"monitoring_clients:0" in other_info(server)

    wait_until(is_alone, "the monitor is cut off")
    wait_until(lambda: "is closed: it does not read what is pushed to it" in server.log, "the log says so")
    assert other.ask(b"PING") == b"PONG"
    server.check()


def other_info(server: ServerProcess) -> bytes:
    """Return what INFO reports of clients."""
    peer = server.connect()
    peer.send(b"INFO clients\nQUIT\n")
    return peer.rest()
