"""The program: read the settings, set up the process, run a server until a signal asks it to stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from server.app import Server, StartError
from server.process import StopSignal, freeze_heap, prepare
from server.settings import SettingsError, SettingsReader


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT, SIGTERM or the command SHUTDOWN.

    Returns the exit status: 0 after a stop, 1 if the server cannot start. A bad option ends the process with status 2.
    """
    reader = SettingsReader(os.environ)
    settings = reader.read(arguments)
    if settings.check is not None:
        return _check(settings.check)
    # Before the first thread, because threads inherit the signal mask.
    stop_signal = StopSignal()
    prepare(
        log_level=settings.log_level,
        one_core=not settings.all_cores and settings.uses_many_threads(),
        switch_soon=settings.io_threads != 0 or settings.http_port is not None,
    )
    try:
        # SHUTDOWN takes the same way as a signal, so that the main thread stops the server in either case.
        server = Server(settings, shut_down=stop_signal.request)
        server.start()
    except SettingsError as problem:
        reader.fail(problem)  # it knows whether the value is from an option or from a variable
    except StartError as problem:
        print(f"kvline {problem}", file=sys.stderr)
        return 1
    # Printed, not logged: it is how a user learns the port that was picked for a 0, whatever the log level.
    for address in server.addresses:
        print(f"listening on {address}", file=sys.stderr, flush=True)
    freeze_heap()
    stop_signal.wait()
    server.stop()
    return 0


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
