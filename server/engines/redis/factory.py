"""Builds the engine in front of a backing Redis from its settings."""

from __future__ import annotations

from server.engines.base import Engine, InfoSection
from server.engines.redis.cache import ReadThroughCache
from server.engines.redis.cached_reads import CachedReads
from server.engines.redis.cluster import Cluster
from server.engines.redis.engine import RedisEngine
from server.engines.redis.standalone import StandaloneServer
from server.engines.redis.tracking import Tracking
from server.engines.redis.transactions import BackendWatch
from server.engines.redis.url import parse_backend_url
from server.settings import BackendSettings


def build_engine(settings: BackendSettings) -> Engine[BackendWatch]:
    """Build the engine. Raises ValueError with the rest of a sentence that begins with ``--backend``."""
    url = parse_backend_url(settings.url, settings.password)
    description: InfoSection = {
        "backend_url": url.shown,
        "backend_connections": settings.connections,
        "backend_timeout": settings.timeout,
    }
    if url.nodes:
        # An invalidation is sent by the node that has the key, so tracking would need a connection to each of them.
        if settings.cache_tracking:
            raise ValueError("cannot be a cluster with --cache-tracking, which follows one server")
        cluster = Cluster(url.settings, url.nodes, settings.connections)
        return _with_cache(RedisEngine(cluster, settings.timeout, description), settings, None)
    server = StandaloneServer(url.settings, settings.connections)
    return _with_cache(RedisEngine(server, settings.timeout, description), settings, server)


def _with_cache(
    engine: RedisEngine, settings: BackendSettings, tracked: StandaloneServer | None
) -> Engine[BackendWatch]:
    """Put a cache in front of the engine if the settings ask for one."""
    if not settings.has_cache:
        return engine
    cache = ReadThroughCache(settings.cache_keys, settings.cache_ttl)
    tracking = None
    if settings.cache_tracking and tracked is not None:
        # Outside the pool: it is held as long as the server runs, and reports arrive on it between replies.
        tracking = Tracking(tracked.new_connection(), cache, settings.timeout)
    return CachedReads(engine, cache, tracking)
