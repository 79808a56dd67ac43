"""Documents that derive from the options: scripts for the completion of shells, and the man page."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from common import __version__


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script that completes the options and, after ``--file`` and the like, names of files."""
    options = list(_options(parser))
    words = " ".join(flag for action in options for flag in action.option_strings)
    with_file = "|".join(
        flag for action in options if action.metavar in ("FILE", "PATH") for flag in action.option_strings
    )
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


def man_page(parser: argparse.ArgumentParser) -> str:
    """Return the man page in the format of man(7)."""
    lines = [
        f'.TH KVLINE-CLIENT 1 "" "kvline {__version__}"',
        ".SH NAME\nkvline-client \\- a client for kvline and Redis",
        ".SH SYNOPSIS\n.B kvline-client\n[OPTION ...] [COMMAND [ARGUMENT ...]]",
        f".SH DESCRIPTION\n{_roff(parser.description or '')}",
        ".SH OPTIONS",
    ]
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.option_strings]
        if actions:
            lines.append(f".SS {_roff(group.title or '')}")
        lines += [f".TP\n.B {_roff(_flags(action))}\n{_roff(_help(action))}" for action in actions]
    head, _, rest = (parser.epilog or "").partition("\n\n")
    lines.append(f".SH EXAMPLES\n.nf\n{_roff(head.partition(chr(10))[2].replace(parser.prog, 'kvline-client'))}\n.fi")
    lines.append(f".SH ENVIRONMENT AND EXIT STATUS\n.nf\n{_roff(rest.strip())}\n.fi")
    return "\n".join(lines) + "\n"


def _options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    return (action for action in parser._actions if action.option_strings and action.help != argparse.SUPPRESS)


def _flags(action: argparse.Action) -> str:
    value = f" {action.metavar}" if action.metavar else ""
    return ", ".join(f"{flag}{value}" for flag in action.option_strings)


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")


def _roff(text: str) -> str:
    """Escape text for roff. A line must not begin with a dot or an apostrophe, which would be a request."""
    lines = text.replace("\\", "\\e").replace("-", "\\-").split("\n")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines)


def _fish_line(action: argparse.Action) -> str:
    flags = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in action.option_strings)
    value = " -r" + (" -F" if action.metavar in ("FILE", "PATH") else " -f") if action.metavar else ""
    description = _help(action).replace("\\", "\\\\").replace("'", "\\'")
    return f"complete -c kvline-client {flags}{value} -d '{description}'\n"
