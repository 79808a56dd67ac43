"""The fixtures of the tests of the HTTP door."""

from tests.processes import start_server

__all__ = ["start_server"]
