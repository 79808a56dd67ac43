"""The program: read the settings, set up the process, run a server until a signal asks it to stop."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from common import __version__  # before modules that an old Python cannot import
from server.app import Server, StartError
from server.engines.base import StartInterrupted
from server.process import StopSignal, freeze_heap, prepare
from server.settings import SettingsError, SettingsReader
from server.stderr_log import NOTICE, open_standard_streams

if TYPE_CHECKING:
    from server.net.certificates import Certificates

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT, SIGTERM or the command SHUTDOWN.

    Returns the exit status: 0 after a stop, 1 if the server cannot start. A bad setting ends the process with status 2.
    """
    open_standard_streams()
    reader = SettingsReader(os.environ)
    settings = reader.read(arguments)
    if settings.check is not None:
        return _check(settings.check)
    # Before the first thread, because threads inherit the signal mask.
    stop_signal = StopSignal()
    prepare(
        log_level=settings.log_level,
        log_format=settings.log_format,
        one_core=not settings.all_cores and settings.uses_many_threads(),
        switch_soon=settings.io_threads != 0 or settings.http_port is not None,
    )
    try:
        # SHUTDOWN takes the same way as a signal, so that the main thread stops the server in either case.
        server = Server(
            settings,
            shut_down=lambda: stop_signal.request("SHUTDOWN"),
            is_interrupted=stop_signal.is_pending,
        )
        server.start()
    except SettingsError as problem:
        reader.fail(problem)  # it knows where the value is from
    except StartError as problem:
        for line in (f"kvline {problem}", *problem.advice):
            logger.log(NOTICE, "%s", line)
        return 1
    except StartInterrupted:
        logger.info("%s: the server stops before it has started", stop_signal.wait(lambda: None))
        return 0
    logger.info("kvline %s, Python %s, process %d", __version__, sys.version.partition(" ")[0], os.getpid())
    logger.info("settings that differ from their defaults: %s", settings.changed() or "none")
    # The last line of the start. It is how a user learns the port that was picked for a 0, whatever the log level.
    for address in server.addresses:
        logger.log(NOTICE, "listening on %s", address)
    freeze_heap()
    asked_by = stop_signal.wait(lambda: _reload(server))
    logger.info("%s: the server stops", asked_by)
    server.stop()
    logger.info("the server has stopped")
    return 0


def _reload(server: Server) -> None:
    """Handle SIGHUP. It does not stop the server, so that one in the background survives the end of its terminal."""
    if server.certificates is not None:
        _reload_certificates(server.certificates)
    if server.settings.password_file is not None:
        _reload_password(server)
    elif server.certificates is None:
        logger.info("SIGHUP: there is nothing to reload")


def _reload_certificates(certificates: Certificates) -> None:
    from server.net.certificates import CertificateError  # noqa: PLC0415  # imports ssl, which takes long

    try:
        certificates.reload()
    except CertificateError as problem:
        logger.warning("SIGHUP: the certificates are not replaced: %s", problem)
    else:
        logger.info("SIGHUP: the certificates are reloaded")


def _reload_password(server: Server) -> None:
    try:
        server.reload_password()
    except SettingsError as problem:
        logger.warning("SIGHUP: the password is not replaced: %s", problem)
    else:
        logger.info("SIGHUP: the password is reloaded")


def _check(directory: str) -> int:
    """Verify the log in a directory, and print what it contains. Return the exit status."""
    from server.engines.log.disk import RealDisk  # noqa: PLC0415  # a server without a log does not need it
    from server.engines.log.start import check  # noqa: PLC0415
    from server.engines.log.walk import Corruption  # noqa: PLC0415

    try:
        for line in check(RealDisk(directory, lock=False)):
            print(line)
    except Corruption as problem:
        print(f"damaged: {problem}")
        return 1
    except OSError as problem:
        print(f"kvline can't read {directory}: {problem.strerror or problem}", file=sys.stderr)
        return 1
    print("the log is undamaged")
    return 0


if __name__ == "__main__":
    sys.exit(main())
