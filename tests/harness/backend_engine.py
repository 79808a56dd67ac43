"""An engine in front of a backing Redis, in process, without a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from common.errors import CommandError
from common.replies import ErrorKind, Reply
from common.text_args import split_args
from server.commands import COMMANDS
from server.engines.base import CallContext, Database, Engine, WouldBlock
from server.engines.redis.factory import BackendSettings, build_engine


class BackendEngine:
    """Sends lines of commands to an engine, each as a new session does."""

    def __init__(self, settings: BackendSettings) -> None:
        self.engine: Engine[Any] = build_engine(settings)
        self.database: Database[Any] = self.engine.database(0)

    def execute(self, line: str, *, read_through: bool = False) -> Reply:
        """Execute a command. Raises `CommandError`."""
        args = split_args(line.encode())
        call = CallContext()
        call.read_through = read_through
        return self.database.execute(COMMANDS.resolve(args), args, call)

    def try_execute(self, line: str) -> Reply | WouldBlock:
        """Execute a command if that does not wait for I/O."""
        args = split_args(line.encode())
        return self.database.try_execute(COMMANDS.resolve(args), args, CallContext())

    def execute_all(self, *lines: str, watched: tuple[bytes, ...] = ()) -> list[Reply | Exception] | None:
        """Execute a transaction. Raises `CommandError`."""
        watch = self.database.new_watch()
        if watched:
            self.database.watch(watch, watched)
        requests = [split_args(line.encode()) for line in lines]
        return self.engine.execute_all(
            [(0, [(COMMANDS.resolve(each), each) for each in requests])], {0: watch}, CallContext()
        )

    def failure(self, line: str) -> tuple[ErrorKind, bytes]:
        """Execute a command that fails. Return the kind of its error and the text."""
        with pytest.raises(CommandError) as raised:
            self.execute(line)
        return raised.value.reply.kind, raised.value.reply.text

    def info(self, section: str) -> dict[str, Any]:
        """Return a section of INFO."""
        return dict(self.engine.info_sections()[section])


NewEngine = Callable[..., BackendEngine]


@pytest.fixture
def new_engine() -> Iterator[NewEngine]:
    """Build engines by their `BackendSettings`, and start them. They are stopped at the end of the test."""
    made: list[BackendEngine] = []

    def new(url: str, *, start: bool = True, **settings: Any) -> BackendEngine:
        has_cache = any(name.startswith("cache_") for name in settings)
        made.append(BackendEngine(BackendSettings(url, has_cache=has_cache, **settings)))
        if start:
            made[-1].engine.start()
        return made[-1]

    yield new
    for each in made:
        each.engine.stop()
