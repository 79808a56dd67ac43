"""The fixtures of the tests on documents."""

from tests.processes import start_server as start_server
