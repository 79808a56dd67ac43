"""The command line of the client: how options are read, and the documents that their table gives."""

from __future__ import annotations

import pytest

from client.command_line import WrongOption, parse, read_options
from client.generated_documents import HELP_WIDTH, help_page
from client.options import GROUPS, OPTIONS, Options


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--port", "1"], {"port": "1"}),
        (["--port=1"], {"port": "1"}),
        (["--port="], {"port": ""}),
        (["-p", "1"], {"port": "1"}),
        (["-p1"], {"port": "1"}),
        (["-p=1"], {"port": "1"}),
        (["-p", "-5"], {"port": "-5"}),
        (["-h", ""], {"host": ""}),
        (["--pattern", "-a b"], {"pattern": "-a b"}),
        (["--dump", "-"], {"dump": "-"}),
        (["-xqr3"], {"from_stdin": True, "quiet": True, "repeat": 3}),
        (["-xr", "3"], {"from_stdin": True, "repeat": 3}),
        (["-r", "3", "-r", "4"], {"repeat": 4}),
        (["-i", "0.5"], {"interval": 0.5}),
        (["--raw", "--raw"], {"form": "raw"}),
        (["--scan"], {"tool": "scan"}),
    ],
    ids=str,
)
def test_an_option_may_be_written_in_these_ways(arguments: list[str], expected: dict[str, object]) -> None:
    options = read_options([*arguments, "GET", "-p", "--raw"])
    assert {name: getattr(options, name) for name in expected} == expected
    assert options.args == ["GET", "-p", "--raw"]


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ([], []),
        (["--raw"], []),
        (["-1"], ["-1"]),
        (["-"], ["-"]),
        (["", "-p"], ["", "-p"]),
        (["-z y", "-p"], ["-z y", "-p"]),
        (["--raw", "--", "--raw"], ["--raw"]),
        (["ECHO", "--"], ["ECHO", "--"]),
    ],
    ids=str,
)
def test_the_command_begins_with_the_first_argument_that_is_no_option(arguments: list[str], command: list[str]) -> None:
    assert read_options(arguments).args == command


# As argparse of Python 3.11 words them.
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["-p"], "argument -p/--port: expected one argument"),
        (["-p", "--raw"], "argument -p/--port: expected one argument"),
        (["-p", "--", "1"], "argument -p/--port: expected one argument"),
        (["--pattern", "-x"], "argument --pattern: expected one argument"),
        (["--raw=1"], "argument --raw: ignored explicit argument '1'"),
        (["--help="], "argument --help: ignored explicit argument ''"),
        (["-xeZ"], "argument -e: ignored explicit argument 'Z'"),
        (["-n", "x"], "argument -n/--database: a number from 0 on, not 'x'"),
        (["-i", "-1"], "argument -i/--interval: a number of seconds from 0 on, not '-1'"),
        (["--completion", "csh"], "argument --completion: invalid choice: 'csh' (choose from 'bash', 'zsh', 'fish')"),
        (["--raw", "--json"], "argument --json: not allowed with argument --raw"),
        (["--dump", "f", "--stat"], "argument --stat: not allowed with argument --dump"),
        (["--nope", "--no", "-z", "GET"], "unrecognized arguments: --nope --no -z"),
    ],
    ids=str,
)
def test_a_wrong_option_is_reported_with_its_names(arguments: list[str], problem: str) -> None:
    with pytest.raises(WrongOption) as raised:
        read_options(arguments)
    assert str(raised.value) == problem


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_are_printed_whatever_follows(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse([option, "--nope", "-p"])
    assert not ended.value.code
    assert capsys.readouterr().out


def test_every_option_sets_an_attribute_and_has_its_own_names() -> None:
    options = [option for _, group in GROUPS for option in group]
    assert len(OPTIONS) == sum(len(option.flags) for option in options)
    assert all(hasattr(Options(), option.name) for option in options)


def test_the_help_has_every_option_in_lines_of_bounded_width() -> None:
    lines = help_page().partition("\nexamples:")[0].splitlines()
    assert max(map(len, lines)) <= HELP_WIDTH
    shown = [line.strip().split("  ")[0] for line in lines if line.startswith("  -")]
    metavars = [(option.flags, option.metavar) for _, group in GROUPS for option in group]
    assert shown == [", ".join(f"{flag} {metavar}".rstrip() for flag in flags) for flags, metavar in metavars]
