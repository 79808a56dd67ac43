"""Measurements of kvline against Redis and fakeredis, all on loopback: ``python -m benchmarks --help``."""
