"""Measurements of kvline beside Redis and fakeredis, all on loopback: ``python -m benchmarks --help``."""
