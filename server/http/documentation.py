"""The page ``/docs``, with its assets and the OpenAPI document that it displays. Nothing is loaded from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from swagger_ui_bundle import swagger_ui_path

from common.errors import HTTP_NOT_FOUND
from server.http.messages import JSON, HTTPError, Request, Response, in_worker
from server.http.openapi import openapi_document
from server.http.routes import RouteGroup

ASSETS = {
    b"swagger-ui.css": b"text/css; charset=utf-8",
    b"swagger-ui-bundle.js": b"text/javascript; charset=utf-8",
    b"favicon-32x32.png": b"image/png",
}
"""The files that are served, and their types. No other name is read, so a path cannot leave the folder."""

NO_FRAMES = (b"content-security-policy", b"frame-ancestors 'none'")
"""Keeps other pages from showing this one in a frame (clickjacking; Content Security Policy level 3, 6.4.2)."""

PAGE = b"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>kvline</title>
<link rel="icon" type="image/png" href="/docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true});</script>
</body>
</html>
"""


def routes_for(groups: Sequence[RouteGroup]) -> RouteGroup:
    """Return the routes of the documentation of these groups."""
    routes = RouteGroup("documentation")
    # Made once, because the routes do not change while the server runs.
    document = json.dumps(openapi_document(groups), ensure_ascii=False).encode()

    async def openapi(request: Request) -> Response:
        return Response(200, document, [(b"content-type", JSON)])

    routes.add("GET", "/openapi.json", {}, safe=True)(openapi)
    routes.add("GET", "/docs", {}, safe=True)(page)
    # Without this route, /docs/x would be the command DOCS; see `server.http.commands.run_path`.
    routes.add("GET", "/docs/{file}", {}, safe=True)(not_found)
    routes.add("GET", "/docs/assets/{file}", {}, safe=True)(asset)
    return routes


async def page(request: Request) -> Response:
    return Response(200, PAGE, [(b"content-type", b"text/html; charset=utf-8"), NO_FRAMES])


async def asset(request: Request) -> Response:
    content_type = ASSETS.get(request.path_argument)
    if content_type is None:
        raise HTTPError(HTTP_NOT_FOUND)
    body = await in_worker(_read, request.path_argument)
    return Response(200, body, [(b"content-type", content_type)])


async def not_found(request: Request) -> Response:
    raise HTTPError(HTTP_NOT_FOUND)


@cache  # bounded by the number of `ASSETS`
def _read(name: bytes) -> bytes:
    return Path(swagger_ui_path, name.decode()).read_bytes()
