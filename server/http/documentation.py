"""The documentation: FastAPI writes the OpenAPI document, and a page from a package shows it, with no internet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from common import __version__
from server.http.exchange import Parameter
from server.http.routes import Body, Documentation, Documented, Resource, Routes

SUMMARY = "A key-value store for curl, browsers and serverless clients."

DESCRIPTION = """
The same store that `telnet` and Redis clients reach on the other ports.

Keys and values are bytes. Every error is `{"error": …}` with a sentence.
"""

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
    503: "There are too many clients; `Retry-After` says when to come again.",
    502: "The backing server is not there, or refuses to serve.",
    504: "The backing server took longer than it may.",
    500: "The server's own failure; its log has the details.",
}

ASSETS = "/docs/assets"


def document_of(groups: Sequence[Routes]) -> Documentation:
    """Write the OpenAPI document of all resources."""
    application = FastAPI(title="kvline", version=__version__, summary=SUMMARY, description=DESCRIPTION)
    for group in groups:
        for each in group.resources:
            application.add_api_route(
                each.path,
                _documented_only,
                methods=[each.method],
                operation_id=each.answer.__name__,
                tags=[group.tag],
                summary=each.summary,
                description=each.description,
                response_class=Response,
                status_code=min(each.documented),
                responses=_responses(each),
                openapi_extra=_request(each),
            )
    document = application.openapi()
    document["components"] = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
    return document


async def _documented_only() -> None:
    """Stand where FastAPI asks for a function; requests never come this way."""


def pages_of(document: Documentation) -> list[BaseRoute]:
    """Serve the document, and a page that shows it and lets one try."""
    body = json.dumps(document).encode()
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="kvline",
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{ASSETS}/favicon.png",
    )

    async def openapi(_: Request) -> Response:
        return Response(body, media_type="application/json")

    async def docs(_: Request) -> Response:
        return page

    assets = StaticFiles(directory=Path(fastapi_offline.__file__).parent / "static")
    return [Route("/openapi.json", openapi), Route("/docs", docs), Mount(ASSETS, assets)]


def _request(resource: Resource) -> Documentation:
    """Describe what a route takes."""
    parameters = [resource.path_parameter] if resource.path_parameter else []
    parameters += map(_query_parameter, resource.parameters)
    parameters += [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in resource.headers.items()
    ]
    operation: Documentation = {"parameters": parameters} if parameters else {}
    if resource.body is not None:
        operation["requestBody"] = {"required": True, "content": _content([resource.body])}
    if not resource.is_open:
        operation["security"] = [{"token": []}, {}]
    return operation


def _responses(resource: Resource) -> dict[int | str, dict[str, Any]]:
    """Describe what a route answers, what it refuses included."""
    refused = {status for status in REFUSALS if status != 413 or resource.takes_body}
    if resource.is_open:
        refused -= {401}
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": REFUSALS[status], "content": _content([ERROR])} for status in sorted(refused)
    }
    return responses | {status: _response(status, each) for status, each in resource.documented.items()}


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
