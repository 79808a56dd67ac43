"""Helpers of the tests with redis-py."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Any

import pytest
import redis


def refused(text: str) -> AbstractContextManager[pytest.ExceptionInfo[redis.ResponseError]]:
    """Expect a `redis.ResponseError` with exactly this text."""
    return pytest.raises(redis.ResponseError, match=f"^{re.escape(text)}$")


def plain(arg: str | bytes | None) -> str | None:
    """Return what redis-py gives as text in RESP2 and as bytes in RESP3."""
    return arg.decode() if isinstance(arg, bytes) else arg


def milliseconds(client: Any) -> int:
    """Return the server's time in milliseconds since the epoch."""
    seconds, microseconds = client.time()
    return int(seconds * 1000 + microseconds // 1000)
