"""The fixtures of the tests of servers with a durable log."""

from tests.harness.processes import start_server

__all__ = ["start_server"]
