"""The command-line options about the backing Redis. Only ``--backend`` imports redis-py and cachetools."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

from server.engines.base import Engine
from server.extras import MissingExtra

MAX_SECONDS = 3600.0
"""The maximum of every option in seconds."""


def add_backend_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to the command line. An option that is not given leaves no attribute in the result."""
    group = parser.add_argument_group("backing Redis", "forward to a Redis or a Redis Cluster (extra: proxy)")

    def add(name: str, kind: Callable[[str], object], metavar: str, text: str) -> None:
        group.add_argument(name, type=kind, metavar=metavar, help=text, default=argparse.SUPPRESS)

    add(
        "--backend",
        str,
        "URL",
        "redis://host:port/database, rediss://…, unix:///path, or redis+cluster://host:port,host:port",
    )
    add("--backend-connections", _count, "NUMBER", "maximum number of connections to each server (default: 50)")
    add("--backend-timeout", _seconds, "SECONDS", "maximum duration of a request (default: 5)")
    add("--cache-keys", _count, "NUMBER", "cache GET, for at most this many keys (default: 10000)")
    add("--cache-ttl", _seconds, "SECONDS", "cache GET, each value for this long (default: 30)")
    group.add_argument(
        "--cache-tracking",
        action="store_true",
        default=argparse.SUPPRESS,
        help="cache GET, and invalidate what the backing Redis (6 or newer) reports as changed",
    )


def _count(text: str) -> int:
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be a number of at least 1, not {text!r}")
    return count


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, at most {MAX_SECONDS:g}, not {text!r}")
    return seconds


def backend_engine(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Engine[Any] | None:
    """Build the engine for the backing Redis, or return None if no option asks for one.

    Exits with argparse's error if the options contradict each other. Raises `MissingExtra`.
    """
    given = {name: value for name, value in vars(options).items() if name.startswith(("backend", "cache_"))}
    if "backend" not in given:
        for name in given:
            parser.error(f"--{name.replace('_', '-')} needs --backend")
        return None
    try:
        from server.engines.redis.factory import BackendSettings, build_engine  # noqa: PLC0415  # an optional extra
    except ImportError as problem:
        raise MissingExtra("--backend", "proxy", problem) from None
    try:
        has_cache = any(name.startswith("cache_") for name in given)
        fields = {name.removeprefix("backend_"): given[name] for name in given if name != "backend"}
        return build_engine(BackendSettings(given["backend"], has_cache=has_cache, **fields))
    except ValueError as problem:
        return parser.error(f"--backend {problem}")
