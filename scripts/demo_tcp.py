"""A demonstration of kvline over TCP: the four cases of the exercise, two clients at once, and clients that leave.

    make demo                            starts a server of its own, on a free port
    scripts/demo_tcp.sh [HOST:PORT]      uses a running server, which must be empty

It prints what each client sends and gets. Every reply is checked. At the first unexpected one it prints the reason and
exits with status 1. It needs nothing but Python.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
STORIES = ROOT / "tests" / "transcripts"
TIMEOUT = 30.0
"""Seconds that a reply may take."""

sys.path.append(str(ROOT / "packaging"))

from kvline.testing import KvlineServer  # noqa: E402


class Unexpected(Exception):
    """The server did something that it must not do."""


class Client:
    """A client that speaks the text protocol, as with telnet. It prints both sides of its conversation."""

    def __init__(self, address: tuple[str, int], name: str = "") -> None:
        self._prompt = f"{name}> "
        self._last = ""
        self._socket = socket.create_connection(address, TIMEOUT)
        self._replies = self._socket.makefile("r", encoding="utf-8", newline="\n")

    def send(self, *lines: str) -> None:
        """Send lines at once."""
        for line in lines:
            print(f"{self._prompt}{line}")
        self._last = lines[0]
        self._socket.sendall("".join(f"{line}\n" for line in lines).encode())

    def expect(self, line: str) -> None:
        """Receive a line of a reply and check it."""
        received = self._replies.readline()
        print(received, end="")
        if received != f"{line}\n":
            raise Unexpected(f"the reply to {self._last!r} should be {line!r}, not {received!r}")

    def ask(self, line: str, *reply: str) -> None:
        """Send a line and check every line of its reply."""
        self.send(line)
        for expected in reply:
            self.expect(expected)

    def expect_end(self) -> None:
        """Check that the server has closed the connection and has sent nothing else."""
        if rest := self._replies.read():
            raise Unexpected(f"after the reply to {self._last!r} the server should close, but it sent {rest!r}")
        self._replies.close()
        self._socket.close()

    def disconnect(self) -> None:
        """Leave in an orderly way."""
        self.ask("DISCONNECT", "OK")
        self.expect_end()


def main() -> int:
    """Run the demonstration. Return the exit status."""
    try:
        if len(sys.argv) > 1:
            host, _, port = sys.argv[1].rpartition(":")
            demonstrate((host or "127.0.0.1", int(port)))
        else:
            with own_server() as server:
                demonstrate((server.host, server.port))
    except (Unexpected, OSError, ValueError, RuntimeError) as problem:
        sys.stdout.flush()
        print(f"\ndemo_tcp: {problem}", file=sys.stderr)
        return 1
    print("\nAll replies were as expected.")
    return 0


@contextmanager
def own_server(*args: str) -> Iterator[KvlineServer]:
    """Run the server of this checkout on free ports, with these options."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "packaging"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    os.environ["PYTHONPATH"] = path
    with TemporaryDirectory() as folder, KvlineServer(args, log=Path(folder) / "log") as server:
        yield server


def demonstrate(address: tuple[str, int]) -> None:
    """Run all parts. Raises `Unexpected` if the server has keys, or does something wrong."""
    check_that_it_is_empty(address)
    for path in sorted(STORIES.glob("story-*.txt")):
        story(address, path.read_text(encoding="utf-8"))
    transactions_are_isolated(address)
    no_increment_is_lost(address)
    a_client_that_dies_in_a_transaction(address)
    nothing_runs_after_disconnect(address)


def check_that_it_is_empty(address: tuple[str, int]) -> None:
    """Check it before anything is written, because every part ends with FLUSHALL."""
    with socket.create_connection(address, TIMEOUT) as connection, connection.makefile("r") as replies:
        connection.sendall(b"DBSIZE\n")
        if (keys := replies.readline()) != "0\n":
            raise Unexpected(f"the demonstration needs an empty server; DBSIZE replied {keys!r}")


