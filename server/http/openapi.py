"""Build the OpenAPI document from the routes. It has version 3.0.3, the newest one that Swagger UI 4 displays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from common import __version__
from common.errors import HTTP_NO_SUCH_KEY
from server.http.messages import Parameter
from server.http.routes import BodySpec, HeaderSpec, ResponseSpec, Route, RouteGroup, Schema

DESCRIPTION = """
A key-value store for curl, browsers and serverless clients: the same store that `telnet` and Redis clients reach on the
other ports.

Keys and values are bytes. Every error is `{"error": …}` with a sentence.
"""

ERROR_SCHEMA: Schema = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
# By reference, so that generated clients have one class of errors and not one for each status of each operation.
ERROR = BodySpec("application/json", {"$ref": "#/components/schemas/Error"}, {"error": HTTP_NO_SUCH_KEY.sentence})

REFUSALS = {
    400: "The request is malformed or failed; the error says why.",
    401: "The server requires a password.",
    403: "The request is cross-origin, or its host name is not allowed.",
    408: "The rest of the request did not arrive in time.",
    413: "The body is too large.",
    500: "The server failed; its log has the details.",
    502: "The backing server is not available.",
    503: "There are too many clients; `Retry-After` says when to try again.",
    504: "The backing server took too long.",
}
"""Responses that every operation may have, with two exceptions; see `_responses`."""


def openapi_document(groups: Sequence[RouteGroup]) -> Schema:
    """Return the document that describes all routes of these groups."""
    paths: Schema = {}
    for group in groups:
        for route in group.routes:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(group.tag, route)
    return {
        "openapi": "3.0.3",
        "info": {"title": "kvline", "version": __version__, "description": DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR_SCHEMA},
            "securitySchemes": {scheme: {"type": "http", "scheme": scheme} for scheme in ("bearer", "basic")},
        },
    }


def _operation(tag: str, route: Route) -> Schema:
    operation: Schema = {
        "tags": [tag],
        "summary": route.summary,
        "description": route.description,
        "operationId": getattr(route.handler, "__name__", route.path),
        "responses": _responses(route),
    }
    if parameters := list(_parameters(route)):
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"required": route.body.required, "content": _content([route.body])}
    if not route.public:
        # With a password or without, because the document does not depend on whether this server has one.
        operation["security"] = [{"bearer": []}, {"basic": []}, {}]
    return operation


def _parameters(route: Route) -> Iterable[Schema]:
    if route.path_parameter is not None:
        yield route.path_parameter
    yield from map(_query_parameter, route.parameters)
    for name, header in route.headers.items():
        spec = HeaderSpec(header, {"type": "string"}) if isinstance(header, str) else header
        yield {"name": name, "in": "header", "description": spec.description, "schema": spec.schema}


def _query_parameter(parameter: Parameter) -> Schema:
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description[:1].upper() + parameter.description[1:] + ".",
        "schema": parameter.schema,
        "example": parameter.example,
    }


def _responses(route: Route) -> Schema:
    """Describe the responses: those of every operation, and those of this route."""
    # The route's own responses replace the general ones, because a route may give a status a meaning of its own.
    absent = set() if route.takes_body else {413}
    absent |= {401} if route.public else set()
    specs = {status: ResponseSpec(REFUSALS[status]) for status in REFUSALS.keys() - absent} | route.responses
    return {str(status): _response(route.method, status, specs[status]) for status in sorted(specs)}


def _response(method: str, status: int, spec: ResponseSpec) -> Schema:
    response: Schema = {"description": spec.description}
    bodies = spec.bodies or ((ERROR,) if status >= 400 else ())
    if bodies and method != "HEAD":  # RFC 9110 (9.3.2): the response to a HEAD has no body, whatever its status
        response["content"] = _content(bodies)
    if spec.headers:
        response["headers"] = {name: {"schema": {"type": "string"}} for name in spec.headers}
    return response


def _content(bodies: Iterable[BodySpec]) -> Schema:
    return {body.content_type: {"schema": body.schema, "example": body.example} for body in bodies}
