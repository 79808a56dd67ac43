"""The fixtures of the tests on documents."""

from tests.harness.processes import start_server as start_server
