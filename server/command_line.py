"""The options of the server's command line."""

from __future__ import annotations

import argparse

from common import __version__
from common.limits import DEFAULT_LIMITS
from server.argument_types import port, size
from server.clients.registry import DEFAULT_MAX_CLIENTS, MAX_MAX_CLIENTS
from server.engines.redis.command_line import add_backend_options
from server.http.command_line import add_http_options

DEFAULT_PORT = 9736


def new_parser() -> argparse.ArgumentParser:
    """Make the parser of all options, the optional parts' included."""
    parser = argparse.ArgumentParser(
        prog="run_server.sh",
        description="A key-value server that people can talk to with telnet, and Redis clients with RESP.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument(
        "--port",
        type=port,
        action="append",
        help=f"a port to listen on (default: {DEFAULT_PORT}); may be given more than once; 0 picks a free one",
        default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--max-line", type=size, default=DEFAULT_LIMITS.max_line, metavar="BYTES", help="the longest line of text"
    )
    parser.add_argument(
        "--max-bulk", type=size, default=DEFAULT_LIMITS.max_bulk, metavar="BYTES", help="the longest RESP bulk string"
    )
    parser.add_argument(
        "--max-frame",
        type=_frame_size,
        default=DEFAULT_LIMITS.max_frame,
        metavar="BYTES",
        help="the longest JSON frame",
    )
    parser.add_argument(
        "--max-clients",
        type=_clients,
        default=DEFAULT_MAX_CLIENTS,
        metavar="N",
        help="how many may be connected at once, to all ports together",
    )
    parser.add_argument(
        "--all-cores", action="store_true", help="let the threads wander over all cores, which is slower under the GIL"
    )
    parser.add_argument(
        "--log-level", choices=["debug", "info", "warning", "error"], default="info", help="what to log"
    )
    add_http_options(parser)
    add_backend_options(parser)
    parser.add_argument("--version", action="version", version=f"kvline {__version__}")
    return parser


def _frame_size(text: str) -> int:
    length = size(text)
    if length > DEFAULT_LIMITS.max_frame:
        raise argparse.ArgumentTypeError(f"a frame has at most {DEFAULT_LIMITS.max_frame} bytes, not {text}")
    return length


def _clients(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= MAX_MAX_CLIENTS:
        raise argparse.ArgumentTypeError(f"a number of clients is from 1 to {MAX_MAX_CLIENTS}, not {text!r}")
    return number
