"""The program: read the settings, set up the process, run a server until a signal asks it to stop."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from server.app import Server, StartError
from server.process import StopSignal, prepare
from server.settings import SettingsError, SettingsReader
from server.stderr_log import open_standard_streams

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT, SIGTERM or the command SHUTDOWN.

    Returns the exit status: 0 after a stop, 1 if the server cannot start. A bad option ends the process with status 2.
    """
    open_standard_streams()
    reader = SettingsReader(os.environ)
    settings = reader.read(arguments)
    # Before the first thread, because threads inherit the signal mask.
    stop_signal = StopSignal()
    prepare(
        log_level=settings.log_level,
        all_cores=settings.all_cores,
        shares_gil_with_http=settings.http_port is not None,
    )
    try:
        # SHUTDOWN takes the same way as a signal, so that the main thread stops the server in either case.
        server = Server(settings, shut_down=lambda: stop_signal.request("SHUTDOWN"))
        server.start()
    except SettingsError as problem:
        reader.fail(problem)  # it knows whether the value is from an option or from a variable
    except StartError as problem:
        print(f"kvline {problem}", file=sys.stderr)
        return 1
    # Printed, not logged: it is how a user learns the port that was picked for a 0, whatever the log level.
    for address in server.addresses:
        print(f"listening on {address}", file=sys.stderr, flush=True)
    asked_by = stop_signal.wait(_reload)
    logger.info("%s: the server stops", asked_by)
    server.stop()
    return 0


def _reload() -> None:
    """Handle SIGHUP. It does not stop the server, so that one in the background survives the end of its terminal."""
    logger.info("SIGHUP: there is nothing to reload")


if __name__ == "__main__":
    sys.exit(main())
