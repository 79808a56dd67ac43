"""The fixtures of the tests with many clients at once."""

from tests.harness.processes import server, shared_server, start_server

__all__ = ["server", "shared_server", "start_server"]
