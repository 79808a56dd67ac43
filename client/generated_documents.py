"""Documents that derive from the table of options: ``--help``, the man page, scripts for the completion of shells."""

from __future__ import annotations

from textwrap import wrap

from client.options import GROUPS, USAGE, Option, Options
from common import __version__
from common.program import program_name

HELP_WIDTH = 100
"""Columns of ``--help``."""

HELP_COLUMN = 28
"""The column at which the descriptions in ``--help`` begin."""

DESCRIPTION = "Send commands to kvline or Redis: at a prompt, as a batch of lines, or one command."

EXAMPLES = """\
  {0}                                  a prompt
  {0} SET name "Ada Lovelace"          one command
  {0} -u redis://user:secret@host/2    another server, logged in
  {0} -x SET picture < cat.png         the last argument from standard input
  {0} --raw GET picture > cat.png      bytes as they are
  {0} -r 5 -i 1 INCR visits            five times, once a second
  {0} --file commands.txt --quiet      a batch: errors and a summary only
  {0} --scan --pattern 'user:*'        the matching keys, one a line
  {0} --dump backup.txt                strings with their expiry; `{0} --file backup.txt` restores them
"""

NOTES = """\
KVLINE_URL or REDIS_URL is used if no option says where the server is, and KVLINE_PASSWORD if no option
or URL has a password. NO_COLOR turns colours off.
Exit status: 0 success, 1 an error reply or no connection, 2 a wrong option, 130 Ctrl-C.
"""


def requested_document(options: Options) -> str:
    """Return the document that an option asks for."""
    if options.help:
        return help_page()
    if options.version:
        return f"kvline {__version__}\n"
    return man_page() if options.man else completion_script(options.completion or "")


def help_page() -> str:
    """Return what ``--help`` prints."""
    program = program_name("client")
    groups = [f"{title}:\n{''.join(map(_help_lines, options))}" for title, options in GROUPS]
    head = f"usage: {program} {USAGE}\n\n{DESCRIPTION}"
    return "\n\n".join([head, *map(str.rstrip, groups), f"examples:\n{EXAMPLES.format(program)}\n{NOTES}"])


def _help_lines(option: Option) -> str:
    """Return the lines of an option: its flags, and its description in a column to the right of them."""
    first, *others = wrap(option.help, HELP_WIDTH - HELP_COLUMN)
    flags = f"  {_flags(option)}"
    margin = " " * HELP_COLUMN
    if len(flags) > HELP_COLUMN - 2:
        flags += "\n" + margin
    return "".join(f"{line}\n" for line in [flags.ljust(HELP_COLUMN) + first, *[margin + line for line in others]])


def completion_script(shell: str) -> str:
    """Return the script that completes the options and, after ``--file`` and the like, names of files."""
    options = [option for _, group in GROUPS for option in group]
    words = " ".join(flag for option in options for flag in option.flags)
    with_file = "|".join(flag for option in options if option.metavar in ("FILE", "PATH") for flag in option.flags)
    names = "kvline-client run_client.sh"
    if shell == "fish":
        return "".join(map(_fish_line, options))
    script = f"""\
_kvline_client() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    case $before in
        {with_file}) COMPREPLY=($(compgen -f -- "$word")) ;;
        *) [[ $word == -* ]] && COMPREPLY=($(compgen -W "{words}" -- "$word")) ;;
    esac
}}
complete -F _kvline_client {names}
"""
    return script if shell == "bash" else f"autoload -U bashcompinit && bashcompinit\n{script}"


def man_page() -> str:
    """Return the man page in the format of man(7)."""
    lines = [
        f'.TH KVLINE-CLIENT 1 "" "kvline {__version__}"',
        ".SH NAME\nkvline-client \\- a client for kvline and Redis",
        f".SH SYNOPSIS\n.B kvline-client\n{USAGE}",
        f".SH DESCRIPTION\n{_roff(DESCRIPTION)}",
        ".SH OPTIONS",
    ]
    for title, options in GROUPS:
        lines.append(f".SS {_roff(title)}")
        lines += [f".TP\n.B {_roff(_flags(option))}\n{_roff(option.help)}" for option in options]
    lines.append(f".SH EXAMPLES\n.nf\n{_roff(EXAMPLES.format('kvline-client').removesuffix(chr(10)))}\n.fi")
    lines.append(f".SH ENVIRONMENT AND EXIT STATUS\n.nf\n{_roff(NOTES.strip())}\n.fi")
    return "\n".join(lines) + "\n"


def _flags(option: Option) -> str:
    value = f" {option.metavar}" if option.metavar else ""
    return ", ".join(f"{flag}{value}" for flag in option.flags)


def _roff(text: str) -> str:
    """Escape text for roff. A line must not begin with a dot or an apostrophe, which would be a request."""
    lines = text.replace("\\", "\\e").replace("-", "\\-").split("\n")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines)


def _fish_line(option: Option) -> str:
    flags = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags)
    value = " -r" + (" -F" if option.metavar in ("FILE", "PATH") else " -f") if option.metavar else ""
    description = option.help.replace("\\", "\\\\").replace("'", "\\'")
    return f"complete -c kvline-client {flags}{value} -d '{description}'\n"
