"""Where settings come from: the command line, then the environment, then the config file, then the defaults."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from common import __version__
from common.program import program_name
from server.settings.entry import Group, Setting
from server.settings.kinds import Switch
from server.settings.table import SETTINGS, Settings, SettingsError, check, option_of

EPILOG = """\
Every option can also be set in the environment (--max-line is KVLINE_MAX_LINE)
and in the file of --config (max-line). The command line precedes the
environment, and the environment precedes the file.

examples:
  %(prog)s
      serve telnet and Redis clients of this machine, on port 9736
  %(prog)s --host 0.0.0.0 --port 6379 --http-port 9780
      serve other machines too, on the port of Redis, and HTTP
  %(prog)s --backend redis://10.0.0.5 --cache-ttl 5
      serve the keys of that Redis, with a cache
  %(prog)s --config /etc/kvline.toml --log-format json
      take the settings from a file, and log for a program

exit statuses:
  0  stopped by a signal or by the command SHUTDOWN
  1  the server cannot start: a port cannot be used, or an extra is missing
  2  a setting is not valid, or contradicts another one
"""


class SettingsReader:
    """Read settings from a command line, an environment and a config file.

    A bad value ends the process with exit status 2 and one sentence that names the option, the variable or the file.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._parser = new_parser()
        self._sources: dict[str, str] = {}  # by field: the option, the variable or the file that the value is from

    def read(self, arguments: Sequence[str] | None = None) -> Settings:
        """Return the settings. ``arguments`` are those of the process if None."""
        # Only options that were given are in the namespace (argparse.SUPPRESS), so defaults cannot hide a variable.
        values = vars(self._parser.parse_args(arguments))
        for entry in SETTINGS:
            if entry.name in values:
                self._sources[entry.name] = entry.option or ""
                if entry.repeatable:
                    values[entry.name] = tuple(values[entry.name])
            # An empty variable counts as missing (docs/operations.md). An empty option does not.
            elif entry.variable and (text := self._environ.get(entry.variable)):
                self._sources[entry.name] = entry.variable
                try:
                    values[entry.name] = from_variable(entry, text)
                except ValueError as problem:
                    self._parser.error(f"{entry.variable}: {problem}")
        if "config_file" in values:
            values = self._from_file(values["config_file"]) | values
        settings = Settings(**values)
        # Again, although each value was parsed: only now is it known whether settings contradict each other.
        try:
            check(settings)
        except SettingsError as problem:
            self.fail(problem)
        return settings

    def fail(self, error: SettingsError) -> NoReturn:
        """End the process with a sentence that names the option, the variable or the file."""
        self._parser.error(f"{self._sources.get(error.name) or option_of(error.name)} {error.problem}")

    def _from_file(self, path: str) -> dict[str, Any]:
        # Imported here, because tomllib takes 5 ms of a start, and most servers have no file.
        from server.settings.config_file import ConfigFileError, read_config_file  # noqa: PLC0415

        try:
            values = read_config_file(path)
        except ConfigFileError as problem:
            self._parser.error(str(problem))
        for name in values:
            self._sources.setdefault(name, f"{path}: {option_of(name)[2:]}")
        return values


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        # argparse repeats them. One may be the URL or the password after an option that was misspelt.
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            options = [word.partition("=")[0] for word in unknown.split() if word.startswith("-")]
            message = f"unknown option: {' '.join(options)}" if options else "unexpected argument"
        self.exit(2, f"{self.prog}: error: {message}\n")


def new_parser() -> argparse.ArgumentParser:
    """Make the parser of all options. An option that is not given adds nothing to the namespace."""
    parser = _Parser(
        prog=program_name("server"),
        usage="%(prog)s [option ...]",
        description="A key-value server for telnet, Redis clients, JSON frames and HTTP.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,  # keeps the lines of the epilog
        argument_default=argparse.SUPPRESS,  # `SettingsReader.read` must see which options were given
        allow_abbrev=False,  # otherwise `--password secret` would be `--password-file secret`, whose error has the path
    )
    parser.add_argument("--version", action="version", version=f"kvline {__version__}", help="print the version")
    sections: dict[Group | None, Callable[..., object]] = {None: parser.add_argument}
    for entry in SETTINGS:
        if entry.group is not None and entry.group not in sections:
            sections[entry.group] = parser.add_argument_group(*entry.group).add_argument
        if entry.option:
            sections[entry.group](entry.option, **_argument(entry))
    return parser


def _argument(entry: Setting) -> dict[str, Any]:
    """Return the arguments of ``add_argument`` for an entry."""
    if isinstance(entry.kind, Switch):
        # --no-… lets the command line win over the environment and the file.
        return {"dest": entry.name, "action": argparse.BooleanOptionalAction, "help": entry.help}
    default = entry.default_text()
    return {
        "dest": entry.name,
        "type": _converter(entry),
        "action": "append" if entry.repeatable else "store",
        "metavar": entry.kind.metavar,
        "help": f"{entry.help} (default: {default})" if default else entry.help,
    }


def _converter(entry: Setting) -> Callable[[str], Any]:
    """Return the converter of an option. It raises the error whose text argparse shows; other texts are replaced."""

    def convert(text: str) -> Any:
        try:
            return entry.kind.parse(text)
        except ValueError as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None  # a ValueError would be "invalid convert value"

    return convert


def from_variable(entry: Setting, text: str) -> Any:
    """Convert the text of a variable. Raises `ValueError` with a sentence."""
    if entry.repeatable:
        return tuple(entry.kind.parse(each) for each in re.split(r"[\s,]+", text) if each)
    return entry.kind.parse(text)
