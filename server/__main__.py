"""The command line of the server: read the options, wire the parts, wait for the signal to stop."""

from __future__ import annotations

import argparse
import logging
import os
import random
import resource
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from common import __version__
from common.limits import DEFAULT_LIMITS, Limits
from server.backend.command_line import MissingExtra, add_backend_options, backend_engine
from server.clients import Peer
from server.commands import COMMANDS
from server.engine import EmbeddedEngine
from server.instance import Instance
from server.session import Session
from server.store import Store
from server.tcp import Server

DEFAULT_PORT = 9736
STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        engine = backend_engine(parser, options, COMMANDS) or EmbeddedEngine(Store())
    except MissingExtra as problem:
        print(f"kvline can't start: {problem}", file=sys.stderr)
        return 1
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
    instance = Instance(engine, COMMANDS, _limits(options), options.host, shut_down=_ask_to_stop)
    servers = _bind(options, instance)
    if servers is None:
        return 1
    engine.start()
    for server in servers:
        server.start()
        print(f"listening on {server.address}", file=sys.stderr, flush=True)
    signal.sigwait(STOP_SIGNALS)
    with ThreadPoolExecutor(len(servers)) as pool:  # each may have to wait for its clients
        list(pool.map(Server.stop, servers))
    engine.stop()
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
    parser.add_argument(
        "--all-cores", action="store_true", help="let the threads wander over all cores, which is slower under the GIL"
    )
    parser.add_argument(
        "--log-level", choices=["debug", "info", "warning", "error"], default="info", help="what to log"
    )
    add_backend_options(parser)
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


def _bind(options: argparse.Namespace, instance: Instance) -> list[Server] | None:
    """Bind every port, or none: say which one failed and why, and return None."""

    def new_session(address: str, local_address: str, peer: Peer) -> Session:
        return Session(instance, instance.clients.add(address, local_address, peer))

    servers: list[Server] = []
    for port in getattr(options, "port", [DEFAULT_PORT]):
        try:
            servers.append(Server(options.host, port, new_session))
        except (OSError, UnicodeError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            print(f"kvline can't listen on {options.host}:{port}: {reason}", file=sys.stderr)
            for server in servers:
                server.server_close()
            return None
    instance.ports = [server.port for server in servers]
    return servers


if __name__ == "__main__":
    sys.exit(main())
