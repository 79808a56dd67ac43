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
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Protocol

from common.limits import DEFAULT_LIMITS, Limits
from server.clients.registry import ClientRegistry
from server.command_line import DEFAULT_PORT, new_parser
from server.commands import COMMANDS
from server.engines.embedded import EmbeddedEngine
from server.engines.redis.command_line import backend_engine
from server.extras import MissingExtra
from server.http.command_line import complete_http_options, http_door
from server.keyspace.store import Store
from server.net.listener import SHUTDOWN_TIMEOUT, Listener
from server.net.threads import ThreadPerConnection
from server.session.context import ServerContext

STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}


class Door(Protocol):
    """A port that the server listens on, in whatever protocol."""

    @property
    def address(self) -> str: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return the exit status."""
    parser = new_parser()
    options = parser.parse_args(arguments)
    complete_http_options(parser, options)
    try:
        engine = backend_engine(parser, options) or EmbeddedEngine(Store(), _limits(options))
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
    clients = ClientRegistry(options.max_clients)
    context = ServerContext(engine, COMMANDS, _limits(options), options.host, shut_down=_ask_to_stop, clients=clients)
    doors = _bind(options, context)
    if doors is None:
        return 1
    engine.start()
    for door in doors:
        door.start()
        print(f"listening on {door.address}", file=sys.stderr, flush=True)
    signal.sigwait(STOP_SIGNALS)
    with ThreadPoolExecutor(len(doors)) as pool:  # each may have to wait for its clients
        wait([pool.submit(door.stop) for door in doors], SHUTDOWN_TIMEOUT)
        engine.stop()  # whoever still waits for another machine waits no longer
    return 0


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


def _bind(options: argparse.Namespace, context: ServerContext) -> list[Door] | None:
    """Bind every port, or none: say which one failed and why, and return None."""
    scheduler = ThreadPerConnection()
    doors: list[Door] = []
    openers: list[tuple[int, Callable[[int], Door]]] = [
        (port, lambda port: Listener(options.host, port, context, scheduler))
        for port in getattr(options, "port", [DEFAULT_PORT])
    ]
    if options.http_port is not None:
        openers.append((options.http_port, lambda port: http_door(port, options, context)))
    for port, open_door in openers:
        try:
            doors.append(open_door(port))
        except (OSError, UnicodeError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            print(f"kvline can't listen on {options.host}:{port}: {reason}", file=sys.stderr)
        except MissingExtra as problem:
            print(f"kvline can't start: {problem}", file=sys.stderr)
        else:
            continue
        for door in doors:
            door.close()
        return None
    context.ports = [door.port for door in doors if isinstance(door, Listener)]
    return doors


if __name__ == "__main__":
    sys.exit(main())
