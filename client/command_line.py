"""The command line: which options are given, and where the server is then.

Options are read as `argparse` reads them, with its error messages. It is not used, because its import and its
parser take 7 ms.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from client.options import OPTIONS, USAGE, Option, Options
from client.settings import (
    ConnectionSettings,
    InvalidAddress,
    TLSSettings,
    parse_port,
    parse_url,
    settings_from_environment,
)
from common.passwords import PASSWORD_VARIABLE, check_password, read_password_file

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it: 128 and the number of the signal."""

WRONG_OPTION = 2
"""The exit status if an option is wrong, as programs with `argparse` or getopt have it."""


class WrongOption(Exception):
    """Raised if an option cannot be used. The text is shown to the user."""


def parse(arguments: Sequence[str] | None) -> Options:
    """Parse the options. Exits with `WRONG_OPTION` if one is wrong, and with 0 after printing what one asks for."""
    try:
        options = read_options(sys.argv[1:] if arguments is None else arguments)
        if options.help or options.version or options.man or options.completion is not None:
            from client.generated_documents import requested_document  # noqa: PLC0415

            sys.stdout.write(requested_document(options))
            sys.exit()
        options.connection = _connection_settings(options)
        _check_command(options)
    except (WrongOption, InvalidAddress) as problem:
        from common.program import program_name  # noqa: PLC0415  # most starts do not print a usage line

        program = program_name("client")
        print(f"usage: {program} {USAGE}\n{program}: error: {problem}", file=sys.stderr)
        sys.exit(WRONG_OPTION)
    return options


def read_options(arguments: Sequence[str]) -> Options:
    """Read the options before the command. What follows its name is its own, as in ``INCRBY n -1``.

    Raises `WrongOption`. After ``--help`` and ``--version`` nothing is read.
    """
    reader = _Reader(arguments)
    unknown: list[str] = []
    while argument := reader.next_option():
        flag, value = _split(argument)
        if flag not in OPTIONS:
            unknown.append(argument)
            continue
        reader.take(flag, value)
        if reader.options.help or reader.options.version:
            return reader.options
    if unknown:
        raise WrongOption(f"unrecognized arguments: {' '.join(unknown)}")
    reader.options.args = reader.rest()
    return reader.options


class _Reader:
    """The arguments that are still to be read, and the options that have been."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.options = Options()
        self._arguments = arguments
        self._at = 0
        self._given: dict[str, Option] = {}
        """The option that was given of those that exclude each other."""

    def next_option(self) -> str:
        """Return the next argument if it is an option, else an empty text."""
        if self._at == len(self._arguments) or not _is_option(self._arguments[self._at]):
            return ""
        self._at += 1
        return self._arguments[self._at - 1]

    def rest(self) -> list[str]:
        """Return the command: the arguments after the options, and after ``--`` if it ends them."""
        command = list(self._arguments[self._at :])
        return command[1:] if command[:1] == ["--"] else command

    def take(self, flag: str, attached: str | None) -> None:
        """Set an option. ``attached`` is its value, or further letters, if they are in the same argument."""
        option = OPTIONS[flag]
        while not option.metavar:
            if attached is not None and (flag.startswith("--") or "-" + attached[:1] not in OPTIONS):
                raise _wrong(option, f"ignored explicit argument {attached!r}")
            self._set(option, option.value)
            if attached is None:
                return
            flag, attached = "-" + attached[0], attached[1:] or None
            option = OPTIONS[flag]
        try:
            self._set(option, option.convert(self._value(option) if attached is None else attached))
        except ValueError as problem:
            raise _wrong(option, str(problem)) from None

    def _value(self, option: Option) -> str:
        """Take the next argument, which is the value of an option."""
        following = self._arguments[self._at : self._at + 1]
        if not following or following[0] == "--" or _is_option(following[0]):
            raise _wrong(option, "expected one argument")
        self._at += 1
        return following[0]

    def _set(self, option: Option, value: object) -> None:
        if option.exclusive:
            other = self._given.setdefault(option.exclusive, option)
            if other is not option:
                raise _wrong(option, f"not allowed with argument {other.title}")
        setattr(self.options, option.name, value)


def _is_option(argument: str) -> bool:
    """Return whether an argument is an option, known or not. A negative number and a text with a space are none."""
    if len(argument) < 2 or argument[0] != "-" or argument == "--":
        return False
    is_number = argument[1:].replace(".", "", 1).isdecimal()
    return _split(argument)[0] in OPTIONS or not (is_number or " " in argument)


def _split(argument: str) -> tuple[str, str | None]:
    """Split ``--port=1``, ``-p1`` and ``-xr1`` into the first option and the rest. There is no rest in ``--port``."""
    if argument in OPTIONS:
        return argument, None
    flag, equals, value = argument.partition("=")
    if equals and flag in OPTIONS:
        return flag, value
    if argument[:2] in OPTIONS:  # a letter: "--" is no option
        return argument[:2], argument[2:]
    return argument, None


def _wrong(option: Option, reason: str) -> WrongOption:
    return WrongOption(f"argument {option.title}: {reason}")


def _check_command(options: Options) -> None:
    if options.from_stdin and not options.args:
        raise WrongOption("-x needs a command, to which it appends an argument")


def _connection_settings(options: Options) -> ConnectionSettings:
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
        settings.host, settings.socket_path = options.host, ""
    if options.port is not None:
        settings.port, settings.socket_path = parse_port(options.port), ""
    if options.socket is not None:
        settings.socket_path = options.socket
    if options.database is not None:
        settings.database = options.database
    if options.password_file is not None or settings.password is None:
        settings.password = _password(options)
    settings.tls = settings.tls or options.tls
    settings.tls_settings = _tls_settings(options, settings)
    return settings


def _tls_settings(options: Options, settings: ConnectionSettings) -> TLSSettings:
    given = TLSSettings(options.cacert, options.cert, options.key, options.sni, verifies=not options.insecure)
    if given != TLSSettings() and not settings.tls:
        raise InvalidAddress("--cacert, --cert, --key, --sni and --insecure need --tls or a URL with rediss://")
    if given.key and not given.certificate:
        raise InvalidAddress("--key needs --cert")
    if settings.socket_path and settings.tls:
        raise InvalidAddress("TLS needs a host, not a Unix socket")
    return given


def _password(options: Options) -> str | None:
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
