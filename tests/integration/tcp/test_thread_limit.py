"""A system that allows no further thread: connections are refused with an error, and the log has one line."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import closing

import pytest

from server.commands import COMMANDS
from server.net.listener import Listener
from server.net.threads import BlockingConnection, ThreadPerConnection
from server.session.context import ServerContext
from tests.harness.processes import Peer
from tests.harness.stores import new_engine
from tests.harness.waiting import wait_until

REFUSAL = b"-ERR the server can't start a thread for this connection\r\n"


class LimitedScheduler(ThreadPerConnection):
    """A scheduler that can start no thread while ``is_limited`` is true."""

    def __init__(self) -> None:
        self.is_limited = False

    def schedule(
        self,
        connection: BlockingConnection,
        start_thread: Callable[[Callable[[], None]], None],
        close: Callable[[], None],
    ) -> None:
        if self.is_limited:
            raise RuntimeError("can't start new thread")  # the text of CPython
        super().schedule(connection, start_thread, close)


@pytest.mark.uncompiled
def test_connections_that_get_no_thread_are_refused_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    scheduler = LimitedScheduler()
    context = ServerContext(new_engine(), COMMANDS)
    listener = Listener(socket.AF_INET, ("127.0.0.1", 0), context, scheduler)
    scheduler.start()
    listener.start()
    try:
        scheduler.is_limited = True
        for _ in range(5):
            with closing(Peer(listener.port)) as refused:
                assert refused.rest() == REFUSAL
        wait_until(lambda: len(context.clients) == 0, "the refused connections are deregistered")
        assert caplog.messages == ["connections are refused at present: can't start new thread"]
        scheduler.is_limited = False
        with closing(Peer(listener.port)) as peer:
            assert peer.ask(b"PING") == b"PONG"
        served_again = ["connections are served again; 5 were refused"]
        wait_until(lambda: caplog.messages[1:] == served_again, "the recovery is logged")
    finally:
        listener.stop()
        scheduler.stop()
