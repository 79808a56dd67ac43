"""@upstash/redis, Upstash's client for node.js and edge functions: `upstash/check.cjs` runs against a server."""

from __future__ import annotations

from pathlib import Path

from tests.harness.http_wire import start_with_http
from tests.harness.npm import CheckWithNode
from tests.harness.processes import StartServer

TOKEN = "a-token-of-the-test"


def test_upstash_for_node_gets_what_it_expects(start_server: StartServer, check_with_node: CheckWithNode) -> None:
    server = start_with_http(start_server, KVLINE_PASSWORD=TOKEN)
    check_with_node(Path(__file__).parent / "upstash" / "check.cjs", server.http_url, TOKEN)
