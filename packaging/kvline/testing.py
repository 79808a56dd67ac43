"""A kvline server in a process of its own, for the tests of other programs. It needs no test framework.

The fixtures of `kvline.pytest_plugin` are made of it. With unittest or without any framework:

    with KvlineServer(log=Path("kvline.log")) as server:
        redis.Redis(port=server.port).set("key", "value")
"""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

TIMEOUT = 30.0
"""Seconds for a start, a stop or a reply. A busy machine can take some of them."""

POLL_INTERVAL = 0.01


class KvlineServer:
    """A server on free ports of 127.0.0.1. It keeps its ports when it is started again.

    ``args`` are options of ``kvline-server``. Unless they say otherwise, it has one TCP port, and an HTTP port if the
    extra ``http`` is installed. It ignores ``KVLINE_…`` variables of the environment, so that a test is the same
    everywhere. The file ``log`` has what it has logged since its last start. With a ``password``, clients must send it.
    """

    host = "127.0.0.1"

    def __init__(self, args: Sequence[str] = (), *, log: Path, password: str = "") -> None:
        self._args = [part for arg in args for part in arg.split("=", 1 if arg.startswith("--") else 0)]
        if "--port" not in self._args:
            self._args += ["--port", "0"]
        if "--http-port" not in self._args and importlib.util.find_spec("httptools"):
            self._args += ["--http-port", "0"]
        self._log = log
        self.password = password
        self._process: subprocess.Popen[bytes] | None = None
        self._addresses: list[str] = []

    @property
    def port(self) -> int:
        """The first TCP port. It accepts RESP, text and JSON frames."""
        return _port(next(address for address in self._addresses if "://" not in address))

    @property
    def url(self) -> str:
        """The URL for Redis clients: ``redis://127.0.0.1:PORT/0``, with the password if there is one."""
        login = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{login}{self.host}:{self.port}/0"

    @property
    def http_url(self) -> str:
        """The URL of the HTTP listener. Raises `RuntimeError` if the extra ``http`` is not installed."""
        for address in self._addresses:
            if "://" in address:
                return address
        raise RuntimeError('this server has no HTTP port: install "kvline[http]"')

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it listens. Does nothing if it runs.

        Raises `RuntimeError` with what the server printed if it ends instead, or listens nowhere within `TIMEOUT`.
        """
        if self.running:
            return
        environ = {name: value for name, value in os.environ.items() if not name.startswith("KVLINE_")}
        environ["KVLINE_PASSWORD"] = self.password
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                # -P: files in the current folder are not taken for modules of Python.
                [sys.executable, "-P", "-m", "kvline", "server", *self._with_known_ports()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
            )
        wanted = self._args.count("--port") + self._args.count("--http-port")
        deadline = time.monotonic() + TIMEOUT
        while len(addresses := re.findall(r"^listening on (\S+)$", self._printed(), re.MULTILINE)) < wanted:
            if not self.running or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"kvline did not start: {self._printed().strip() or 'it printed nothing'}")
            time.sleep(POLL_INTERVAL)
        self._addresses = addresses

    def stop(self) -> None:
        """Stop the server as an operator does, and wait for its end. Does nothing if it does not run."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(TIMEOUT)

    def kill(self) -> None:
        """End the process as a crash does, and wait for its end. Does nothing if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(TIMEOUT)

    def flush(self) -> None:
        """Delete all keys. Raises `RuntimeError` if the server refuses."""
        password = self.password.encode(errors="surrogateescape")
        auth = b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%b\r\n" % (len(password), password) if password else b""
        with socket.create_connection((self.host, self.port), TIMEOUT) as connection:
            connection.sendall(auth + b"*1\r\n$8\r\nFLUSHALL\r\n")
            with connection.makefile("rb") as replies:
                received = [replies.readline() for _ in range(1 + bool(auth))]
        if received[-1] != b"+OK\r\n":
            raise RuntimeError(f"kvline refused FLUSHALL: {received[-1].decode(errors='replace').strip()}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _with_known_ports(self) -> list[str]:
        """Return the options, with the ports of the last start instead of the zeros."""
        tcp = [address for address in self._addresses if "://" not in address]
        http = [address for address in self._addresses if "://" in address]
        args = [*self._args]
        for index in range(1, len(args)):
            known = {"--port": tcp, "--http-port": http}.get(args[index - 1])
            if known:
                args[index] = str(_port(known.pop(0)))
        return args

    def _printed(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")


def _port(address: str) -> int:
    return int(address.rstrip("/").rpartition(":")[2])
