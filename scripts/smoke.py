"""One conversation in each protocol with a server of this checkout, and the demonstrations: ``make smoke``.

It needs nothing but Python, and takes a few seconds. HTTP needs its extra, and scripts/demo.sh needs bash and curl too:
what is missing is skipped, with the reason. The exit status is 1 if anything is wrong.
"""

from __future__ import annotations

import io
import json
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from urllib.request import ProxyHandler, Request, build_opener

from scripts import demo_tcp
from scripts.demo_tcp import ROOT, TIMEOUT, KvlineServer, own_server

open_url = build_opener(ProxyHandler({})).open  # connects directly, even if the environment sets an HTTP proxy


class Skipped(Exception):
    """Something that a part needs is missing."""


def main() -> int:
    """Run every part, also after one has failed. Return the exit status."""
    failed = 0
    with own_server() as server:
        for name, part in PARTS.items():
            try:
                part(server)
                result = "ok"
            except Skipped as reason:
                result = f"skipped: {reason}"
            except Exception as problem:  # whatever went wrong, the other parts run
                result = f"FAILED: {type(problem).__name__}: {problem}"
                failed += 1
            print(f"{name:<12} {result}", flush=True)
    print("Everything works." if not failed else f"{failed} of {len(PARTS)} parts failed.")
    return 1 if failed else 0


def check(received: object, expected: object) -> None:
    """Raise `AssertionError` unless they are equal."""
    if received != expected:
        raise AssertionError(f"expected {expected!r}, got {received!r}")


def text(server: KvlineServer) -> None:
    """Run the cases of the exercise and the rest of the demonstration. Its output is shown if it fails."""
    output = io.StringIO()
    try:
        with redirect_stdout(output):
            demo_tcp.demonstrate((server.host, server.port))
    except Exception:
        print(output.getvalue())
        raise


def resp(server: KvlineServer) -> None:
    """Send pipelined requests in RESP2, and in RESP3 after HELLO."""
    requests = [["SET", "k", "v\r\n"], ["GET", "k"], ["GET", "none"], ["MULTI"], ["INCR", "n"], ["EXEC"], ["FLUSHALL"]]
    expected = b"+OK\r\n$3\r\nv\r\n\r\n$-1\r\n+OK\r\n+QUEUED\r\n*1\r\n:1\r\n+OK\r\n"
    check(exchange(server, b"".join(map(encode, requests)), len(expected)), expected)
    with socket.create_connection((server.host, server.port), TIMEOUT) as connection:
        connection.sendall(encode(["HELLO", "3"]) + encode(["GET", "none"]) + encode(["QUIT"]))
        replies = connection.makefile("rb").read()
    check(replies[:1], b"%")
    check(replies[-8:], b"_\r\n+OK\r\n")


def frames(server: KvlineServer) -> None:
    """Send JSON frames."""
    for request, reply in (
        ({"command": "SET", "key": "k", "value": {"a": [1]}}, {"status_code": 200}),
        ({"command": "GET", "key": "k"}, {"status_code": 200, "value": {"a": [1]}}),
        ({"command": "RST"}, {"status_code": 200}),
    ):
        body = json.dumps(request).encode()
        with socket.create_connection((server.host, server.port), TIMEOUT) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            stream = connection.makefile("rb")
            (length,) = struct.unpack(">i", stream.read(4))
            check(json.loads(stream.read(length)), reply)


def http(server: KvlineServer) -> None:
    """Write and read a key, run a command, and read the metrics."""
    url = http_url(server)
    check(fetch(f"{url}/keys/k", "PUT", b"value"), b"")
    check(fetch(f"{url}/keys/k"), b"value")
    check(json.loads(fetch(url, "POST", b'["INCR", "n"]')), {"result": 1})
    check(fetch(f"{url}/metrics")[:7], b"# HELP ")
    check(fetch(f"{url}/keys", "DELETE"), b"")


def client(server: KvlineServer) -> None:
    """Run the client program: lines, one command, and a store of its own."""
    program = [sys.executable, "-m", "client", "--port", str(server.port)]
    check(run(program, "SET k 1\nINCRBY k 10\nGET k\n"), "OK\n11\n11\n")
    check(run([*program, "DEL", "k"]), "1\n")
    check(run([sys.executable, "-m", "client", "--local"], "PING\n"), "PONG\n")


def http_demo(server: KvlineServer) -> None:
    """Run scripts/demo.sh."""
    url = http_url(server)
    for name in ("bash", "curl"):
        if shutil.which(name) is None:
            raise Skipped(f"{name} is not installed")
    run(["bash", "scripts/demo.sh", url])


PARTS: dict[str, Callable[[KvlineServer], None]] = {
    "text": text,
    "RESP": resp,
    "JSON frames": frames,
    "HTTP": http,
    "client": client,
    "demo.sh": http_demo,
}


def http_url(server: KvlineServer) -> str:
    try:
        return server.http_url
    except RuntimeError:
        raise Skipped("the extra http is not installed") from None


def encode(args: list[str]) -> bytes:
    """Encode a RESP request."""
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg.encode()) for arg in args)


def exchange(server: KvlineServer, data: bytes, size: int) -> bytes:
    """Send data and receive a number of bytes."""
    with socket.create_connection((server.host, server.port), TIMEOUT) as connection:
        connection.sendall(data)
        return connection.makefile("rb").read(size)


def fetch(url: str, method: str = "GET", body: bytes | None = None) -> bytes:
    """Send a request and return the body of its response. Raises `HTTPError` for a status of 400 or more."""
    with open_url(Request(url, body, method=method), timeout=TIMEOUT) as response:
        return bytes(response.read())


def run(command: list[str], lines: str = "") -> str:
    """Run a program that must succeed, and return what it prints."""
    ended = subprocess.run(command, input=lines, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    check((ended.returncode, ended.stderr), (0, ""))
    return ended.stdout


if __name__ == "__main__":
    sys.exit(main())
