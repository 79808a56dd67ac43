"""The exception of the benchmarks."""

from __future__ import annotations


class BenchmarkError(Exception):
    """Raised if a measurement cannot be completed. The command line prints the text and exits with status 1."""
