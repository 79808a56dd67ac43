"""Put the engine together that the command line asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.clients.stats import Figures
from server.engines.redis.cache import ReadThroughCache
from server.engines.redis.cluster import Cluster
from server.engines.redis.command_line import (
    DEFAULT_CACHE_KEYS,
    DEFAULT_CACHE_TTL,
    DEFAULT_CONNECTIONS,
    DEFAULT_TIMEOUT,
)
from server.engines.redis.engine import RedisEngine
from server.engines.redis.standalone import SingleServer
from server.engines.redis.tracking import Tracking
from server.engines.redis.url import parse_address
from server.registry import CommandTable


def build_engine(given: Mapping[str, Any], commands: CommandTable) -> RedisEngine:
    """Make the engine from the options that were given, by name.

    Raises ValueError with the rest of a sentence that begins with ``--backend``.
    """
    address = parse_address(given["backend"])
    connections: int = given.get("backend_connections", DEFAULT_CONNECTIONS)
    limit: float = given.get("backend_timeout", DEFAULT_TIMEOUT)
    description: Figures = {
        "backend_url": address.shown,
        "backend_connections": connections,
        "backend_timeout": limit,
    }
    cache = _cache(given)
    if address.nodes:
        if "cache_tracking" in given:
            raise ValueError("can't be a cluster with --cache-tracking, which follows one server")
        return RedisEngine(Cluster(address, connections, commands), limit, description, cache)
    server = SingleServer(address, connections)
    tracking = Tracking(server.new_connection(), cache, limit) if cache and "cache_tracking" in given else None
    return RedisEngine(server, limit, description, cache, tracking)


def _cache(given: Mapping[str, Any]) -> ReadThroughCache | None:
    """Make the cache if any option asks for one."""
    if not any(name.startswith("cache_") for name in given):
        return None
    return ReadThroughCache(given.get("cache_keys", DEFAULT_CACHE_KEYS), given.get("cache_ttl", DEFAULT_CACHE_TTL))
