"""The command line of the server: read the options, wire the parts, wait for the signal to stop."""

from __future__ import annotations

import argparse
import logging
import os
import random
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from common import __version__
from common.limits import DEFAULT_LIMITS, MIB, Limits
from server.clients import DEFAULT_MAX_CLIENTS, LARGEST_MAX_CLIENTS, Clients, Peer
from server.commands import COMMANDS
from server.engine import EmbeddedEngine
from server.instance import Instance
from server.session import Session
from server.store import Store
from server.tcp import Server

DEFAULT_PORT = 9736
DEFAULT_MAX_BODY = 16 * MIB
STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}


class Door(Protocol):
    """A port that the server listens on, in whatever protocol."""

    @property
    def address(self) -> str: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...


class MissingExtra(Exception):
    """A package is not installed that what was asked for needs; the message names the extra that brings it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr,
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname)s %(message)s",
    )
    # Blocked in every thread, so that only sigwait() below sees them; threads inherit the mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    _raise_file_limit()
    if not options.all_cores:
        _stay_on_one_core()
    engine = EmbeddedEngine(Store())
    clients = Clients(options.max_clients)
    instance = Instance(engine, COMMANDS, _limits(options), options.host, shut_down=_ask_to_stop, clients=clients)
    doors = _bind(options, instance)
    if doors is None:
        return 1
    engine.start_sweeping()
    for door in doors:
        door.start()
        print(f"listening on {door.address}", file=sys.stderr, flush=True)
    signal.sigwait(STOP_SIGNALS)
    with ThreadPoolExecutor(len(doors)) as pool:  # each may have to wait for its clients
        list(pool.map(lambda door: door.stop(), doors))
    engine.stop_sweeping()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run_server.sh",
        description="A key-value server that people can talk to with telnet, and Redis clients with RESP.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument(
        "--port",
        type=_port,
        action="append",
        help=f"a port to listen on (default: {DEFAULT_PORT}); may be given more than once; 0 picks a free one",
        default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--max-line", type=_size, default=DEFAULT_LIMITS.max_line, metavar="BYTES", help="the longest line of text"
    )
    parser.add_argument(
        "--max-bulk", type=_size, default=DEFAULT_LIMITS.max_bulk, metavar="BYTES", help="the longest RESP bulk string"
    )
    parser.add_argument(
        "--max-frame",
        type=_frame_size,
        default=DEFAULT_LIMITS.max_frame,
        metavar="BYTES",
        help="the longest JSON frame",
    )
    http = parser.add_argument_group("HTTP, beside the other ports (extra 'http')")
    http.add_argument("--http-port", type=_port, help="a port for HTTP; 0 picks a free one")
    http.add_argument(
        "--http-token", metavar="TOKEN", help="the bearer token that requests need; better given as KVLINE_HTTP_TOKEN"
    )
    http.add_argument(
        "--http-cors", metavar="ORIGIN", action="append", default=[], help="an origin whose pages may ask; repeatable"
    )
    http.add_argument(
        "--http-max-body", type=_size, default=DEFAULT_MAX_BODY, metavar="BYTES", help="the longest body of a request"
    )
    parser.add_argument(
        "--max-clients",
        type=_clients,
        default=DEFAULT_MAX_CLIENTS,
        metavar="N",
        help="how many may be connected at once, to all ports together",
    )
    parser.add_argument(
        "--all-cores", action="store_true", help="let the threads wander over all cores, which is slower under the GIL"
    )
    parser.add_argument(
        "--log-level", choices=["debug", "info", "warning", "error"], default="info", help="what to log"
    )
    parser.add_argument("--version", action="version", version=f"kvline {__version__}")
    return parser


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return port


def _size(text: str) -> int:
    size = int(text) if text.isascii() and text.isdigit() else 0
    if size < 1:
        raise argparse.ArgumentTypeError(f"a limit is a number of bytes, at least 1, not {text!r}")
    return size


def _frame_size(text: str) -> int:
    size = _size(text)
    if size > DEFAULT_LIMITS.max_frame:
        raise argparse.ArgumentTypeError(f"a frame has at most {DEFAULT_LIMITS.max_frame} bytes, not {text}")
    return size


def _clients(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= LARGEST_MAX_CLIENTS:
        raise argparse.ArgumentTypeError(f"a number of clients is from 1 to {LARGEST_MAX_CLIENTS}, not {text!r}")
    return number


def _raise_file_limit() -> None:
    """Allow as many open connections as the system lets this user have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        logging.getLogger(__name__).debug("the limit on open files stays as it is")


def _stay_on_one_core() -> None:
    """Run all threads on one core, where Python has a global interpreter lock.

    Only the thread that holds that lock runs Python anyway. On one core its handing over is a context switch; across
    cores it is a wake-up and a wait for each receive and each send, which measured more than twice as slow with 50
    connections. The core is picked at random, so that several servers on a machine do not all pick the same one.
    """
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)
    if hasattr(os, "sched_setaffinity") and has_gil():
        os.sched_setaffinity(0, {random.choice(sorted(os.sched_getaffinity(0)))})


def _limits(options: argparse.Namespace) -> Limits:
    max_request = max(DEFAULT_LIMITS.max_request, options.max_bulk)
    return Limits(options.max_line, options.max_bulk, options.max_frame, max_request=max_request)


def _ask_to_stop() -> None:
    """Do as a signal from outside would."""
    os.kill(os.getpid(), signal.SIGTERM)


def _bind(options: argparse.Namespace, instance: Instance) -> list[Door] | None:
    """Bind every port, or none: say which one failed and why, and return None."""

    def new_session(address: str, local_address: str, peer: Peer) -> Session:
        return Session(instance, instance.clients.add(address, local_address, peer))

    doors: list[Door] = []
    openers: list[tuple[int, Callable[[int], Door]]] = [
        (port, lambda port: Server(options.host, port, new_session))
        for port in getattr(options, "port", [DEFAULT_PORT])
    ]
    if options.http_port is not None:
        openers.append((options.http_port, lambda port: _http_door(port, options, instance)))
    for port, open_door in openers:
        try:
            doors.append(open_door(port))
        except (OSError, UnicodeError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            print(f"kvline can't listen on {options.host}:{port}: {reason}", file=sys.stderr)
        except MissingExtra as problem:
            print(f"kvline can't listen on {options.host}:{port}: {problem}", file=sys.stderr)
        else:
            continue
        for door in doors:
            door.close()
        return None
    instance.ports = [door.port for door in doors if isinstance(door, Server)]
    return doors


def _http_door(port: int, options: argparse.Namespace, instance: Instance) -> Door:
    """Open the HTTP port. Raises `MissingExtra`, beside what a socket raises."""
    try:
        # An extra, loaded where it is asked for.
        from server.http.application import Application, with_cors  # noqa: PLC0415
        from server.http.server import HTTPServer  # noqa: PLC0415
    except ImportError as problem:
        raise MissingExtra(f"HTTP needs the extra 'http': pip install 'kvline[http]' ({problem})") from None
    token = options.http_token or os.environ.get("KVLINE_HTTP_TOKEN") or None
    origins = options.http_cors
    application = Application(host=options.host, token=token, origins=origins, max_body=options.http_max_body)
    return HTTPServer(options.host, port, instance, with_cors(application, origins) if origins else application)


if __name__ == "__main__":
    sys.exit(main())
