"""Caches in unchanged clients that rely on CLIENT TRACKING: redis-py, coredis, cashews and node-redis.

Each reads a key twice, another connection changes it, and the cache returns the new value. redis-py uses the default
mode, as node-redis does. coredis redirects to a connection with RESP3, cashews uses BCAST over RESP2.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.npm import CheckWithNode
from tests.harness.processes import ServerProcess
from tests.harness.waiting import TIMEOUT

CLIENTS = Path(__file__).parent

REDIS_PY = """
import sys, time
import redis
from redis.cache import CacheConfig
from redis.connection import CacheProxyConnection

# docs/tracking.md: redis-py refuses every server that does not say that it is Redis 7.4, so also Redis 7.0.
CacheProxyConnection.DEFAULT_SERVER_NAME = "kvline"
CacheProxyConnection.MIN_ALLOWED_VERSION = "7.0.0"

def wait_for(expected, read, *args):
    while (seen := read(*args)) != expected:
        time.sleep(0.005)
    print(seen)

port = int(sys.argv[1])
reader = redis.Redis(port=port, protocol=3, cache_config=CacheConfig())
writer = redis.Redis(port=port)
writer.set("py:a", 1)
print(reader.get("py:a"), reader.get("py:a"), reader.get_cache().size)
writer.set("py:a", 2)
wait_for(b"2", reader.get, "py:a")
print(reader.mget("py:a", "py:b"))
writer.set("py:b", 3)
wait_for([b"2", b"3"], reader.mget, "py:a", "py:b")
writer.flushall()
wait_for(None, reader.get, "py:a")
"""

COREDIS = """
import sys
import anyio
import coredis
from coredis.patterns.cache import LRUCache

async def run(port):
    cache = LRUCache()
    async with coredis.Redis(port=port, cache=cache) as reader, coredis.Redis(port=port) as writer:
        await writer.set("co:a", "1")
        print(await reader.get("co:a"), await reader.get("co:a"), sum(cache.stats.hits.values()))
        for _ in range(2):
            await writer.incr("co:a")
            seen = await reader.get("co:a")
            while seen != await writer.get("co:a"):
                await anyio.sleep(0.005)
                seen = await reader.get("co:a")
            print(seen)

anyio.run(run, int(sys.argv[1]))
"""

CASHEWS = """
import asyncio, sys
from cashews import Cache

async def run(port):
    reader, writer = Cache(), Cache()
    for each in (reader, writer):
        # With RESP3 redis-py passes it no invalidations, whatever the server is.
        each.setup(f"redis://127.0.0.1:{port}/0?protocol=2", client_side=True, suppress=False)
    await writer.set("a", 1)
    print(await reader.get("a"), await reader.get("a"))
    for value in (2, 3):
        await writer.set("a", value)
        while await reader.get("a") != value:
            await asyncio.sleep(0.005)
        print(await reader.get("a"))
    for each in (reader, writer):
        await each.close()

asyncio.run(run(sys.argv[1]))
"""


# In processes of their own, because they leave tasks and threads behind that use the connection.
@pytest.mark.parametrize(
    ("package", "program", "printed"),
    [
        ("redis", REDIS_PY, "b'1' b'1' 1\nb'2'\n[b'2', None]\n[b'2', b'3']\nNone\n"),
        ("coredis", COREDIS, "b'1' b'1' 1\nb'2'\nb'3'\n"),
        ("cashews", CASHEWS, "1 1\n2\n3\n"),
    ],
    ids=["redis-py", "coredis", "cashews"],
)
def test_a_python_client_invalidates_its_cache(server: ServerProcess, package: str, program: str, printed: str) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed (requirements.txt)")
    command = [sys.executable, "-c", program, str(server.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (done.returncode, done.stdout) == (0, printed), done.stderr


def test_node_redis_invalidates_its_cache(server: ServerProcess, check_with_node: CheckWithNode) -> None:
    program = CLIENTS / "node_redis" / "client_side_cache.cjs"
    check_with_node(program, server.port, packages=CLIENTS / "socketio")  # node-redis is one of them
