"""The conversations and recipes of the README and of docs/client.md work, and what they name exists."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from scripts.command_table import DOCUMENT, document
from server.commands import COMMANDS
from tests.harness.processes import ROOT, ServerProcess, StartServer, environment
from tests.harness.terminal import ELAPSED_TIME
from tests.harness.waiting import TIMEOUT

README = ROOT / "README.md"
MAX_LINES = 200
SECTIONS = [
    "Install",
    "A 60-second tour",
    "Recipes",
    "Features, and how it compares",
    "Differences from Redis",
    "Guarantees under concurrency",
    "Design decisions",
    "About the exercises",
]
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
                assert ELAPSED_TIME.sub("", child.before or "") == ""
                child.sendline(text)
            child.expect_exact(f"{text or line}\r\n")
            assert child.before == ""
        child.expect(pexpect.EOF)
        assert child.before == ""
    finally:
        child.close(force=True)


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def section(name: str) -> str:
    """Return the text of a section of the README."""
    _, _, rest = README.read_text(encoding="utf-8").partition(f"\n## {name}\n")
    assert rest, f"the README has a section {name!r}"
    return rest.partition("\n## ")[0]


def run(command: list[str], folder: Path, **variables: str) -> str:
    """Run a command to its end. Return what it prints on both outputs."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    return (done.stdout + done.stderr).decode()


@pytest.mark.parametrize(("document", "least"), [("README.md", 4), ("docs/client.md", 13)])
def test_every_conversation_has_the_printed_output(here: tuple[ServerProcess, Path], document: str, least: int) -> None:
    server, folder = here
    for program in ("nc", "telnet", "redis-cli", "curl"):
        needs(program)
    held = 0
    for block in blocks(ROOT / document, "console"):
        for command, output in steps(with_ports(block, server)):
            held += 1
            if command in (f"./run_client.sh --port {server.port}", f"telnet 127.0.0.1 {server.port}"):
                replay_at_a_terminal(command, output, folder)
                continue
            shown = run(["bash", "-c", command], folder)
            # The document can't show whether the output of curl ends in a newline.
            assert shown.removesuffix("\n") == output.removesuffix("\n"), command
    assert held >= least


def test_the_requests_of_curl_have_the_printed_output(here: tuple[ServerProcess, Path]) -> None:
    needs("curl")
    server, folder = here
    rows = re.findall(r"^\| (\w+) \| `(curl .+?)` \| (?:`(.+)` )?\|$", section("Recipes"), re.MULTILINE)
    assert [command for command, _, _ in rows] == ["SET", "GET", "EXISTS", "DEL", "INCRBY"]
    for _, command, output in rows:
        assert run(["bash", "-c", with_ports(command, server)], folder).strip() == output, command


def recipe(beginning: str) -> str:
    """Return the block of Python that begins with this text."""
    (block,) = (each for each in blocks(README, "python") if each.startswith(beginning))
    return block


def test_the_recipe_for_redis_py_prints_what_its_comment_says(here: tuple[ServerProcess, Path]) -> None:
    pytest.importorskip("redis", reason="redis-py is not installed")
    server, folder = here
    source = recipe("import redis")
    (expected,) = re.findall(r"print\(.*\)  # (.+)", source)
    assert run([sys.executable, "-c", source.replace("9736", str(server.port))], folder) == f"{expected}\n"


def test_the_recipe_for_pytest_passes(tmp_path: Path) -> None:
    pytest.importorskip("redis", reason="redis-py is not installed")
    (tmp_path / "test_recipe.py").write_text(f"import redis\n\n{recipe('def test_visits')}")
    path = os.pathsep.join([str(ROOT), str(ROOT / "packaging")])
    options = ["-p", "kvline.pytest_plugin", "-p", "no:cacheprovider", "-q"]
    shown = run(
        [sys.executable, "-m", "pytest", *options], tmp_path, PYTHONPATH=path, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"
    )
    assert "1 passed" in shown


DJANGO = """
from django.conf import settings
settings.configure(CACHES=CACHES)
from django.core.cache import cache
cache.set("dict", {"a": 1}, timeout=60)
cache.set_many({"n": 1, "m": 2})
assert cache.get("dict") == {"a": 1} and cache.add("n", 5) is False and cache.incr("n") == 2
assert cache.get_many(["n", "m", "missing"]) == {"n": 2, "m": 2}
assert cache.touch("n", 10) and cache.delete("m") and not cache.has_key("m")
cache.clear()
assert cache.get("n") is None
"""


def test_the_recipe_for_django_is_a_cache(here: tuple[ServerProcess, Path]) -> None:
    pytest.importorskip("django", reason="Django is not installed")
    server, folder = here
    source = recipe("CACHES").replace("9736", str(server.port)) + DJANGO
    assert run([sys.executable, "-c", source], folder) == ""


def test_the_readme_is_short_and_its_sections_have_their_order() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MAX_LINES
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == SECTIONS


def test_commands_that_the_readme_calls_missing_are_missing() -> None:
    (bullet,) = re.findall(r"^- data types.+\n.+$", section("Differences from Redis"), re.MULTILINE)
    missing = set(re.findall(r"`([A-Z]+)`", bullet))
    assert {"LPUSH", "HSET", "SADD", "ZADD"} <= missing
    assert missing.isdisjoint(NAMES)


def test_what_the_table_of_the_exercises_names_exists() -> None:
    rows = re.findall(r"^\| .+? \| (.+?) \| (.*\.py.*) \|$", section("About the exercises"), re.MULTILINE)
    assert len(rows) > 10
    for place, tests in rows:
        folder = Path()
        for path in map(Path, re.findall(r"`(\S+\.py)`", tests)):
            folder = path.parent if path.parent != Path() else folder
            assert (ROOT / "tests" / folder / path.name).is_file(), path
        for path in re.findall(r"`(\w+/\S*)`", place):
            assert (ROOT / path).exists(), path


def test_the_page_of_commands_is_generated_from_the_command_table() -> None:
    assert DOCUMENT.read_text() == document(), "run: python -m scripts.command_table"


def test_what_the_comparison_of_clients_names_exists() -> None:
    text = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|.*\| `(test_\w+\.py)` \|$", text, re.MULTILINE)
    assert len(rows) > 10
    for name in rows:
        assert (ROOT / "tests" / "integration" / "client" / name).is_file(), name
