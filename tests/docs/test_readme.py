"""The README's conversations are held, and its table of commands is the server's."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from scripts.command_table import DOCUMENT, document
from server.commands import COMMANDS
from tests.harness.processes import ROOT, ServerProcess, StartServer, environment
from tests.harness.waiting import TIMEOUT

README = ROOT / "README.md"
BLOCKS = re.findall(r"^```console\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
NAMES = {command.name.decode() for command in COMMANDS}
LINE_AFTER_PROMPT = re.compile(r"^(\S+> )(.*)$")


@pytest.fixture
def here(start_server: StartServer, tmp_path: Path) -> tuple[ServerProcess, Path]:
    """A server, and a folder that looks like the checkout but may be written to."""
    (tmp_path / "run_client.sh").symlink_to(ROOT / "run_client.sh")
    return start_server("--port", "0", "--http-port", "0", ports=2), tmp_path


def with_ports(text: str, server: ServerProcess) -> str:
    """Replace the default ports by those of the test, also in commands that do not name the port."""
    text = text.replace("9736", str(server.port)).replace("http://127.0.0.1:9780", server.http_url)
    return text.replace("./run_client.sh", f"./run_client.sh --port {server.port}").replace("curl ", "curl -sS ")


def steps(block: str) -> Iterator[tuple[str, str]]:
    """Yield each shell command of a block with the output after it."""
    for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = step.partition("\n")
        yield command, output


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def typed(line: str, *, prompts: bool) -> str | None:
    """Return what was typed on this line of a terminal, or None if it is output."""
    if prompts:
        prompt = LINE_AFTER_PROMPT.match(line)
        return prompt[2] if prompt else None
    return line if line.split(" ", maxsplit=1)[0] in NAMES else None


def replay_at_a_terminal(command: str, output: str, folder: Path) -> None:
    """Type the input of the block, and expect the terminal to show the block, line by line."""
    child = pexpect.spawn(
        "bash", ["-c", command], cwd=folder, encoding="utf-8", timeout=TIMEOUT, env=environment(TERM="dumb")
    )
    try:
        for line in output.splitlines():
            text = typed(line, prompts="run_client" in command)
            if text is not None:
                child.expect_exact(line.removesuffix(text))
                assert child.before == ""
                child.sendline(text)
            child.expect_exact(f"{text or line}\r\n")
            assert child.before == ""
        child.expect(pexpect.EOF)
        assert child.before == ""
    finally:
        child.close(force=True)


def test_every_example_of_the_readme_has_the_printed_output(here: tuple[ServerProcess, Path]) -> None:
    server, folder = here
    for program in ("nc", "telnet", "redis-cli", "curl"):
        needs(program)
    held = 0
    for block in BLOCKS:
        for command, output in steps(with_ports(block, server)):
            held += 1
            if command in (f"./run_client.sh --port {server.port}", f"telnet 127.0.0.1 {server.port}"):
                replay_at_a_terminal(command, output, folder)
                continue
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT,
                check=False,
            )
            shown = (done.stdout + done.stderr).decode()
            # The document can't show whether the output of curl ends in a newline.
            assert shown.removesuffix("\n") == output.removesuffix("\n"), command
    assert held >= 13


def test_the_page_of_commands_is_generated_from_the_command_table() -> None:
    assert DOCUMENT.read_text() == document(), "run: python -m scripts.command_table"
