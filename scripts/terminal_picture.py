"""Draw docs/terminal.svg from a real run of the server, the client and netcat.

    .venv/bin/python -m scripts.terminal_picture      rewrites the picture; needs pexpect and nc

The server listens on a free port. The picture shows the default port instead.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import pexpect

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "terminal.svg"
TIMEOUT = 30.0
"""Seconds that the server or a program may take until its next output."""

DEFAULT_PORT = "9736"
SERVER = "./run_server.sh --log-level warning"
STEPS = (
    (
        "./run_client.sh",
        (
            'SET greeting "hello world"',
            "INCR visits",
            "INCR greeting",
            "MULTI",
            "INCRBY visits 10",
            "GET greeting",
            "EXEC",
            "DISCONNECT",
        ),
    ),
    (r"printf 'GET visits\nCOMPACT\nQUIT\n' | nc 127.0.0.1 9736", ()),
)
"""Each command of a shell, and the lines that are typed at the prompt of the program that it starts."""

PROMPT = re.compile(r"^(\$ |127\.0\.0\.1:\d+(?:\(TX\))?> )")
ELAPSED_TIME = re.compile(r"^\(\d+\.\d\d s\)\r?\n", re.MULTILINE)
"""What the prompt prints after a slow reply. On a busy machine any reply is slow."""

MARGIN, LINE_HEIGHT, CHARACTER_WIDTH, COLUMNS = 20, 20, 8.5, 66
STYLE = """\
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #c9d1d9 }
.prompt { fill: #7ee787 }
.typed { fill: #ffffff; font-weight: 600 }
"""


def record() -> list[str]:
    """Run the server and the steps. Return the lines that a terminal shows."""
    with TemporaryDirectory() as folder:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("KVLINE_")}
        variables |= {"TERM": "dumb", "KVLINE_HISTORY": str(Path(folder) / "history")}
        with _server(variables) as (listening, port):
            shown = [f"$ {SERVER} &", listening]
            for command, typed in STEPS:
                shown += [f"$ {command}", *_run(command, typed, port, variables)]
    return [line.replace(f"127.0.0.1:{port}", f"127.0.0.1:{DEFAULT_PORT}") for line in shown]


@contextmanager
def _server(variables: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the first line that the server prints, and its port. Raises `RuntimeError` if it does not start."""
    args = [*SERVER.split(), "--port", "0"]
    with subprocess.Popen(args, cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            line = process.stderr.readline().rstrip()
            if not line.startswith("listening on "):
                raise RuntimeError(f"the server did not start: {line}")
            yield line, line.rpartition(":")[2]
        finally:
            process.terminate()


def _run(command: str, typed: tuple[str, ...], port: str, variables: dict[str, str]) -> list[str]:
    """Run a command at a pseudo-terminal, type the lines, and return what the terminal shows."""
    command = command.replace(DEFAULT_PORT, port).replace("./run_client.sh", f"./run_client.sh --port {port}")
    child = pexpect.spawn("sh", ["-c", command], cwd=ROOT, encoding="utf-8", timeout=TIMEOUT, env=variables)
    shown = ""
    try:
        for line in typed:
            child.expect("> ")
            shown += child.before + child.after
            child.sendline(line)
            child.expect_exact(f"{line}\r\n")
            shown += child.before + child.after
        child.expect(pexpect.EOF)
        return ELAPSED_TIME.sub("", shown + child.before).splitlines()
    finally:
        child.close(force=True)


def picture(lines: list[str]) -> str:
    """Return the SVG of a terminal that shows the lines."""
    width = round(2 * MARGIN + COLUMNS * CHARACTER_WIDTH)
    height = 2 * MARGIN + len(lines) * LINE_HEIGHT
    rows = [_row(line, MARGIN + (number + 0.75) * LINE_HEIGHT) for number, line in enumerate(lines)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img">',
            "<title>A terminal: the server is started, then the client and netcat send commands</title>",
            f"<style>\n{STYLE}</style>",
            '<rect width="100%" height="100%" rx="8" fill="#0d1117"/>',
            *rows,
            "</svg>\n",
        ]
    )


def _row(line: str, y: float) -> str:
    _, prompt, rest = PROMPT.split(line) if PROMPT.match(line) else ("", "", line)
    content = f'<tspan class="prompt">{escape(prompt)}</tspan><tspan class="typed">' if prompt else "<tspan>"
    return f'<text x="{MARGIN}" y="{y:g}" xml:space="preserve">{content}{escape(rest, quote=False)}</tspan></text>'


if __name__ == "__main__":
    PICTURE.write_text(picture(record()), encoding="utf-8")
