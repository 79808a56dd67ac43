"""A program that reads lines with the editor that the client chooses, and prints each line.

    python -m tests.harness.fake_terminal HISTORY [HIDDEN_MODULE ...]

The hidden modules cannot be imported.
"""

from __future__ import annotations

import sys
from pathlib import Path

USAGES = {
    "CLIENT": "CLIENT ID | LIST",
    "DEL": "DEL key [key ...]",
    "GET": "GET key",
    "GETDEL": "GETDEL key",
    "HELP": "HELP [command]",
    "SET": "SET key value [NX | XX] [GET]",
}


def main() -> None:
    history, *hidden_modules = sys.argv[1:]
    for name in hidden_modules:
        sys.modules[name] = None  # type: ignore[assignment]  # makes the import system raise ModuleNotFoundError
    from client.editors.line_editor import line_editor
    from client.history import History
    from client.shell.typed_line import contains_secret

    with line_editor(USAGES, History(Path(history), contains_secret), colours=True) as editor:
        print(f"at the {type(editor).__name__}")
        while True:
            try:
                print(f"got {editor.read('ask>')!a}.")
            except KeyboardInterrupt:
                print("interrupted")
            except EOFError:
                print("at the end")
                break


if __name__ == "__main__":
    main()
