"""What those who run the server ask it: whether it is well, and what it counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from common import __version__
from server.http.exchange import Answer, Exchange, json_answer
from server.http.metrics import Figures
from server.http.routes import Body, Documented, Routes

routes = Routes("operations")

HEALTH = Body(
    "application/json",
    {"type": "object", "properties": {"status": {"type": "string"}, "version": {"type": "string"}}},
    {"status": "ok", "version": __version__},
)
FIGURES = Body("text/plain", {"type": "string"}, "kvline_keys 2.0\n")


@routes.add("GET", "/healthz", {200: Documented("It is.", (HEALTH,))}, reads=True, is_open=True)
def health(exchange: Exchange) -> Answer:
    """Tell whether the server runs; this needs no token."""
    return json_answer(200, {"status": "ok", "version": __version__})


@routes.add("GET", "/metrics", {200: Documented("All figures.", (FIGURES,))}, reads=True)
def metrics(exchange: Exchange) -> Answer:
    """Tell the server's figures, in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(exchange.session.context))
    content_type = CONTENT_TYPE_PLAIN_0_0_4.encode()
    return Answer(200, generate_latest(registry), [(b"content-type", content_type)])
