"""Everything that concerns the process as a whole, and every question to the platform, in one place.

`prepare` and `StopSignal` change the process: its threads, limits, signals and log. Only `server.__main__` calls them,
once, before the first thread starts. A `Server` that a program starts inside itself leaves all of this alone.

No platform has everything that is used here, so each part is looked up and left out if it is missing.
"""

from __future__ import annotations

import gc
import importlib
import logging
import mmap
import os
import queue
import random
import re
import signal
import sys
import threading
from collections.abc import Callable
from types import ModuleType

from common import codec
from server import stderr_log

THREAD_STACK_SIZE = 512 * 1024
"""Bytes of address space for a thread, so that ten thousand connections with a thread each fit."""

SWITCH_INTERVAL = 0.0001
"""Seconds after which a thread that wants to run may take the GIL from a busy one. Python's default is 5 milliseconds.

A thread that serves many connections waits for the GIL once per turn, while a long request is executed by another
thread or while HTTP is busy. Without this it waits for up to 5 milliseconds each time.
"""

STOP_POLL_INTERVAL = 0.2
"""Seconds between two looks for a signal on a platform without ``sigwait``."""

logger = logging.getLogger(__name__)


def _optional_module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


resource = _optional_module("resource")


def prepare(*, log_level: str, log_format: str, one_core: bool, switch_soon: bool) -> None:
    """Set up the process of a server: its log, its limits, and how its threads run.

    ``log_level`` and ``log_format`` are as for `server.stderr_log.configure`. ``one_core`` asks for
    `stay_on_one_core`, ``switch_soon`` for the `SWITCH_INTERVAL`. What the platform refuses is left out and is no
    error.
    """
    threading.stack_size(THREAD_STACK_SIZE)  # for threads that are started from now on
    stderr_log.configure(log_level, log_format)
    if switch_soon:
        sys.setswitchinterval(SWITCH_INTERVAL)
    raise_file_limit()
    if one_core:
        stay_on_one_core()


def is_compiled() -> bool:
    """Return whether the modules of the hot path are compiled. See packaging/compiled.py."""
    return not str(codec.__file__).endswith((".py", ".pyc"))


def raise_file_limit() -> None:
    """Allow as many open connections as the system lets this user have."""
    if resource is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        # macOS refuses an unlimited number (ValueError). The server then has the limit that it was started with.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as problem:
        logger.debug("the limit on open files stays as it is: %s", problem)


def freeze_heap() -> None:
    """Exclude the objects that exist now from garbage collection. Call it when the server has started.

    They live as long as the process. A full collection examines all of them and stops every client meanwhile:
    ``gc.collect()`` took 9 ms in a server with HTTP that had just started.
    """
    gc.collect()
    gc.freeze()


def has_gil() -> bool:
    """Return whether this Python runs one thread at a time."""
    is_gil_enabled = getattr(sys, "_is_gil_enabled", None)  # Python 3.13 and later
    # Not a question of the build: a free-threaded Python enables the GIL if an extension module needs it.
    return is_gil_enabled is None or bool(is_gil_enabled())


def stay_on_one_core() -> None:
    """Run all threads on one core if Python has a global interpreter lock.

    Only the thread that holds the lock runs Python anyway. On one core, passing the lock on is a context switch. Across
    cores it is a wake-up and a wait for each receive and each send, which measured more than twice as slow with 50
    connections that have a thread each, and with HTTP next to an I/O thread. A single I/O thread does not need it, and
    then the kernel may move it away from a busy core. The core is picked at random, so that several servers on a
    machine do not all pick the same one.
    """
    get_cores, set_cores = getattr(os, "sched_getaffinity", None), getattr(os, "sched_setaffinity", None)
    if get_cores is None or set_cores is None or not has_gil():
        return
    try:
        set_cores(0, {random.choice(sorted(get_cores(0)))})
    except OSError as problem:  # forbidden by a sandbox, for example by seccomp
        logger.info("the threads may run on all cores: %s", problem)


def _return_at_once() -> None:
    """Replace ``sched_yield`` if the platform does not have it."""


