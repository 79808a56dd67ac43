"""The fixtures of the tests over real sockets and real processes."""

from tests.harness.processes import server, shared_server, start_server

__all__ = ["server", "shared_server", "start_server"]
