"""The fixtures of the tests of the documents."""

from tests.harness.processes import start_server as start_server
