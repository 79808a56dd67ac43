"""The log of the process: what is written to standard error, without ever blocking or failing a thread that logs.

    logger.info(...) -> logging.StreamHandler --+
    print(..., file=sys.stderr), tracebacks ----+-> BackgroundStream -> its thread -> file descriptor 2

Standard error may be a pipe that nobody drains, a full disk (``/dev/full``) or closed. A thread that wrote to it would
wait for ever or get an exception. So one thread does all the writing, and what it cannot write is dropped and counted.
"""

from __future__ import annotations

import atexit
import io
import json
import logging
import os
import sys
import threading
import time
from collections import deque
from math import inf
from types import TracebackType

STANDARD_ERROR = 2
"""The file descriptor."""

MAX_WAITING_TEXTS = 1000
MAX_TEXT_LENGTH = 16 * 1024
"""How much may wait to be written, in texts and in characters for each. A longer text is cut."""

DRAIN_TIMEOUT = 0.5
"""Seconds that the end of the process waits for what has not been written yet."""

RETRY_INTERVAL = 0.05
"""Seconds between two attempts to write to a non-blocking file that is full."""

REPEAT_INTERVAL = 10.0
"""Seconds between two log lines of a `RepeatedMessage`."""

NOTICE = logging.CRITICAL + 10
"""The level of what a user must see whatever the log level is, such as the addresses of the server."""

logger = logging.getLogger(__name__)


def configure(level: str, log_format: str) -> None:
    """Send everything that the process logs or prints on standard error through a `BackgroundStream`.

    ``level`` is as for `set_log_level`, ``log_format`` is text or json. The first line starts a thread, so the signals
    to stop must be blocked before.
    """
    stream = BackgroundStream(STANDARD_ERROR)
    # Not only the log: some parts of Python print to sys.stderr.
    sys.stderr = stream
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter() if log_format == "json" else TextFormatter())
    logging.getLogger().addHandler(handler)
    logging.addLevelName(NOTICE, "NOTICE")
    logging.captureWarnings(True)
    sys.excepthook = _log_exception
    threading.excepthook = lambda failed: _log_exception(failed.exc_type, failed.exc_value, failed.exc_traceback)
    set_log_level(level)
    atexit.register(stream.drain)


def set_log_level(level: str) -> None:
    """Set the least severe level that the process logs: debug, info, warning or error."""
    logging.getLogger().setLevel(level.upper())


def _log_exception(kind: type[BaseException], problem: BaseException | None, traceback: TracebackType | None) -> None:
    """Log an exception that nothing has caught."""
    if kind is not SystemExit and problem is not None:
        logger.critical("an unexpected failure", exc_info=(kind, problem, traceback))


class TextFormatter(logging.Formatter):
    """Formats a line for a person: time, level, message. A `NOTICE` is the message alone."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # a name of logging
        """Return the line. If there is a traceback, `logging` adds it on lines of its own."""
        # A message may repeat what a client has sent, which must neither add lines nor control a terminal.
        record.message = record.message.translate(_CONTROL_CHARACTERS)
        return record.message if record.levelno == NOTICE else super().formatMessage(record)


_CONTROL_CHARACTERS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


class JSONFormatter(logging.Formatter):
    """Formats an object on one line, for programs that collect logs."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object. ``time`` is in UTC (RFC 3339), ``traceback`` is there if there is one."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class BackgroundStream(io.TextIOBase):
    """A text stream to a file descriptor. ``write`` never blocks and never raises: a thread of its own writes.

    At most `MAX_WAITING_TEXTS` wait. Further texts, and those that cannot be written, are dropped and counted. When
    writing is possible again, the number is logged.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: deque[str] = deque()
        self.dropped = 0
        """Texts that were dropped since their number was logged."""
        self._is_ending = False
        # With its default lock, which is re-entrant: the garbage collector may run a finaliser that logs at any time.
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="standard error", daemon=True)
        self._is_running = False

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Add a text to what waits to be written, or drop it."""
        with self._changed:
            if self._accepts():
                self._waiting.append(text if len(text) <= MAX_TEXT_LENGTH else text[:MAX_TEXT_LENGTH] + "…\n")
                self._changed.notify()
            else:
                self.dropped += 1
        return len(text)

    def _accepts(self) -> bool:
        """Return whether a text may be added. Start the thread if it does not run."""
        # Not earlier, so that the thread inherits what is set up at the start, such as the core to run on.
        if not self._is_running:
            try:
                self._thread.start()
            except RuntimeError:  # the system allows no further thread
                return False
            self._is_running = True
        return len(self._waiting) < MAX_WAITING_TEXTS and not self._is_ending

    def drain(self) -> None:
        """Write what waits, for at most `DRAIN_TIMEOUT`, and end the thread. Further texts are dropped."""
        # Not called `close`, which Python calls again when the object is freed.
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        if self._is_running:
            self._thread.join(DRAIN_TIMEOUT)

    def _run(self) -> None:
        while (text := self._next()) is not None:
            try:
                is_written = _write(self._descriptor, text.encode(errors="backslashreplace"))
            except Exception:  # MemoryError: the thread must survive, and cannot log it
                is_written = False
            if not is_written:
                with self._changed:
                    self.dropped += 1
            elif dropped := self._dropped_before_now():
                logger.warning("%d log messages were dropped: standard error could not be written", dropped)

    def _next(self) -> str | None:
        with self._changed:
            while not self._waiting:
                if self._is_ending:
                    return None
                self._changed.wait()
            return self._waiting.popleft()

    def _dropped_before_now(self) -> int:
        """Return how many texts were dropped, once, after everything before them has been written."""
        with self._changed:
            if self._waiting:
                return 0
            dropped, self.dropped = self.dropped, 0
            return dropped


def _write(descriptor: int, data: bytes) -> bool:
    """Write all of the data, however long that takes. Return whether it was possible."""
    # os.write and not sys.stderr: a thread that blocks in its buffer holds a lock that Python needs to exit.
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # another process has made the same pipe non-blocking
            time.sleep(RETRY_INTERVAL)
        except OSError:
            return False
    return True


def open_standard_streams() -> None:
    """Open ``/dev/null`` in place of standard streams that are closed.

    Otherwise the first socket would get the descriptor 2, and a client the log.
    """
    for descriptor in (0, 1, STANDARD_ERROR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # returns the lowest free descriptor, which is this one


class RepeatedMessage:
    """A log message that may repeat as often as clients like: at most one line per ``interval`` seconds.

    With an interval of `math.inf` there is one line until `reset`.
    """

    def __init__(self, log: logging.Logger, level: int, message: str, interval: float = REPEAT_INTERVAL) -> None:
        self._log = log
        self._level = level
        self._message = message
        self._interval = interval
        self._lock = threading.Lock()
        self._next_at = -inf
        self._left_out = 0

    def log(self, *args: object, exc_info: BaseException | None = None) -> None:
        """Log the message with these arguments, and with a traceback, unless the last line is too recent."""
        now = time.monotonic()
        with self._lock:
            if now < self._next_at:
                self._left_out += 1
                return
            left_out, self._left_out = self._left_out, 0
            self._next_at = now + self._interval
        message = self._message
        if left_out:
            message, args = f"{message} (and %d more since the last line)", (*args, left_out)
        self._log.log(self._level, message, *args, exc_info=exc_info)

    def reset(self) -> int | None:
        """Log the next message in any case. Return how many were left out, or None if nothing was logged before."""
        if self._next_at == -inf:  # without the lock, for callers that reset whenever something works
            return None
        with self._lock:
            left_out, self._left_out = self._left_out, 0
            self._next_at = -inf
        return left_out
