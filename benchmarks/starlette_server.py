"""The process that runs a bare Starlette: ``python -m benchmarks.starlette_server [CORE]``, until SIGTERM.

It is a reference that many readers know: one route with a constant response, under uvicorn with httptools and uvloop.
Like kvline, it stays on one core, by default one that it picks at random.
"""

from __future__ import annotations

import os
import random
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.load import VALUE
from benchmarks.wire import HOST


async def respond(_: Request) -> Response:
    """Return the same response to every request."""
    return Response(VALUE, media_type="application/octet-stream")


def main() -> None:
    """Serve on a free port, and print the address as kvline does."""
    core = int(sys.argv[1]) if len(sys.argv) > 1 else random.choice(sorted(os.sched_getaffinity(0)))
    os.sched_setaffinity(0, {core})
    application = Starlette(routes=[Route("/", respond, methods=["GET", "POST"])])
    config = uvicorn.Config(
        application,
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    with socket.create_server((HOST, 0)) as listening:
        print(f"listening on {HOST}:{listening.getsockname()[1]}", file=sys.stderr, flush=True)
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
