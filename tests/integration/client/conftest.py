"""The fixtures of the tests over real sockets and real processes."""

from tests.harness.any_server import mortal_target, shared_target, target
from tests.harness.processes import server, shared_server, start_server

__all__ = ["mortal_target", "server", "shared_server", "shared_target", "start_server", "target"]
