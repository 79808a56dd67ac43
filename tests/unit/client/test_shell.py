"""The loop of the prompt with lines that are typed in advance, and a fake server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from client.connection import SocketConnection
from client.conversation import Conversation
from client.protocol import Login
from client.render.pretty import Pretty
from client.settings import ConnectionSettings
from client.shell.documentation import Documentation
from client.shell.loop import Shell
from client.shell.screen import Screen
from tests.harness.fake_redis import FakeRedis, FakeRequest


class TypedLines:
    """An editor whose lines are given."""

    def __init__(self, *lines: str) -> None:
        self._lines = list(lines)

    def __enter__(self) -> TypedLines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, _: str) -> str:
        if not self._lines:
            raise EOFError
        return self._lines.pop(0)


@contextmanager
def server_with_password(password: list[bytes]) -> Iterator[Conversation]:
    """Yield a conversation with a server that requires the first of these passwords, and that can change."""

    def authenticate(request: FakeRequest) -> bytes:
        return b"+OK\r\n" if request.args[-1] == password[0] else b"-WRONGPASS wrong\r\n"

    with closing(FakeRedis({b"AUTH": authenticate})) as fake:
        settings = ConnectionSettings(port=fake.port)
        conversation = Conversation(lambda: SocketConnection(settings), Login(password=password[0].decode()))
        yield conversation
        conversation.disconnect()


def shown(conversation: Conversation, *lines: str) -> list[str]:
    """Type lines. Return what is shown after the banner."""
    output = io.BytesIO()
    editor: Any = TypedLines(*lines)
    screen = Screen(output, Pretty(colours=False))
    Shell(conversation, editor, screen, Documentation()).run()
    return output.getvalue().decode().splitlines()[1:]


def test_auth_in_a_transaction_queues_nothing_else() -> None:
    queued = b"+QUEUED\r\n"
    with closing(FakeRedis({b"MULTI": b"+OK\r\n", b"AUTH": queued, b"COMMAND": queued})) as fake:
        settings = ConnectionSettings(port=fake.port)
        conversation = Conversation(lambda: SocketConnection(settings), Login())
        assert shown(conversation, "MULTI", "AUTH secret") == ["OK", "QUEUED"]
        assert fake.count(b"COMMAND") == 0
        conversation.disconnect()


def test_after_a_restart_with_another_password_auth_connects_again() -> None:
    password = [b"old"]
    with server_with_password(password) as conversation:
        password[0] = b"new"
        conversation.disconnect()
        lines = shown(conversation, "PING", "AUTH new", "PING")
        name = conversation.name
        assert lines == ["kvline: AUTH failed: WRONGPASS wrong", f"connected again to {name}", "OK", "PONG"]
        conversation.disconnect()
        assert shown(conversation, "PING") == [f"connected again to {name}", "PONG"], "the new password is repeated"
