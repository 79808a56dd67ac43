"""What several options take: functions that turn an argument into a value, or raise an error with a sentence."""

from __future__ import annotations

import argparse


def port(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return number


def size(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a limit is a number of bytes, at least 1, not {text!r}")
    return number
