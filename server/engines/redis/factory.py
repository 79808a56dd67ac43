"""Builds the engine in front of a backing Redis from its settings."""

from __future__ import annotations

from dataclasses import dataclass

from server.engines.base import Engine, InfoSection
from server.engines.redis.cache import ReadThroughCache
from server.engines.redis.cached_reads import CachedReads
from server.engines.redis.cluster import Cluster
from server.engines.redis.engine import RedisEngine
from server.engines.redis.standalone import StandaloneServer
from server.engines.redis.tracking import Tracking
from server.engines.redis.transactions import BackendWatch
from server.engines.redis.url import parse_backend_url

DEFAULT_CACHE_KEYS = 10_000
DEFAULT_CACHE_TTL = 30.0


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """The settings of the backing Redis and of the cache in front of it."""

    url: str
    connections: int = 50
    """Maximum number of connections for requests, to each server."""

    timeout: float = 5.0
    """Maximum seconds per request."""

    cache_keys: int | None = None
    """Maximum number of cached keys. The cache is off if it, ``cache_ttl`` and ``cache_tracking`` are not set."""

    cache_ttl: float | None = None
    """Maximum age of a cached value in seconds."""

    cache_tracking: bool = False
    """Whether the backing Redis reports changed keys, so that they are invalidated at once."""

    @property
    def has_cache(self) -> bool:
        """Whether any of the cache's settings is set."""
        return self.cache_tracking or self.cache_keys is not None or self.cache_ttl is not None


def build_engine(settings: BackendSettings) -> Engine[BackendWatch]:
    """Build the engine. Raises ValueError with the rest of a sentence that begins with ``--backend``."""
    url = parse_backend_url(settings.url)
    description: InfoSection = {
        "backend_url": url.shown,
        "backend_connections": settings.connections,
        "backend_timeout": settings.timeout,
    }
    if url.nodes:
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
    cache = ReadThroughCache(settings.cache_keys or DEFAULT_CACHE_KEYS, settings.cache_ttl or DEFAULT_CACHE_TTL)
    tracking = None
    if settings.cache_tracking and tracked is not None:
        tracking = Tracking(tracked.new_connection(), cache, settings.timeout)
    return CachedReads(engine, cache, tracking)
