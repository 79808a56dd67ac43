"""Commands that tell the observers of the store what is executed: one call before each step, and one after it.

The store does not know which command it serves, nor for which client. Features that need it, such as keyspace
notifications and CLIENT TRACKING, pass the engine an observed command instead. While no such feature is used, nothing
of this exists.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from common.replies import Reply
from server.registry import Command
from server.registry.command import StagedFunction


class StepObserver(Protocol):
    """Is called under the keyspace lock. ``args`` are those of the request, without the name of the command."""

    def before_step(self, command: Command, args: Sequence[bytes], store: Any) -> None:
        """A step of the command begins."""
        ...

    def after_step(self, command: Command, args: Sequence[bytes]) -> None:
        """The step has ended, with or without an error."""
        ...


def observed(command: Command, observer: StepObserver) -> Command:
    """Return a command that does the same, and calls the observer before and after each of its steps."""

    def run(store: Any, *args: bytes) -> Reply:
        reply: Reply = _observed_step(lambda store: command.run(store, *args), command, args, observer)(store)
        return reply

    stages = None if command.stages is None else _observed_stages(command.stages, command, observer)
    return replace(command, run=run, stages=stages)


def _observed_stages(stages: StagedFunction, command: Command, observer: StepObserver) -> StagedFunction:
    def observed_stages(*args: bytes) -> Generator[Any, Any, Reply]:
        inner = stages(*args)
        step = next(inner)
        while True:
            found = yield _observed_step(step, command, args, observer)
            try:
                step = inner.send(found)
            except StopIteration as end:
                reply: Reply = end.value
                return reply

    return observed_stages


def _observed_step(
    step: Callable[[Any], Any], command: Command, args: Sequence[bytes], observer: StepObserver
) -> Callable[[Any], Any]:
    def observed_step(store: Any) -> Any:
        observer.before_step(command, args, store)
        try:
            return step(store)
        finally:
            observer.after_step(command, args)

    return observed_step
