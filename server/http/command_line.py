"""The server's options about HTTP, and the door that they ask for. The packages that it needs are loaded only then."""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import TYPE_CHECKING

from common.limits import MIB
from server.argument_types import port, size
from server.extras import MissingExtra
from server.process import SWITCH_INTERVAL
from server.session.context import ServerContext

if TYPE_CHECKING:
    from server.http.listener import HTTPListener

TOKEN_VARIABLE = "KVLINE_HTTP_TOKEN"

DEFAULT_MAX_BODY = 16 * MIB


def add_http_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to the command line."""
    http = parser.add_argument_group("HTTP, beside the other ports (extra 'http')")
    http.add_argument("--http-port", type=port, help="a port for HTTP; 0 picks a free one")
    http.add_argument(
        "--http-token",
        type=_token,
        metavar="TOKEN",
        help="the bearer token that requests need; better given as KVLINE_HTTP_TOKEN in the environment",
    )
    http.add_argument(
        "--http-cors",
        type=_origin,
        metavar="ORIGIN",
        action="append",
        default=[],
        help="an origin whose pages may ask; repeatable",
    )
    http.add_argument(
        "--http-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a name by which the server may be called, beside its address and localhost; repeatable",
    )
    http.add_argument(
        "--http-max-body", type=size, default=DEFAULT_MAX_BODY, metavar="BYTES", help="the longest body of a request"
    )


def _token(text: str) -> str:
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise argparse.ArgumentTypeError("a token is not empty, and has no blanks and nothing but ASCII")
    return text


def _origin(text: str) -> str:
    origin = text.lower().removesuffix("/")
    if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s?#@]+", origin):
        raise argparse.ArgumentTypeError(f"an origin is like https://example.org, or *, and not {text!r}")
    return origin


def complete_http_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Take the token from the environment where no option gave one. Ends the process where it can't be one."""
    text = os.environ.get(TOKEN_VARIABLE)
    if options.http_token is None and text:
        try:
            options.http_token = _token(text)
        except argparse.ArgumentTypeError as problem:
            parser.error(f"{TOKEN_VARIABLE}: {problem}")


def http_door(port: int, options: argparse.Namespace, context: ServerContext) -> HTTPListener:
    """Bind the port. Raises `MissingExtra`, and `OSError` or `UnicodeError` if it can't be bound."""
    try:
        from server.http.listener import create_http_listener  # noqa: PLC0415
    except ImportError as problem:
        raise MissingExtra("--http-port", "http", problem) from None
    sys.setswitchinterval(SWITCH_INTERVAL)
    return create_http_listener(
        options.host,
        port,
        context,
        token=options.http_token,
        origins=options.http_cors,
        names=options.http_host,
        max_body=options.http_max_body,
    )
