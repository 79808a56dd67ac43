"""Write a route's part of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from server.http.exchange import Parameter
from server.http.routes import Body, Documentation, Documented, Route

ERROR = Body(
    "application/json",
    {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
    {"error": "there is no such key"},
)

REFUSALS = {
    400: "The request is not one that can be run; the reply says why.",
    401: "The server has a token, and the request has not.",
    403: "The request comes from a page of another origin, or names the server as it is not called.",
    413: "The body is too long.",
    500: "The server's own failure; its log has the details.",
}

SECURITY_SCHEME: Documentation = {"type": "http", "scheme": "bearer"}


def request_of(route: Route) -> Documentation:
    """Describe what a route takes."""
    parameters = [route.path_parameter] if route.path_parameter else []
    parameters += map(_query_parameter, route.parameters)
    parameters += [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in route.headers.items()
    ]
    operation: Documentation = {"parameters": parameters} if parameters else {}
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _content([route.body])}
    if not route.is_open:
        operation["security"] = [{"token": []}, {}]
    return operation


def responses_of(route: Route) -> dict[int | str, dict[str, Any]]:
    """Describe what a route answers, what it refuses included."""
    refused = {status for status in REFUSALS if status != 413 or route.takes_body}
    if route.is_open:
        refused -= {401}
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": REFUSALS[status], "content": _content([ERROR])} for status in sorted(refused)
    }
    return responses | {status: _response(status, each) for status, each in route.documented.items()}


def _response(status: int, documented: Documented) -> dict[str, Any]:
    response: dict[str, Any] = {"description": documented.description}
    bodies = documented.bodies or ((ERROR,) if status >= 400 else ())
    if bodies:
        response["content"] = _content(bodies)
    if documented.headers:
        response["headers"] = {name: {"schema": {"type": "string"}} for name in documented.headers}
    return response


def _content(bodies: Sequence[Body]) -> Documentation:
    return {body.content_type: {"schema": body.schema, "example": body.example} for body in bodies}


def _query_parameter(parameter: Parameter) -> Documentation:
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description[:1].upper() + parameter.description[1:] + ".",
        "schema": parameter.schema,
        "example": parameter.example,
    }
