"""The server's options about a backing Redis, and the engine that they ask for. redis-py is loaded only then."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

from server.engines.base import Engine
from server.extras import MissingExtra
from server.registry import CommandTable

DEFAULT_CONNECTIONS = 50
DEFAULT_TIMEOUT = 5.0
DEFAULT_CACHE_KEYS = 10_000
DEFAULT_CACHE_TTL = 30.0

LONGEST = 3600.0
"""The most seconds that an option may say."""


def add_backend_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to the command line. One that is not given leaves nothing behind."""
    group = parser.add_argument_group("a backing Redis", "serve what a Redis or a Redis Cluster holds (extra: proxy)")

    def add(name: str, kind: Callable[[str], object], metavar: str, text: str) -> None:
        group.add_argument(name, type=kind, metavar=metavar, help=text, default=argparse.SUPPRESS)

    add(
        "--backend",
        str,
        "URL",
        "redis://host:port/database, rediss://…, unix:///path, or redis+cluster://host:port,host:port",
    )
    add("--backend-connections", _count, "NUMBER", f"connections to each server (default: {DEFAULT_CONNECTIONS})")
    add("--backend-timeout", _seconds, "SECONDS", f"the longest wait for a reply (default: {DEFAULT_TIMEOUT:g})")
    add("--cache-keys", _count, "NUMBER", f"keep what GET returns, of so many keys (default: {DEFAULT_CACHE_KEYS})")
    add("--cache-ttl", _seconds, "SECONDS", f"keep it for so long (default: {DEFAULT_CACHE_TTL:g})")
    group.add_argument(
        "--cache-tracking",
        action="store_true",
        default=argparse.SUPPRESS,
        help="let the backing Redis (6 or newer) tell of every change, so that the cache forgets it at once",
    )


def _count(text: str) -> int:
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"it is a number of at least 1, not {text!r}")
    return count


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LONGEST:
        raise argparse.ArgumentTypeError(f"it is a number of seconds above 0, at most {LONGEST:g}, not {text!r}")
    return seconds


def backend_engine(
    parser: argparse.ArgumentParser, options: argparse.Namespace, commands: CommandTable
) -> Engine[Any] | None:
    """Make the engine on the backing Redis that the options name, or return None where they name none.

    Ends the process with argparse's error where they contradict one another. Raises `MissingExtra`.
    """
    given = {name: value for name, value in vars(options).items() if name.startswith(("backend", "cache_"))}
    if "backend" not in given:
        for name in given:
            parser.error(f"--{name.replace('_', '-')} needs --backend")
        return None
    try:
        from server.engines.redis.factory import build_engine  # noqa: PLC0415  # the base server needs no redis-py

        return build_engine(given, commands)
    except ImportError as problem:
        raise MissingExtra("--backend", "proxy", problem) from None
    except ValueError as problem:
        return parser.error(f"--backend {problem}")
