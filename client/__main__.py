"""The client's command line: parse the options, connect, then run the shell, a batch or one command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import BinaryIO

import common as _checks_version  # noqa: F401  # before modules that an old Python cannot import
from client.batch import run_command, run_lines
from client.connection import Connection, ConnectionLost, SocketConnection
from client.editors.line_editor import line_editor
from client.hints.command_docs import usage_lines
from client.history import History, history_file
from client.protocol import ClientProtocol
from client.shell import run_shell
from client.source import open_source
from common import __version__
from common.program import program_name, start_command
from common.resp_client import MalformedReply

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9736
INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it: 128 and the number of the signal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the client and return its exit status."""
    options = _parser().parse_args(arguments)
    connection = _connect(options)
    if connection is None:
        return 1
    try:
        # fsencode restores the bytes that the operating system passed: a value need not be valid in this locale.
        return _run(connection, [os.fsencode(arg) for arg in options.args])
    except (ConnectionLost, MalformedReply) as problem:
        print(f"kvline: {problem}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output has closed it. Python would complain when it flushes the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        connection.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program_name("client"),
        description="Send commands to a kvline server: at a prompt, by lines from standard input, or one command.",
        usage="%(prog)s [-h] [--host HOST] [--port PORT] [--local] [--version] [COMMAND [ARGUMENT ...]]",
        epilog="DISCONNECT or Ctrl-D closes the connection. HELP lists the commands.",
    )
    parser.add_argument("--host", default=DEFAULT_HOST, help="the server's address (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="the server's port (default: %(default)s)")
    parser.add_argument("--local", action="store_true", help="use a store in this process, without a server")
    parser.add_argument("--version", action="version", version=f"kvline {__version__}")
    # REMAINDER: an argument of the command may begin with a minus, as in "INCRBY n -1".
    parser.add_argument(
        "args", nargs=argparse.REMAINDER, metavar="COMMAND", help="one command to run, with its arguments"
    )
    return parser


def _port(text: str) -> int:
    """Convert a port. The resolver would take a number above 65535 modulo 65536, and connect to another server."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to 65535, not {text!r}")
    return int(text)


def _connect(options: argparse.Namespace) -> Connection | None:
    """Connect to the server, or print why that failed and return None."""
    if options.local:
        from client.local import LocalConnection  # noqa: PLC0415  # the server's code is loaded for --local alone

        return LocalConnection()
    try:
        return SocketConnection(options.host, options.port)
    # UnicodeError: a host name that IDNA cannot encode.
    except (OSError, UnicodeError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        print(
            f"kvline can't reach a server at {options.host}:{options.port}: {reason}. "
            f"Start one with {start_command('server')} --port {options.port}",
            file=sys.stderr,
        )
        return None


def _run(connection: Connection, args: list[bytes]) -> int:
    protocol = ClientProtocol()
    # Before anything else, because the client relies on RESP3 to print text without quotes. A server that refuses it
    # (Redis 5) still gets the commands, in RESP2.
    connection.exchange(protocol, protocol.hello_request())
    output = _buffered_stdout()
    if args:
        return run_command(connection, protocol, args, output)
    if sys.stdin is None:  # closed by the parent process: the same as an empty input
        return 0
    if not sys.stdin.isatty():
        return run_lines(connection, protocol, open_source(sys.stdin.fileno()), output)
    # The server describes its own commands, so hints also fit a Redis or a kvline of another version.
    (documents,) = connection.exchange(protocol, protocol.request_for_args([b"COMMAND", b"DOCS"]))
    editor = line_editor(usage_lines(documents), History(history_file()))
    return run_shell(connection, protocol, editor, output)


def _buffered_stdout() -> BinaryIO:
    """Return stdout as a buffered binary stream.

    ``sys.stdout.buffer`` is unbuffered if PYTHONUNBUFFERED is set, as in many containers. Each part of a reply would
    then be a system call of its own.
    """
    return open(sys.stdout.fileno(), "wb", closefd=False)


if __name__ == "__main__":
    sys.exit(main())
