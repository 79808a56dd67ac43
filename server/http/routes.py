"""What the door answers: each function is entered with one decorator, which also says all that documents it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from server.http.exchange import Answer, Exchange, Parameter

Answerer: TypeAlias = Callable[[Exchange], Answer]
Documentation: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Body:
    """A body, of a request or an answer, as OpenAPI describes it."""

    content_type: str
    schema: Documentation
    example: object


@dataclass(frozen=True, slots=True)
class Documented:
    """An answer as it is documented."""

    description: str
    bodies: tuple[Body, ...] = ()
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resource:
    """One method of one path."""

    method: str
    path: str
    answer: Answerer
    summary: str
    description: str
    documented: dict[int, Documented]
    parameters: tuple[Parameter, ...]
    path_parameter: Documentation | None
    headers: dict[str, str]
    body: Body | None
    takes_body: bool
    reads: bool
    """It changes nothing, so that a page from anywhere may ask for it; whether it may read the answer is CORS's."""
    is_open: bool
    """It needs no token."""
    may_be_at_hand: bool
    """Its first and only command may be answered from a cache, so that it is worth trying without a thread."""
    runs_many: bool
    """It runs as many commands as the client likes, which may take long, so that a thread of its own does it."""
    runs_commands: bool
    """It runs commands that a client chose, which may leave the session in any state."""


class Routes:
    """The resources of one module."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.resources: list[Resource] = []

    def add(
        self,
        method: str,
        path: str,
        documented: dict[int, Documented],
        *,
        parameters: Iterable[Parameter] = (),
        path_parameter: Documentation | None = None,
        headers: dict[str, str] | None = None,
        body: Body | None = None,
        takes_body: bool | None = None,
        reads: bool = False,
        is_open: bool = False,
        may_be_at_hand: bool = False,
        runs_many: bool = False,
        runs_commands: bool = False,
    ) -> Callable[[Answerer], Answerer]:
        """Enter a function. The first line of its docstring is the summary, the rest is the description."""

        def enter(answer: Answerer) -> Answerer:
            summary, _, description = inspect.cleandoc(answer.__doc__ or "").partition("\n")
            self.resources.append(
                Resource(
                    method=method,
                    path=path,
                    answer=answer,
                    summary=summary,
                    description=description.strip(),
                    documented=documented,
                    parameters=tuple(parameters),
                    path_parameter=path_parameter,
                    headers=headers or {},
                    body=body,
                    takes_body=body is not None if takes_body is None else takes_body,
                    reads=reads,
                    is_open=is_open,
                    may_be_at_hand=may_be_at_hand,
                    runs_many=runs_many,
                    runs_commands=runs_commands,
                )
            )
            return answer

        return enter
