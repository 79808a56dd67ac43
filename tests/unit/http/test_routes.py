"""The route table: which handler serves a method and a path, and what is refused with which Allow."""

from __future__ import annotations

import pytest

from server.http.messages import HTTPError, Request, Response
from server.http.routes import RouteGroup, RouteTable


async def handler(_: Request) -> Response:
    return Response(200)


def group(*routes: str) -> RouteGroup:
    made = RouteGroup("test")
    for route in routes:
        method, path = route.split()
        made.add(method, path, {})(handler)
    return made


TABLE = RouteTable(
    [
        group("GET /keys", "DELETE /keys", "GET /keys/{key}", "PUT /keys/{key}", "POST /keys/{key}/incr"),
        group("POST /", "GET /{args}", "POST /{args}"),
    ]
)


@pytest.mark.parametrize(
    ("request_line", "path", "argument"),
    [
        ("GET /keys", "/keys", b""),
        ("HEAD /keys", "/keys", b""),
        ("GET /keys/a", "/keys/{key}", b"a"),
        ("GET /keys/", "/keys/{key}", b""),
        ("PUT /keys/a%2Fincr", "/keys/{key}", b"a%2Fincr"),
        ("POST /keys/a/incr", "/keys/{key}/incr", b"a"),
        ("POST /keys/a/b/incr", "/keys/{key}/incr", b"a/b"),
        ("POST /keys//incr", "/keys/{key}/incr", b""),
        ("PUT /keys/incr", "/keys/{key}", b"incr"),
        ("POST /", "/", b""),
        ("GET /get/k", "/{args}", b"get/k"),
    ],
)
def test_a_request_has_the_most_specific_route(request_line: str, path: str, argument: bytes) -> None:
    method, requested = request_line.encode().split()
    route, found = TABLE.find(method, requested)
    assert (route.path, found) == (path, argument)


@pytest.mark.parametrize(
    ("request_line", "allow"),
    [
        ("PATCH /keys", b"DELETE, GET, HEAD"),
        ("PATCH /keys/a", b"GET, HEAD, PUT"),
        ("PUT /keys/a/incr", b"POST"),
        ("POST /keys/incr", b"GET, HEAD, PUT"),
        ("GET /", b"POST"),
        ("PUT /get/k", b"GET, HEAD, POST"),
    ],
)
def test_a_method_that_a_path_does_not_have_is_405(request_line: str, allow: bytes) -> None:
    method, requested = request_line.encode().split()
    with pytest.raises(HTTPError) as refused:
        TABLE.find(method, requested)
    assert (refused.value.problem.status, dict(refused.value.headers)) == (405, {b"allow": allow})


def test_a_path_without_a_route_is_404() -> None:
    with pytest.raises(HTTPError) as refused:
        RouteTable([group("GET /keys")]).find(b"GET", b"/other")
    assert refused.value.problem.status == 404


def test_two_routes_for_one_method_and_path_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two routes"):
        RouteTable([group("GET /keys"), group("GET /keys")])
