"""The progress bar of a batch, on standard error. It needs prompt_toolkit; without it there is none."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prompt_toolkit.shortcuts import ProgressBarCounter

DELAY = 1.0
"""Seconds after which the bar appears. Most batches end before."""


class Progress:
    """Shows which part of ``size`` bytes has been read, the rate and the time left. Nothing for a size of 0."""

    def __init__(self, size: int) -> None:
        self._size = size if sys.stderr.isatty() else 0
        self._begins = time.monotonic() + DELAY
        self._bar = ExitStack()
        self._counter: ProgressBarCounter[Any] | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    def update(self, done: int) -> None:
        """Show that so many bytes have been read."""
        if self._counter is None and self._size and time.monotonic() >= self._begins:
            self._open()
        if self._counter is not None:
            self._counter.items_completed = done

    def pause(self) -> None:
        """Remove the bar, so that something else can be written. It appears again after a while."""
        self._bar.close()
        self._counter = None
        self._begins = time.monotonic() + DELAY

    def _open(self) -> None:
        try:
            from prompt_toolkit.output import create_output  # noqa: PLC0415  # optional, and takes 0.1 s
            from prompt_toolkit.shortcuts import ProgressBar  # noqa: PLC0415
            from prompt_toolkit.shortcuts.progress_bar import formatters  # noqa: PLC0415
        except ImportError:
            self._size = 0
            return
        shown = [
            *(formatters.Percentage(), formatters.Text(" "), formatters.Bar(), formatters.Text(" ")),
            *(formatters.IterationsPerSecond(), formatters.Text(" bytes/s, ")),
            *(formatters.TimeLeft(), formatters.Text(" left")),
        ]
        bar = ProgressBar(formatters=shown, output=create_output(stdout=sys.stderr), file=sys.stderr)
        self._counter = self._bar.enter_context(bar)(total=self._size)
