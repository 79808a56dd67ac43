"""The client's options, as argparse reads them. The man page and shell completion derive from the same parser."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from client.settings import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    ConnectionSettings,
    InvalidAddress,
    TLSSettings,
    parse_port,
    parse_url,
    settings_from_environment,
)
from common import __version__
from common.passwords import PASSWORD_VARIABLE, check_password, read_password_file
from common.program import program_name

SHELLS = ("bash", "zsh", "fish")

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it: 128 and the number of the signal."""

WIDTH = 100
"""Columns of ``--help``."""

EXAMPLES = """\
examples:
  {0}                                  a prompt
  {0} SET name "Ada Lovelace"          one command
  {0} -u redis://user:secret@host/2    another server, logged in
  {0} -x SET picture < cat.png         the last argument from standard input
  {0} --raw GET picture > cat.png      bytes as they are
  {0} -r 5 -i 1 INCR visits            five times, once a second
  {0} --file commands.txt --quiet      a batch: errors and a summary only
  {0} --scan --pattern 'user:*'        the matching keys, one a line
  {0} --dump backup.txt                strings with their expiry; `{0} --file backup.txt` restores them

KVLINE_URL or REDIS_URL is used if no option says where the server is, and KVLINE_PASSWORD if no option
or URL has a password. NO_COLOR turns colours off.
Exit status: 0 success, 1 an error reply or no connection, 2 a wrong option, 130 Ctrl-C.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the options. ``connection`` of the result has the `ConnectionSettings`. Exits with 2 if one is wrong."""
    parser = new_parser()
    options = parser.parse_args(arguments)
    if options.completion is not None or options.man:
        from client.generated_documents import completion_script, man_page  # noqa: PLC0415

        sys.stdout.write(man_page(parser) if options.man else completion_script(parser, options.completion))
        parser.exit()
    try:
        options.connection = _connection_settings(options)
    except InvalidAddress as problem:
        parser.error(str(problem))
    if options.repeat is None:
        # As in redis-cli: an interval alone repeats for ever.
        options.repeat = 0 if options.interval or options.tool == "stat" else 1
    if options.from_stdin and not options.args:
        parser.error("-x needs a command, to which it appends an argument")
    return options


