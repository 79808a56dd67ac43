"""What a measurement raises when it can't go on."""

from __future__ import annotations


class BenchmarkError(Exception):
    """A sentence for whoever runs the benchmarks; the command line prints it and exits with status 1."""
