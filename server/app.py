"""One server: it builds and owns everything that serves clients.

    settings -> engine -> ServerContext -> listeners

A program may start several servers, one after another or at once: a `Server` changes nothing of the process, and leaves
no thread and no open socket after `Server.stop`. What the program ``run_server.sh`` does around it is in
`server.__main__`.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from common.extras import MissingExtra, explain_import_error
from common.passwords import PASSWORD_VARIABLE
from server.clients.registry import ClientRegistry
from server.commands import COMMANDS
from server.engines.base import Engine, EngineStartError
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Clock, Store, system_clock
from server.net.addresses import is_loopback, resolve
from server.net.io_threads import IOThreads
from server.net.listener import SHUTDOWN_TIMEOUT, Listener, Scheduler
from server.net.threads import ThreadPerConnection
from server.process import has_gil
from server.session.context import ServerContext
from server.settings import (
    DEFAULT_FSYNC,
    DEFAULT_REWRITE_MIN_SIZE,
    SETTINGS,
    Settings,
    SettingsError,
    check,
    with_password,
)

if TYPE_CHECKING:
    from server.net.certificates import Certificates


class AnyListener(Protocol):
    """A bound address that accepts connections: TCP, a Unix socket, or HTTP."""

    @property
    def address(self) -> str: ...

    @property
    def port(self) -> int: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...


logger = logging.getLogger(__name__)


class StartError(Exception):
    """The server cannot start: an address cannot be used, an optional dependency is missing, the log is damaged.

    The text says why, the lines of ``advice`` what to do.
    """

    def __init__(self, reason: str, advice: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.advice = advice


class Server:
    """A server, from `start` to `stop`. It starts once.

    ``engine`` replaces the one that the settings ask for, ``clock`` returns the time for an embedded store. The command
    SHUTDOWN calls ``shut_down``; without it, SHUTDOWN stops this server in a thread of its own. `start` ends early if
    ``is_interrupted`` returns true while a log is replayed.

    Raises `SettingsError` or `StartError` if the settings cannot be used. As a context manager it starts and stops.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        engine: Engine[Any] | None = None,
        clock: Clock = system_clock,
        shut_down: Callable[[], None] | None = None,
        is_interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings = Settings() if settings is None else settings
        check(self.settings)  # a program may construct Settings without a SettingsReader
        self.settings = with_password(self.settings)
        self._stopping = threading.Lock()
        self._is_started = False
        self._is_stopped = False
        self._listeners: list[AnyListener] = []
        self.addresses: list[str] = []
        """The addresses that the server listens on, once it has started.

        Those of `ports` come first, then that of the setting ``resp_port``, then that of TLS as a URL (``rediss://``),
        then the path of the Unix socket, then HTTP's as a URL.
        """
        self.ports: list[int] = []
        """The ports for text, RESP and JSON frames, in the order of the settings: a free port for each 0."""
        self.tls_port: int | None = None
        """The port for the same with TLS; None without TLS."""
        try:
            engine = new_engine(self.settings, clock, is_interrupted) if engine is None else engine
        except MissingExtra as problem:
            raise StartError(f"can't start: {problem}") from None
        self.context = ServerContext(
            engine,
            COMMANDS,
            self.settings.input_limits(),
            self.settings,
            shut_down=shut_down or self._stop_in_background,
            clients=ClientRegistry(self.settings.max_clients),
        )
        self._scheduler = new_scheduler(self.settings, engine)
        self.certificates = _new_certificates(self.settings)
        """The certificates of the TLS ports, which can be reloaded; None without TLS."""
        # The log level belongs to the process.
        changeable = {entry.name for entry in SETTINGS if entry.mutable} - {"log_level"}
        # The same path as for CONFIG SET, so that a setting cannot have one effect at the start and another one later.
        self.context.change_settings({name: getattr(self.settings, name) for name in changeable})

    def reload_password(self) -> None:
        """Read the password file again. Clients that have authenticated stay so, as after CONFIG SET requirepass.

        Raises `SettingsError`, and changes nothing, if the file cannot be used or the setting ``http_token`` differs.
        """
        read_again = with_password(dataclasses.replace(self.settings, password=""))
        self.context.change_settings({"password": read_again.password})

    def start(self) -> None:
        """Listen on every port, or on none: raises `StartError` if one of them cannot be used.

        Raises `StartInterrupted` if ``is_interrupted`` returned true.
        """
        if self._is_started:
            raise RuntimeError("a server starts once")
        self._is_started = True
        # Every port is bound before anything is served, so a server that cannot have all of them has served no client.
        # Then the settings get what CONFIG GET and INFO show, such as the ports that were picked for a 0. The engine is
        # the last that can fail, because it starts threads. It is started before the listeners, whose commands need it.
        try:
            self.ports = [self._listen_on_port(port, self._new_tcp_listener) for port in self.settings.ports]
            bound: dict[str, Any] = {"ports": tuple(self.ports)}
            if self.settings.backend is not None:
                bound["databases"] = 1  # that of the URL
            if self.settings.resp_port is not None:
                bound["resp_port"] = self._listen_on_port(self.settings.resp_port, self._new_tcp_listener)
            if self.settings.tls_port is not None:
                self.tls_port = self._listen_on_port(self.settings.tls_port, self._new_tls_listener)
                bound["tls_port"] = self.tls_port
            if self.settings.unix_socket is not None:
                self._listen(self.settings.unix_socket, self._new_unix_listener)
            if self.settings.http_port is not None:
                bound["http_port"] = self._listen_on_port(self.settings.http_port, self._new_http_listener)
            self.context.settings = dataclasses.replace(self.settings, **bound)
            self.context.engine.start()
            self._warn_if_open()
        except BaseException as problem:
            for listener in self._listeners:
                listener.close()  # after Ctrl-C too: the ports must not stay bound in a process that goes on
            self.addresses.clear()
            self._is_stopped = True
            if isinstance(problem, EngineStartError):
                raise StartError(f"can't start: {problem}", problem.advice) from None
            raise
        self._scheduler.start()
        for listener in self._listeners:
            listener.start()

    def stop(self) -> None:
        """Accept no more connections, let running commands finish, close every connection, end every thread.

        Does nothing if the server is not running. If another thread is stopping it, wait until it has stopped.
        """
        # Held to the end: a second caller returns only when the server has stopped.
        with self._stopping:
            if self._is_stopped or not self._is_started:
                return
            self._is_stopped = True
            logger.info("no more connections are accepted; open: %d", len(self.context.clients))
            self.context.pause.end()  # so that the clients that wait can be closed
            # Each listener may have to wait for its clients.
            threads = [threading.Thread(target=each.stop, name=f"stop {each.address}") for each in self._listeners]
            for thread in threads:
                thread.start()
            # One limit for all of them together: they wait at the same time.
            give_up_at = time.monotonic() + SHUTDOWN_TIMEOUT
            for thread in threads:
                thread.join(max(0.0, give_up_at - time.monotonic()))
            self.context.scripts.stop(self.context.engine.persistence)
            # Commands that still wait for a backing Redis fail now, so that their connections can be closed.
            self.context.engine.stop()
            for thread in threads:
                thread.join()
            self._scheduler.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The first of the ports."""
        return self.ports[0]

    @property
    def http_url(self) -> str | None:
        """The URL of the HTTP listener, without a path; None without HTTP."""
        # HTTP is bound after all other ports, so its address is the last one.
        return self.addresses[-1] if self.settings.http_port is not None else None

    def _listen_on_port(self, port: int, new_listener: Callable[[int], AnyListener]) -> int:
        """Bind a port, and return which one it is. Raises `StartError`."""
        return self._listen(f"{self.settings.host}:{port}", partial(new_listener, port)).port

    def _listen(self, place: str, new_listener: Callable[[], AnyListener]) -> AnyListener:
        """Bind an address. Raises `StartError`, whose text has ``place``."""
        try:
            listener = new_listener()
        except (OSError, UnicodeError) as problem:  # UnicodeError: a host name that IDNA cannot encode
            reason = getattr(problem, "strerror", None) or problem
            raise StartError(f"can't listen on {place}: {reason}") from problem
        except MissingExtra as problem:
            raise StartError(f"can't start: {problem}") from problem
        self._listeners.append(listener)
        self.addresses.append(listener.address)
        return listener

    def _warn_if_open(self) -> None:
        """Log a warning if other machines can reach the server, and it has no password."""
        settings = self.settings
        if not (self.context.auth.required or is_loopback(settings.host) or settings.demands_certificates()):
            logger.warning(
                "clients on other machines can read and change all data, because the server has no password: "
                "set %s, give --password-file, or listen on 127.0.0.1",
                PASSWORD_VARIABLE,
            )

    def _new_tcp_listener(self, port: int) -> Listener:
        return Listener(*resolve(self.settings.host, port), self.context, self._scheduler)

    def _new_tls_listener(self, port: int) -> AnyListener:
        from server.net.tls_listener import TLSListener  # noqa: PLC0415  # ssl takes long to import

        assert self.certificates is not None, "checked with the settings"
        return TLSListener(*resolve(self.settings.host, port), self.context, self._scheduler, self.certificates)

    def _new_unix_listener(self) -> AnyListener:
        settings = self.settings
        if sys.platform != "win32" and settings.unix_socket is not None:
            from server.net.unix_listener import UnixListener  # noqa: PLC0415  # needs fcntl, which Windows lacks

            return UnixListener(settings.unix_socket, settings.unix_socket_mode or 0, self.context, self._scheduler)
        raise AssertionError("checked with the settings")

    def _new_http_listener(self, port: int) -> AnyListener:
        settings = self.settings
        try:
            from server.http.listener import create_http_listener  # noqa: PLC0415  # an optional dependency
        except ImportError as problem:
            raise explain_import_error("--http-port", "http", problem) from None
        return create_http_listener(
            settings.host,
            port,
            self.context,
            origins=settings.http_origins,
            names=settings.http_hosts,
            max_body=settings.http_max_body,
            timeouts=settings.http_timeouts(),
            certificates=self.certificates if settings.http_tls else None,
        )

    def _stop_in_background(self) -> None:
        """Stop the server without blocking the thread of the connection that asked for it, which `stop` waits for."""
        # Not a daemon: the process must not end before the last replies have been sent.
        threading.Thread(target=self.stop, name="shutdown").start()


def new_scheduler(settings: Settings, engine: Engine[Any]) -> Scheduler[Any]:
    """Return what serves the connections, as the settings ask for it."""
    if engine.waits_for_io:  # then an I/O thread would wait for one connection while others have input
        return ThreadPerConnection()
    count = settings.io_threads
    if count is None:
        # With the GIL one thread runs at a time, so a second one adds nothing but changes of threads.
        count = 1 if has_gil() else os.cpu_count() or 1
    return IOThreads(count) if count else ThreadPerConnection()


def _new_certificates(settings: Settings) -> Certificates | None:
    """Read the certificates of the settings; None without TLS. Raises `StartError`."""
    files = settings.certificate_files()
    if files is None:
        return None
    # Imported here: ssl takes long to import, and is missing in a Python that was built without it.
    try:
        from server.net.certificates import CertificateError, Certificates  # noqa: PLC0415
    except ImportError as problem:
        raise StartError(f"can't start: --tls-cert needs a Python with the module ssl ({problem})") from None
    try:
        return Certificates(files)
    except CertificateError as problem:
        raise StartError(f"can't start: {problem}") from None


def new_engine(settings: Settings, clock: Clock, is_interrupted: Callable[[], bool]) -> Engine[Any]:
    """Build the engine that the settings ask for. Raises `SettingsError` or `MissingExtra`."""
    backend = settings.backend_settings()
    if backend is None and settings.data is None:
        return EmbeddedEngine(Store(clock), databases=settings.databases)
    if backend is None:
        return _durable_engine(settings, Store(clock), is_interrupted)
    try:
        from server.engines.redis.factory import build_engine  # noqa: PLC0415  # an optional dependency
    except ImportError as problem:
        raise explain_import_error("--backend", "proxy", problem) from None
    # The only setting that is not checked by its kind: the extra is needed to read the URL.
    try:
        return build_engine(backend)
    except ValueError as problem:
        raise SettingsError("backend", str(problem)) from None


def _durable_engine(settings: Settings, store: Store, is_interrupted: Callable[[], bool]) -> Engine[Any]:
    # Imported here: most servers that a program starts have no log.
    from server.engines.log.disk import RealDisk  # noqa: PLC0415
    from server.engines.log.engine import DurableEngine, LogSettings  # noqa: PLC0415

    directory = settings.data or ""
    log_settings = LogSettings(
        directory,
        lambda: RealDisk(directory, lock=True),
        level=settings.fsync or DEFAULT_FSYNC,
        rewrite_min_size=settings.rewrite_min_size or DEFAULT_REWRITE_MIN_SIZE,
        repair=bool(settings.repair),
        is_interrupted=is_interrupted,
    )
    return DurableEngine(store, log_settings, databases=settings.databases)
