"""Run the tool that the command line selects."""

from __future__ import annotations

import sys
from typing import BinaryIO

from client.conversation import Conversation
from client.options import Options
from client.render.forms import Renderer
from client.tools import ToolFailed
from client.tools.dump import dump
from client.tools.key_sizes import print_big_keys
from client.tools.latency import print_latency
from client.tools.scan import print_keys
from client.tools.stat import print_statistics
from client.tools.top.start import show_top
from common.extras import MissingExtra


def run_tool(conversation: Conversation, options: Options, output: BinaryIO, render: Renderer, *, colours: bool) -> int:
    """Run the tool, and return the exit status. Raises as `Conversation.exchange`."""
    try:
        return _run(conversation, options, output, render, colours=colours)
    except (ToolFailed, MissingExtra) as problem:
        print(f"kvline: {problem}", file=sys.stderr)
        return 1


def _run(conversation: Conversation, options: Options, output: BinaryIO, render: Renderer, *, colours: bool) -> int:
    pattern, interval = options.pattern, options.interval or 1.0
    if options.dump is not None:
        return _dump(conversation, pattern, options.dump, output)
    match options.tool:
        case "scan":
            return print_keys(conversation, pattern, output, render)
        case "bigkeys" | "memkeys":
            return print_big_keys(conversation, pattern, sys.stdout, memory=options.tool == "memkeys")
        case "stat":
            return print_statistics(conversation, sys.stdout, interval, options.runs)
        case "latency":
            if options.history:
                interval = options.interval or 15.0
            return print_latency(conversation, sys.stdout, interval, history=options.history)
        case _:
            return show_top(conversation, interval, colours=colours)


def _dump(conversation: Conversation, pattern: str | None, path: str, output: BinaryIO) -> int:
    try:
        return dump(conversation, pattern, path, output)
    except OSError as problem:
        raise ToolFailed(f"{path}: {problem.strerror or problem}") from None
