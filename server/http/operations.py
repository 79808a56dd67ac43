"""Operational endpoints: health and metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from common import __version__
from server.http.messages import Request, Response, in_worker, json_response
from server.http.metrics import MetricsCollector
from server.http.routes import BodySpec, ResponseSpec, RouteGroup
from server.session.context import ServerContext

routes = RouteGroup("operations")

HEALTH = BodySpec(
    "application/json",
    {"type": "object", "properties": {"status": {"type": "string"}, "version": {"type": "string"}}},
    {"status": "ok", "version": __version__},
)
METRICS = BodySpec("text/plain", {"type": "string"}, "kvline_keys 2.0\n")


@routes.add("GET", "/healthz", {200: ResponseSpec("The server runs.", (HEALTH,))}, safe=True, public=True)
async def health(request: Request) -> Response:
    """Report that the server runs. This needs no password."""
    # The backing server is not asked: an orchestrator would restart this server because of an outage of the other.
    health = {"status": "ok", "version": __version__}
    persistence = request.session.context.engine.persistence
    if persistence is not None:
        # Status 200 also if the log is failing: reads are served, and a restart would not repair a disk.
        health["log"] = "ok" if persistence.problem is None else f"writes are refused: {persistence.problem}"
    return json_response(200, health)


@routes.add("GET", "/metrics", {200: ResponseSpec("All metrics.", (METRICS,))}, safe=True)
async def metrics(request: Request) -> Response:
    """Return the server's metrics, in Prometheus's text format."""
    # In a worker, because a backing server may have to count the keys.
    body = await in_worker(_collect, request.session.context)
    return Response(200, body, [(b"content-type", CONTENT_TYPE_PLAIN_0_0_4.encode())])


def _collect(context: ServerContext) -> bytes:
    # A registry of its own, because the library's global one is shared by all servers in a process (and adds metrics of
    # Python). Without auto_describe, because that would collect everything once more to learn the names.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(MetricsCollector(context))
    return generate_latest(registry)