def story(address: tuple[str, int], text: str) -> None:
    """Replay a transcript (tests/transcripts/README.md)."""
    print()
    client = Client(address)
    for line in text.splitlines():
        if line.startswith("# "):
            print(line)
        elif line.startswith("> "):
            client.send(line[2:])
        else:
            client.expect(line)
    client.ask("FLUSHALL", "OK")
    client.disconnect()


def transactions_are_isolated(address: tuple[str, int]) -> None:
    """Show that other clients see all of a transaction or nothing."""
    print("\n# Two clients at once: a transaction is seen when it is executed, and as a whole")
    one, two = Client(address, "client 1"), Client(address, "client 2")
    one.ask("SET visits 1", "OK")
    one.ask("MULTI", "OK")
    one.ask("INCRBY visits 10", "QUEUED")
    one.ask("SET last one", "QUEUED")
    two.ask("GET visits", "1")
    two.ask("EXISTS last", "0")
    two.ask("INCR visits", "2")
    one.ask("EXEC", "1) 12", "2) OK")
    two.ask("GET visits", "12")
    two.ask("GET last", "one")
    two.ask("FLUSHALL", "OK")
    one.disconnect()
    two.disconnect()


def no_increment_is_lost(address: tuple[str, int], clients: int = 8, increments: int = 500) -> None:
    """Let many clients increment the same number at the same time."""
    print(f"\n# {clients} clients at once send {increments} INCR each: none is lost")

    def increment() -> None:
        with socket.create_connection(address, TIMEOUT) as connection, connection.makefile("rb") as replies:
            connection.sendall(b"INCR visits\n" * increments)
            for _ in range(increments):
                replies.readline()

    threads = [threading.Thread(target=increment) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client = Client(address)
    client.ask("GET visits", str(clients * increments))
    client.ask("FLUSHALL", "OK")
    client.disconnect()


def a_client_that_dies_in_a_transaction(address: tuple[str, int]) -> None:
    """Kill a client process between MULTI and EXEC."""
    print("\n# A client is killed inside MULTI: its transaction is discarded, and the others go on")
    host, port = address
    program = subprocess.Popen(
        [sys.executable, "-m", "client", "--host", host, "--port", str(port)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    with program:
        for line, reply in (("CLIENT SETNAME one", "OK"), ("MULTI", "OK"), ("SET key1 lost", "QUEUED")):
            print(f"client 1> {line}")
            program.stdin.write(f"{line}\n".encode())
            if (received := program.stdout.readline().decode().strip()) != reply:
                program.kill()
                raise Unexpected(f"the client's reply to {line!r} should be {reply!r}, not {received!r}")
            print(received)
        program.kill()
        print("client 1 is killed")
    other = Client(address, "client 2")
    wait_until_gone(address, "one")
    other.ask("GET key1", "(nil)")
    other.ask("MULTI", "OK")
    other.ask("SET key1 kept", "QUEUED")
    other.ask("EXEC", "1) OK")
    other.ask("FLUSHALL", "OK")
    other.disconnect()


def wait_until_gone(address: tuple[str, int], name: str) -> None:
    """Wait until no connection has this name."""
    end = time.monotonic() + TIMEOUT
    with socket.create_connection(address, TIMEOUT) as connection, connection.makefile("rb") as replies:
        while True:
            connection.sendall(b"*2\r\n$6\r\nCLIENT\r\n$4\r\nLIST\r\n")
            length = int(replies.readline()[1:])
            if f" name={name} ".encode() not in replies.read(length + 2):
                return
            if time.monotonic() > end:
                raise Unexpected("the connection of the killed client is still open")
            time.sleep(0.01)


def nothing_runs_after_disconnect(address: tuple[str, int]) -> None:
    """Send a command after DISCONNECT."""
    print("\n# DISCONNECT closes the connection, and nothing sent after it runs")
    client = Client(address)
    client.send("DISCONNECT", "SET key1 value1")
    client.expect("OK")
    client.expect_end()
    other = Client(address)
    other.ask("EXISTS key1", "0")
    other.disconnect()


if __name__ == "__main__":
    sys.exit(main())
