"""Wait for many sockets at once: epoll, or what `selectors` offers on a platform without it."""

from __future__ import annotations

import select
import selectors
import sys
from typing import Protocol

READABLE = 0x1
WRITABLE = 0x4
"""The numbers of EPOLLIN and EPOLLOUT, epoll_ctl(2), so that they need no conversion."""


class Poller(Protocol):
    """Sockets by their file descriptors, and what each of them waits for. The methods are those of `select.epoll`."""

    def register(self, fd: int, events: int, /) -> None:
        """Wait for these events, too."""
        ...

    def modify(self, fd: int, events: int, /) -> None:
        """Wait for these events instead."""
        ...

    def unregister(self, fd: int, /) -> None:
        """Wait for this socket no more."""
        ...

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Wait for up to ``timeout`` seconds, or without a limit. Return what is ready, each with its events."""
        ...

    def close(self) -> None:
        """Release the poller. The sockets stay open."""
        ...


class SelectorPoller:
    """A `Poller` by `selectors`: kqueue on macOS and BSD, select on Windows."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, fd: int, events: int, /) -> None:
        """Wait for these events, too."""
        self._selector.register(fd, _to_selector(events))

    def modify(self, fd: int, events: int, /) -> None:
        """Wait for these events instead."""
        self._selector.modify(fd, _to_selector(events))

    def unregister(self, fd: int, /) -> None:
        """Wait for this socket no more."""
        self._selector.unregister(fd)

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Wait for up to ``timeout`` seconds, or without a limit. Return what is ready, each with its events."""
        return [(key.fd, events) for key, events in self._selector.select(timeout)]

    def close(self) -> None:
        """Release the selector."""
        self._selector.close()


def _to_selector(events: int) -> int:
    return (selectors.EVENT_READ if events & READABLE else 0) | (selectors.EVENT_WRITE if events & WRITABLE else 0)


def new_poller() -> Poller:
    """Return the best poller of this platform."""
    # The platform is compared literally, because mypy knows by it that epoll exists. `selectors.EpollSelector` would
    # convert epoll's list of pairs to other objects.
    if sys.platform == "linux" and hasattr(select, "epoll"):
        return select.epoll()
    return SelectorPoller()
