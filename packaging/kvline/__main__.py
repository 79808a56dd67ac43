"""The programs of an installed kvline or of kvline.pyz: ``python -m kvline server|client [OPTION ...]``."""

from __future__ import annotations

import sys

from common import __version__
from common.program import program_name

USAGE = f"""\
usage: {program_name("server")} [OPTION ...]
       {program_name("client")} [OPTION ...] [COMMAND [ARGUMENT ...]]

--help after "server" or "client" lists the options.
"""


def main() -> int:
    """Run the program that the first argument names with the other arguments. Return the exit status."""
    # Only the code of one program is loaded.
    match sys.argv[1:]:
        case ["server", *args]:
            from server.__main__ import main as serve  # noqa: PLC0415

            return serve(args)
        case ["client", *args]:
            from client.main import main as run_client  # noqa: PLC0415

            return run_client(args)
        case ["--version"]:
            print(f"kvline {__version__}")
        case ["--help" | "-h"]:
            print(USAGE, end="")
        case _:
            print(USAGE, end="", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