yield_cpu: Callable[[], None] = getattr(os, "sched_yield", _return_at_once)
"""Let another thread run that is ready to run, if there is one."""


# ---------------------------------------------------------------- memory


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:  # not pathlib, whose import takes 3 ms of every start
        return file.read()


def resident_bytes() -> int:
    """Return the memory that the process has now; its peak if the system does not report that, and 0 if neither."""
    try:
        pages = int(_read("/proc/self/statm").split()[1])
    except (OSError, IndexError, ValueError):
        return _peak_of_resource()
    return pages * mmap.PAGESIZE  # statm counts in pages: proc(5)


def total_memory_bytes() -> int:
    """Return the memory of the machine in bytes, or 0 if the platform does not say."""
    sysconf: Callable[[str], int] | None = getattr(os, "sysconf", None)  # missing on Windows
    if sysconf is None:
        return 0
    try:
        return sysconf("SC_PAGE_SIZE") * sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def peak_resident_bytes() -> int:
    """Return the most memory that the process has had. It is never less than `resident_bytes`."""
    # These figures are inexact (proc(5)) and are not read at the same time. A peak below the present is not possible.
    return max(_peak_of_resource(), _peak_of_proc(), resident_bytes())


def _peak_of_resource() -> int:
    if resource is None:
        return 0
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB elsewhere: getrusage(2)


def _peak_of_proc() -> int:
    if resource is not None:  # `_peak_of_resource` has it, without a file to read
        return 0
    try:
        status = _read("/proc/self/status")
    except OSError:
        return 0
    peak = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
    return int(peak[1]) * 1024 if peak else 0


# ---------------------------------------------------------------- signals


class StopSignal:
    """SIGINT and SIGTERM, as a request to stop. Make it in the main thread, before any other thread starts.

    SIGHUP, with which a terminal ends its programs, does not stop the server (`wait`).

    With ``sigwait`` the signals are blocked in every thread, because threads inherit the mask, and only `wait` sees
    them. Without it (Windows) a handler passes them on through a queue. `queue.SimpleQueue` is the one container of the
    standard library that a handler may fill while the same thread waits for it.
    """

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._requested_by: str | None = None
        self._uses_sigwait = hasattr(signal, "pthread_sigmask") and hasattr(signal, "sigwait")
        names = ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP")
        self._signals = [getattr(signal, name) for name in names if hasattr(signal, name)]
        for number in self._signals:
            # A shell that starts a program in the background lets it ignore SIGINT, and some systems discard an ignored
            # signal even while it is blocked.
            signal.signal(number, self._handle)
        # The platform is compared literally, because mypy knows by it that these functions exist.
        if sys.platform != "win32" and self._uses_sigwait:
            signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)

    def _handle(self, number: int, _frame: object) -> None:
        self._requests.put(number)

    def wait(self, on_hangup: Callable[[], None]) -> str:
        """Wait until the process is asked to stop, and return by which signal, or by what `request` was given.

        Calls ``on_hangup`` for each SIGHUP meanwhile.
        """
        while (received := signal.Signals(self._next())).name == "SIGHUP":
            on_hangup()
        return self._requested_by or received.name

    def is_pending(self) -> bool:
        """Return whether `wait` would return at once."""
        if sys.platform != "win32" and self._uses_sigwait:
            return not signal.sigpending().isdisjoint({*self._signals} - {signal.SIGHUP})
        return not self._requests.empty()

    def _next(self) -> int:
        """Wait for one of the signals."""
        if sys.platform != "win32" and self._uses_sigwait:
            return signal.sigwait(self._signals)
        while True:
            # On Windows a wait without a limit keeps Python from running the handler.
            try:
                return self._requests.get(timeout=STOP_POLL_INTERVAL)
            except queue.Empty:
                continue

    def request(self, by: str) -> None:
        """Ask for the stop from inside the process, from any thread. ``by`` is what `wait` returns."""
        self._requested_by = by
        # Every thread blocks the signal, so it stays pending for the process until `wait` takes it.
        if self._uses_sigwait:
            os.kill(os.getpid(), signal.SIGTERM)
        else:  # on Windows, os.kill would end the process at once
            self._requests.put(signal.SIGTERM)
