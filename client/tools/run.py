"""Run the tool that the command line selects."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import BinaryIO

from client.conversation import Conversation
from client.render.forms import Renderer
from client.tools import ToolFailed
from client.tools.dump import dump
from client.tools.key_sizes import print_big_keys
from client.tools.latency import print_latency
from client.tools.scan import print_keys
from client.tools.stat import print_statistics
from client.tools.top.start import show_top
from common.extras import MissingExtra


def run_tool(
    conversation: Conversation, options: Namespace, output: BinaryIO, render: Renderer, *, colours: bool
) -> int:
    """Run the tool, and return the exit status. Raises as `Conversation.exchange`."""
    try:
        return _run(conversation, options, output, render, colours=colours)
    except (ToolFailed, MissingExtra) as problem:
        print(f"kvline: {problem}", file=sys.stderr)
        return 1


def _run(conversation: Conversation, options: Namespace, output: BinaryIO, render: Renderer, *, colours: bool) -> int:
    pattern, interval = options.pattern, options.interval or 1.0
    match options.tool:
        case "scan":
            return print_keys(conversation, pattern, output, render)
        case "bigkeys" | "memkeys":
            return print_big_keys(conversation, pattern, sys.stdout, memory=options.tool == "memkeys")
        case "stat":
            return print_statistics(conversation, sys.stdout, interval, options.repeat)
        case "latency":
            if options.history:
                interval = options.interval or 15.0
            return print_latency(conversation, sys.stdout, interval, history=options.history)
        case "top":
            return show_top(conversation, interval, colours=colours)
    try:
        return dump(conversation, pattern, options.dump, output)
    except OSError as problem:
        raise ToolFailed(f"{options.dump}: {problem.strerror or problem}") from None
