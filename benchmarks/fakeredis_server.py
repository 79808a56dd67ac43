"""The process that runs fakeredis's TCP server: ``python -m benchmarks.fakeredis_server``, until SIGTERM."""

from __future__ import annotations

import sys

from fakeredis import TcpFakeServer

from benchmarks.wire import HOST


def main() -> None:
    """Serve on a free port, and print the address as kvline does."""
    server = TcpFakeServer((HOST, 0))
    print(f"listening on {HOST}:{server.server_address[1]}", file=sys.stderr, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
