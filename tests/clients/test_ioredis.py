"""ioredis, a client for node.js: `ioredis/check.cjs` runs against a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.certificates import TLSFiles, certificates
from tests.harness.npm import CheckWithNode
from tests.harness.processes import ServerProcess, StartServer

__all__ = ["certificates"]

CHECK = Path(__file__).parent / "ioredis" / "check.cjs"
PASSWORD = "correct-horse"


@pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])
def test_ioredis_gets_what_it_expects_of_a_redis(
    server: ServerProcess, check_with_node: CheckWithNode, protocol: int
) -> None:
    check_with_node(CHECK, server.port, protocol)


def test_ioredis_gets_the_same_with_a_password(start_server: StartServer, check_with_node: CheckWithNode) -> None:
    check_with_node(CHECK, start_server(KVLINE_PASSWORD=PASSWORD).port, 2, PASSWORD)


def test_ioredis_gets_the_same_with_a_password_over_tls(
    start_server: StartServer, check_with_node: CheckWithNode, certificates: TLSFiles
) -> None:
    server = start_server(*certificates.options(), KVLINE_PASSWORD=PASSWORD)
    check_with_node(CHECK, server.port, 3, PASSWORD, certificates.authority.certificate)
