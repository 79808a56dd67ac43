"""The options of the command line: one table, for the parser, ``--help``, the man page and shell completion."""

from __future__ import annotations

from collections.abc import Callable

from client.settings import DEFAULT_HOST, DEFAULT_PORT, ConnectionSettings

USAGE = "[OPTION ...] [COMMAND [ARGUMENT ...]]"
"""What follows the name of the program in usage lines."""

SHELLS = ("bash", "zsh", "fish")


class Options:
    """What the command line says: an attribute for each option, and its default."""

    connection: ConnectionSettings
    """Where the server is and how to log in, from the options and the environment together."""

    args: list[str]
    """The command and its arguments."""

    host: str | None = None
    port: str | None = None
    socket: str | None = None
    url: str | None = None
    password_file: str | None = None
    tls = False
    cacert = ""
    cert = ""
    key = ""
    sni = ""
    insecure = False
    database: int | None = None
    local = False

    form = ""
    """``raw``, ``json``, ``csv``, ``types``, or empty for the default."""
    no_color = False
    no_pager = False

    from_stdin = False
    repeat: int | None = None
    interval = 0.0
    e = False
    file: str | None = None
    quiet = False
    stop_on_error = False
    resume = 1
    no_confirm = False

    tool: str | None = None
    dump: str | None = None
    pattern: str | None = None
    history = False

    help = False
    completion: str | None = None
    man = False
    version = False

    @property
    def runs(self) -> int:
        """How often the command is run; 0: without end. As in redis-cli, that is what an interval alone means."""
        if self.repeat is not None:
            return self.repeat
        return 0 if self.interval or self.tool == "stat" else 1


class Option:
    """One option. ``flags`` are its names, and ``name`` is the attribute of `Options` that it sets.

    An option with a ``metavar`` takes a value, which ``convert`` reads. It raises `ValueError`, whose text is shown.
    Any other option sets its attribute to ``value``. Of the options with the same ``exclusive`` only one may be given.
    """

    __slots__ = ("convert", "exclusive", "flags", "help", "metavar", "name", "value")

    def __init__(
        self,
        *flags: str,
        help: str,
        metavar: str = "",
        name: str = "",
        value: object = True,
        convert: Callable[[str], object] = str,
        exclusive: str = "",
    ) -> None:
        self.flags = flags
        self.help = help
        self.metavar = metavar
        self.name = name or flags[-1].lstrip("-").replace("-", "_")
        self.value = value
        self.convert = convert
        self.exclusive = exclusive

    @property
    def title(self) -> str:
        """The name of the option in errors."""
        return "/".join(self.flags)


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"a number from 0 on, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < 1e9:
        raise ValueError(f"a number of seconds from 0 on, not {text!r}")
    return seconds


def _shell(text: str) -> str:
    if text not in SHELLS:
        raise ValueError(f"invalid choice: {text!r} (choose from {', '.join(map(repr, SHELLS))})")
    return text


def _form(name: str, help: str) -> Option:
    return Option(f"--{name}", name="form", value=name, exclusive="form", help=help)


def _tool(name: str, help: str) -> Option:
    return Option(f"--{name}", name="tool", value=name, exclusive="tool", help=help)


GROUPS: tuple[tuple[str, tuple[Option, ...]], ...] = (
    (
        "where the server is",
        (
            Option("-h", "--host", metavar="HOST", help=f"its address (default: {DEFAULT_HOST})"),
            Option("-p", "--port", metavar="PORT", help=f"its port (default: {DEFAULT_PORT})"),
            Option("-s", "--socket", metavar="PATH", help="the path of its Unix socket"),
            Option(
                "-u", "--url", metavar="URL", help="redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or unix:///PATH"
            ),
            Option("--password-file", metavar="FILE", help="the password is the first line of this file"),
            Option("--tls", help="use TLS, as with a URL that begins with rediss://"),
            Option(
                "--cacert", metavar="FILE", help="the authority of the server's certificate (default: the system's)"
            ),
            Option("--cert", metavar="FILE", help="the certificate of this client"),
            Option("--key", metavar="FILE", help="the key of this certificate"),
            Option("--sni", metavar="HOST", help="the server's name in its certificate (default: its address)"),
            Option("--insecure", help="do not verify the server's certificate"),
            Option("-n", "--database", metavar="N", convert=_natural, help="select a database"),
            Option("--local", help="use a store in this process, without a server"),
        ),
    ),
    (
        "how replies are printed",
        (
            _form("raw", "bytes as they are, one line end"),
            _form("json", "a line of JSON per reply"),
            _form("csv", "a line of CSV per reply"),
            _form("types", "values with their types"),
            Option("--no-color", help="no colours"),
            Option("--no-pager", help="no pager for long replies at a prompt"),
        ),
    ),
    (
        "one command",
        (
            Option("-x", name="from_stdin", help="append standard input as the last argument"),
            Option("-r", "--repeat", metavar="N", convert=_natural, help="run it N times (0: for ever)"),
            Option("-i", "--interval", metavar="SECONDS", convert=_seconds, help="wait between two runs"),
            Option("-e", help="accepted as in redis-cli: an error reply always gives status 1"),
        ),
    ),
    (
        "a batch: lines from standard input, or from a file",
        (
            Option("-f", "--file", metavar="FILE", help="read the lines from a file"),
            Option("-q", "--quiet", help="print errors and the summary only"),
            Option("--stop-on-error", help="send nothing after the first error reply"),
            Option("--resume", metavar="LINE", convert=_natural, help="begin with this line of the input"),
        ),
    ),
    ("a prompt", (Option("--no-confirm", help="do not ask before FLUSHALL, FLUSHDB and SHUTDOWN"),)),
    (
        "tools",
        (
            _tool("scan", "print the keys, one a line"),
            _tool("bigkeys", "the largest value by type"),
            _tool("memkeys", "the same by memory"),
            _tool("stat", "a line about the load a second"),
            _tool("latency", "how long PING takes"),
            _tool("top", "a full-screen live view"),
            Option(
                "--dump",
                metavar="FILE",
                exclusive="tool",
                help="write the strings with their expiry (-: to standard output)",
            ),
            Option("--pattern", metavar="PATTERN", help="with --scan, --bigkeys, --memkeys, --dump: these keys only"),
            Option("--history", help="with --latency: a line every 15 seconds (-i)"),
        ),
    ),
    (
        "other",
        (
            Option("--help", help="show this help"),
            Option("--completion", metavar="SHELL", convert=_shell, help="print a script: bash, zsh or fish"),
            Option("--man", help="print the man page (man -l FILE shows it)"),
            Option("--version", help="print the version"),
        ),
    ),
)
"""All options, in the order of the help, by the titles of their groups."""

OPTIONS = {flag: option for _, group in GROUPS for option in group for flag in option.flags}
"""The options by each of their names."""