def new_parser() -> argparse.ArgumentParser:
    """Return the parser of the client's command line."""
    program = program_name("client")
    parser = argparse.ArgumentParser(
        prog=program,
        description="Send commands to kvline or Redis: at a prompt, as a batch of lines, or one command.",
        usage="%(prog)s [OPTION ...] [COMMAND [ARGUMENT ...]]",
        epilog=EXAMPLES.format(program),
        formatter_class=_HelpFormatter,
        add_help=False,  # its -h would take the place of -h HOST
        allow_abbrev=False,
    )
    _add_connection_options(parser)
    _add_output_options(parser)
    _add_command_options(parser)
    _add_tools(parser)
    other = parser.add_argument_group("other")
    other.add_argument("--help", action="help", help="show this help")
    other.add_argument("--completion", choices=SHELLS, metavar="SHELL", help="print a script: bash, zsh or fish")
    other.add_argument("--man", action="store_true", help="print the man page (man -l FILE shows it)")
    other.add_argument("--version", action="version", version=f"kvline {__version__}", help="print the version")
    # REMAINDER: an argument of the command may begin with a minus, as in "INCRBY n -1".
    parser.add_argument("args", nargs=argparse.REMAINDER, metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Formats help with a fixed width. To ask for the terminal's takes 5 ms, because argparse does it per option."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=WIDTH)


def _add_connection_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where the server is")
    group.add_argument("-h", "--host", metavar="HOST", help=f"its address (default: {DEFAULT_HOST})")
    group.add_argument("-p", "--port", metavar="PORT", help=f"its port (default: {DEFAULT_PORT})")
    group.add_argument("-s", "--socket", metavar="PATH", help="the path of its Unix socket")
    group.add_argument(
        "-u", "--url", metavar="URL", help="redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or unix:///PATH"
    )
    group.add_argument("--password-file", metavar="FILE", help="the password is the first line of this file")
    group.add_argument("--tls", action="store_true", help="use TLS, as with a URL that begins with rediss://")
    group.add_argument(
        "--cacert", metavar="FILE", help="the authority of the server's certificate (default: the system's)"
    )
    group.add_argument("--cert", metavar="FILE", help="the certificate of this client")
    group.add_argument("--key", metavar="FILE", help="the key of this certificate")
    group.add_argument("--sni", metavar="HOST", help="the server's name in its certificate (default: its address)")
    group.add_argument("--insecure", action="store_true", help="do not verify the server's certificate")
    group.add_argument("-n", "--database", metavar="N", type=_natural, help="select a database")
    group.add_argument("--local", action="store_true", help="use a store in this process, without a server")


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how replies are printed")
    form = group.add_mutually_exclusive_group()
    form.add_argument("--raw", action="store_const", const="raw", dest="form", help="bytes as they are, one line end")
    form.add_argument("--json", action="store_const", const="json", dest="form", help="a line of JSON per reply")
    form.add_argument("--csv", action="store_const", const="csv", dest="form", help="a line of CSV per reply")
    form.add_argument("--types", action="store_const", const="types", dest="form", help="values with their types")
    group.add_argument("--no-color", action="store_true", help="no colours")
    group.add_argument("--no-pager", action="store_true", help="no pager for long replies at a prompt")


def _add_command_options(parser: argparse.ArgumentParser) -> None:
    one = parser.add_argument_group("one command")
    one.add_argument("-x", action="store_true", dest="from_stdin", help="append standard input as the last argument")
    one.add_argument("-r", "--repeat", metavar="N", type=_natural, help="run it N times (0: for ever)")
    one.add_argument("-i", "--interval", metavar="SECONDS", type=_seconds, default=0.0, help="wait between two runs")
    one.add_argument("-e", action="store_true", help="accepted as in redis-cli: an error reply always gives status 1")
    batch = parser.add_argument_group("a batch: lines from standard input, or from a file")
    batch.add_argument("-f", "--file", metavar="FILE", help="read the lines from a file")
    batch.add_argument("-q", "--quiet", action="store_true", help="print errors and the summary only")
    batch.add_argument("--stop-on-error", action="store_true", help="send nothing after the first error reply")
    batch.add_argument("--resume", metavar="LINE", type=_natural, default=1, help="begin with this line of the input")
    prompt = parser.add_argument_group("a prompt")
    prompt.add_argument("--no-confirm", action="store_true", help="do not ask before FLUSHALL, FLUSHDB and SHUTDOWN")


def _add_tools(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tools")
    tool = group.add_mutually_exclusive_group()
    tool.add_argument("--scan", action="store_const", const="scan", dest="tool", help="print the keys, one a line")
    tool.add_argument("--bigkeys", action="store_const", const="bigkeys", dest="tool", help="the largest value by type")
    tool.add_argument("--memkeys", action="store_const", const="memkeys", dest="tool", help="the same by memory")
    tool.add_argument("--stat", action="store_const", const="stat", dest="tool", help="a line about the load a second")
    tool.add_argument("--latency", action="store_const", const="latency", dest="tool", help="how long PING takes")
    tool.add_argument("--top", action="store_const", const="top", dest="tool", help="a full-screen live view")
    tool.add_argument("--dump", metavar="FILE", help="write the strings with their expiry (-: to standard output)")
    group.add_argument(
        "--pattern", metavar="PATTERN", help="with --scan, --bigkeys, --memkeys, --dump: these keys only"
    )
    group.add_argument("--history", action="store_true", help="with --latency: a line every 15 seconds (-i)")


def _connection_settings(options: argparse.Namespace) -> ConnectionSettings:
    """Return the settings that the options select. Raises `InvalidAddress`.

    The environment counts only if no option says where the server is: ``-p 9736`` must not reach another host.
    """
    if options.url is not None:
        settings = parse_url(options.url)
    elif options.host is None and options.port is None and options.socket is None:
        settings = settings_from_environment(os.environ)
    else:
        settings = ConnectionSettings()
    if options.host is not None:
        settings = replace(settings, host=options.host, socket_path="")
    if options.port is not None:
        settings = replace(settings, port=parse_port(options.port), socket_path="")
    if options.socket is not None:
        settings = replace(settings, socket_path=options.socket)
    if options.database is not None:
        settings = replace(settings, database=options.database)
    if options.password_file is not None or settings.password is None:
        settings = replace(settings, password=_password(options))
    return replace(settings, tls=settings.tls or options.tls, tls_settings=_tls_settings(options, settings))


def _tls_settings(options: argparse.Namespace, settings: ConnectionSettings) -> TLSSettings:
    given = TLSSettings(
        options.cacert or "", options.cert or "", options.key or "", options.sni or "", verifies=not options.insecure
    )
    if given != TLSSettings() and not (settings.tls or options.tls):
        raise InvalidAddress("--cacert, --cert, --key, --sni and --insecure need --tls or a URL with rediss://")
    if given.key and not given.certificate:
        raise InvalidAddress("--key needs --cert")
    if settings.socket_path and (settings.tls or options.tls):
        raise InvalidAddress("TLS needs a host, not a Unix socket")
    return given


def _password(options: argparse.Namespace) -> str | None:
    """Return the password of the file or of the environment, None without both. Raises `InvalidAddress`."""
    if options.local:
        return None
    if options.password_file is not None:
        try:
            return read_password_file(options.password_file)
        except ValueError as problem:
            raise InvalidAddress(f"--password-file {options.password_file} {problem}") from None
    try:
        return check_password(os.environ.get(PASSWORD_VARIABLE, "")) or None
    except ValueError as problem:
        raise InvalidAddress(f"{PASSWORD_VARIABLE}: {problem}") from None


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a number from 0 on, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"a number of seconds from 0 on, not {text!r}")
    return seconds
