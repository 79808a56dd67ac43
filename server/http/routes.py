"""Routes: which handler serves a method and a path. One decorator registers a handler and all that documents it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from common.errors import HTTP_METHOD_NOT_ALLOWED, HTTP_NOT_FOUND
from server.http.messages import DATABASE_HEADER, JSON, HTTPError, Parameter, Request, Response
from server.settings.table import DEFAULT_DATABASES

Handler: TypeAlias = Callable[[Request], Coroutine[Any, Any, Response]]

Schema: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BodySpec:
    """A body, of a request or a response, as OpenAPI describes it."""

    content_type: str
    schema: Schema
    example: object
    required: bool = True
    """Whether a request is refused without it. Otherwise it is empty then."""


@dataclass(frozen=True, slots=True)
class ResponseSpec:
    """A response as OpenAPI describes it."""

    description: str
    bodies: tuple[BodySpec, ...] = ()
    headers: tuple[str, ...] = ()


class HeaderSpec(NamedTuple):
    """A header of a request whose value is no text, as OpenAPI describes it."""

    description: str
    schema: Schema


Header: TypeAlias = str | HeaderSpec
"""A header of a request. Of one with any text as its value, it is the description alone."""


DATABASE: Mapping[str, Header] = {
    DATABASE_HEADER.decode().title(): HeaderSpec(
        "The number of the database; 0 without it. The highest one depends on `--databases`.",
        {"type": "integer", "minimum": 0, "maximum": DEFAULT_DATABASES - 1},
    )
}
"""The header that selects a database."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. The path may have one variable part: ``/keys/{key}/incr``."""

    method: str
    path: str
    handler: Handler
    summary: str = ""
    description: str = ""
    responses: dict[int, ResponseSpec] = field(default_factory=dict)
    parameters: tuple[Parameter, ...] = ()
    path_parameter: Schema | None = None
    headers: dict[str, Header] = field(default_factory=dict)
    body: BodySpec | None = None
    safe: bool = False
    """Whether it changes nothing (RFC 9110, 9.2.1), so that pages of other origins may send it.

    They cannot read the response unless CORS allows it, so sending it gives them nothing.
    """
    public: bool = False
    """Whether it needs no password."""

    @property
    def takes_body(self) -> bool:
        """Whether the handler reads the request's body. Any other body is discarded."""
        return self.body is not None

    @property
    def takes_json(self) -> bool:
        """Whether the body is JSON. Its limit is lower, because it is parsed and not only stored."""
        return self.body is not None and self.body.content_type == JSON.decode()


class RouteGroup:
    """The routes of one module. ``tag`` is the heading under which the OpenAPI document lists them.

    ``headers`` are those of requests to each of them.
    """

    def __init__(self, tag: str, headers: Mapping[str, Header] | None = None) -> None:
        self.tag = tag
        self._headers = headers or {}
        self.routes: list[Route] = []

    def add(
        self,
        method: str,
        path: str,
        responses: dict[int, ResponseSpec],
        *,
        parameters: Iterable[Parameter] = (),
        path_parameter: Schema | None = None,
        headers: Mapping[str, Header] | None = None,
        body: BodySpec | None = None,
        safe: bool = False,
        public: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Register a handler. The first line of its docstring is the summary, the rest is the description.

        The other parameters are the fields of `Route`. A request's body is discarded unless ``body`` describes it.
        """

        def register(handler: Handler) -> Handler:
            summary, _, description = inspect.cleandoc(handler.__doc__ or "").partition("\n")
            self.routes.append(
                Route(
                    method=method,
                    path=path,
                    handler=handler,
                    summary=summary,
                    description=description.strip(),
                    responses=responses,
                    parameters=tuple(parameters),
                    path_parameter=path_parameter,
                    headers={**(headers or {}), **self._headers},
                    body=body,
                    safe=safe,
                    public=public,
                )
            )
            return handler

        return register


_ByMethod: TypeAlias = dict[bytes, Route]


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A path with a variable part between a prefix and a suffix."""

    prefix: bytes
    suffix: bytes
    routes: _ByMethod

    def argument_of(self, path: bytes) -> bytes | None:
        """Return the variable part of a path, None if the path does not match."""
        # In `/keys/incr`, prefix and suffix of `/keys/{key}/incr` overlap. It is the key `incr`, and no match here.
        end = len(path) - len(self.suffix)
        if end < len(self.prefix) or not (path.startswith(self.prefix) and path.endswith(self.suffix)):
            return None
        return path[len(self.prefix) : end]


class RouteTable:
    """All routes. An exact path precedes a pattern, and a longer pattern a shorter one."""

    def __init__(self, groups: Sequence[RouteGroup]) -> None:
        by_path: dict[str, _ByMethod] = {}
        for route in (route for group in groups for route in group.routes):
            routes = by_path.setdefault(route.path, {})
            if route.method.encode() in routes:  # the later one would replace the other without a trace
                raise ValueError(f"two routes for {route.method} {route.path}")
            routes[route.method.encode()] = route
        # RFC 9110 (9.1) requires HEAD besides GET. The connection leaves the body out.
        for routes in by_path.values():
            if b"GET" in routes:
                routes.setdefault(b"HEAD", routes[b"GET"])
        self._exact = {path.encode(): routes for path, routes in by_path.items() if "{" not in path}
        patterns = [_pattern(path, routes) for path, routes in by_path.items() if "{" in path]
        # Longest first, so that `/keys/{key}` is tried before `/{args}`, which matches every path.
        self._patterns = sorted(patterns, key=lambda each: len(each.prefix) + len(each.suffix), reverse=True)

    def find(self, method: bytes, path: bytes) -> tuple[Route, bytes]:
        """Return the route of a request, and the variable part of its path. Raises `HTTPError`: 404 or 405.

        The most specific path that matches decides, also if it does not have the method: a PUT to `/keys/a/incr` must
        not become one to `/keys/{key}`. Paths are compared as they were sent, still percent-encoded, so that an encoded
        slash is a part of a key.
        """
        routes, argument = self._match(path)
        if (route := routes.get(method)) is not None:
            return route, argument
        # RFC 9110 (15.5.6) requires Allow in a 405.
        raise HTTPError(HTTP_METHOD_NOT_ALLOWED, [(b"allow", b", ".join(sorted(routes)))])

    def _match(self, path: bytes) -> tuple[_ByMethod, bytes]:
        exact = self._exact.get(path)
        if exact is not None:
            return exact, b""
        for pattern in self._patterns:
            argument = pattern.argument_of(path)
            if argument is not None:
                return pattern.routes, argument
        raise HTTPError(HTTP_NOT_FOUND)


def _pattern(path: str, routes: _ByMethod) -> _Pattern:
    prefix, _, rest = path.partition("{")
    return _Pattern(prefix.encode(), rest.partition("}")[2].encode(), routes)
