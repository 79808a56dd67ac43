"""Make the table of libraries in docs/libraries.md: ``python -m scripts.library_table`` rewrites it.

    python -m scripts.library_table [--check] [NAME ...]

It installs the libraries that libraries.toml names, in their pinned versions, into .venv-libraries (pip and npm). It
starts a kvline, runs a program for each library against it, and writes what works. If there is a redis-server, each
program is run against it too, and a check that fails there as well is marked. --check compares the tables with the
document instead of writing them. With names of packages, it prints the rows of these only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

from scripts.demo_tcp import ROOT, own_server
from scripts.scratch_venv import scratch_venv

FOLDER = Path(__file__).parent
DOCUMENT = ROOT / "docs" / "libraries.md"
BEGIN = "<!-- libraries: made by `python -m scripts.library_table` -->\n"
END = "<!-- end of libraries -->"
TIMEOUT = 120
"""Seconds for a program. Each of its checks has a time limit of its own, so only a hang takes that long."""

NPM_OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--silent")

MAX_REASON = 80
"""Characters of an error that is not recognized."""

CAUSES = {
    r"unknown command '(\w+)'": lambda found: _missing(found[1].upper()),
    r"unknown subcommand 'TRACKING\w*'": lambda _: "`CLIENT TRACKING`",
    r"DB index is out of range": lambda _: "databases",
    r"supported by (Redis 7.4 or later)": lambda found: f"a server that reports {found[1]}",
}
"""Errors, and what a library needs that has them."""

TYPES = {
    "lists": "LLEN LPUSH LRANGE RPUSH BRPOP BLPOP",
    "hashes": "HDEL HGET HGETALL HMGET HMSET HSET HSETNX",
    "sets": "SADD SMEMBERS",
    "sorted sets": "ZADD ZCARD ZRANGE",
    "streams": "XADD XREAD",
    "scripts": "EVAL EVALSHA SCRIPT",
}
"""Commands by what they are for."""


class Server(NamedTuple):
    """A server that the programs are run against."""

    port: int
    http_url: str
    """Empty for a Redis."""

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    def flush(self) -> None:
        """Delete all keys, of all databases."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            connection.recv(64)


class Environment(NamedTuple):
    """What the programs are run with."""

    python: Path
    node: Path
    """A folder with node_modules and the programs."""


def main(arguments: list[str]) -> int:
    """Make the table. Return the exit status."""
    names = [each for each in arguments if each != "--check"]
    groups = tomllib.loads((FOLDER / "libraries.toml").read_text(encoding="utf-8"))["group"]
    python = scratch_venv("libraries", FOLDER / "requirements.txt")
    environment = Environment(python, _node_folder(python.parents[1] / "node"))
    with ExitStack() as stack:
        kvline = stack.enter_context(own_server())
        servers = [Server(kvline.port, kvline.http_url)]
        if redis := shutil.which("redis-server"):
            servers.append(stack.enter_context(_redis(redis)))
        versions = _versions(environment)
        parts = []
        for group in groups:
            chosen = [each for each in group["libraries"] if not names or each["package"] in names]
            if chosen:
                parts.append(_table(group["name"], chosen, environment, servers, versions))
    if names:
        print("\n".join(parts))
        return 0
    document = DOCUMENT.read_text(encoding="utf-8")
    before, rest = document.split(BEGIN)
    text = before + BEGIN + "\n" + "\n".join(parts) + "\n" + END + rest.split(END)[1]
    if "--check" not in arguments:
        DOCUMENT.write_text(text, encoding="utf-8")
    elif text != document:
        print("\n".join(parts), "FAILED: docs/libraries.md has other rows", sep="\n")
        return 1
    return 0


def _table(
    name: str,
    libraries: list[dict[str, Any]],
    environment: Environment,
    servers: list[Server],
    versions: dict[str, str],
) -> str:
    """Return the rows of a group. Programs for one package are one row."""
    with ThreadPoolExecutor(len(servers)) as executor:
        # One program at a time for each server, because the programs use the same keys.
        outcomes = list(executor.map(lambda server: [_run(each, environment, server) for each in libraries], servers))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for index, library in enumerate(libraries):
        shown = library.get("name", library["package"])
        kind = "PyPI" if library.get("program", "").endswith(".py") else "npm"
        reference = outcomes[1][index] if len(outcomes) > 1 else {}
        checks = rows.setdefault((shown, versions[f"{kind} {library['package'].lower()}"] + f" ({kind})"), {})
        for check, error in outcomes[0][index].items():
            checks[check] = error and _reason(error) + (" (Redis 7.0 fails too)" if reference.get(check) else "")
    lines = [f"## {name.capitalize()}", "", "| library | version | verdict | what works | what does not |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for (shown, version), checks in rows.items():
        works = ", ".join(check for check, reason in checks.items() if not reason)
        fails = "; ".join(f"{check}: {reason}" for check, reason in checks.items() if reason)
        verdict = "works" if not fails else "works in part" if works else "does not work"
        lines.append(f"| {shown} | {version} | {verdict} | {works} | {fails} |")
    return "\n".join([*lines, ""])


def _run(library: dict[str, Any], environment: Environment, server: Server) -> dict[str, str]:
    """Run the program of a library. Return the error of each check, which is empty if it works."""
    server.flush()
    if library.get("http") and not server.http_url:
        return {}
    if script := library.get("script"):
        done = _execute(["node", ROOT / script, str(server.port)], environment, server)
        return {library["check"]: "" if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"}
    program = library["program"]
    if program.endswith(".py"):
        command = [environment.python, FOLDER / "run_program.py", FOLDER / "programs" / program]
    else:
        command = ["node", environment.node / "run_program.mjs", environment.node / program]
    done = _execute([*command, server.url], environment, server)
    checks = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith('["'))
    if not checks:
        raise RuntimeError(f"{program} has no result: {done.stderr[-2000:]}")
    return {check: error or "" for check, error in checks.items()}


def _execute(command: list[str | Path], environment: Environment, server: Server) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        cwd=environment.node,
        env=os.environ
        | {
            "KVLINE_HTTP_URL": server.http_url,
            "NODE_NO_WARNINGS": "1",
            "NODE_PATH": str(environment.node / "node_modules"),
            "PYTHONPATH": "",  # a library must not import a package of the checkout
            "PYTHONWARNINGS": "ignore",
        },
    )


def _reason(error: str) -> str:
    """Return what a library needs, or its error in a few words."""
    for pattern, describe in CAUSES.items():
        if found := re.search(pattern, error):
            return f"needs {describe(found)}"
    text = re.sub(r"[|\s]+", " ", error.partition(":")[0] if "<" in error else error)
    return text[:MAX_REASON].rstrip(" :;")


def _missing(command: str) -> str:
    return next((name for name, commands in TYPES.items() if command in commands.split()), f"`{command}`")


def _node_folder(folder: Path) -> Path:
    """Return a folder with the npm packages of package-lock.json and the programs for node."""
    folder.mkdir(exist_ok=True)
    lock = (FOLDER / "package-lock.json").read_text(encoding="utf-8")
    installed = folder / "package-lock.json"
    if not installed.exists() or installed.read_text(encoding="utf-8") != lock:
        shutil.copy(FOLDER / "package.json", folder)
        (folder / "package-lock.json").write_text(lock, encoding="utf-8")
        try:
            subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True
            )
        except BaseException:
            installed.unlink()
            raise
    for program in [FOLDER / "run_program.mjs", *(FOLDER / "programs").glob("*.mjs")]:
        shutil.copy(program, folder)  # node looks for packages in the folders above a program
    return folder


def _versions(environment: Environment) -> dict[str, str]:
    """Return the version of each package, by registry and name."""
    (site_packages,) = environment.python.parents[1].glob("lib/python*/site-packages")
    python = {f"PyPI {each.name.lower()}": each.version for each in distributions(path=[str(site_packages)])}
    lock = json.loads((FOLDER / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    node = {
        f"npm {name.removeprefix('node_modules/').lower()}": entry.get("version", "") for name, entry in lock.items()
    }
    return python | node


@contextmanager
def _redis(program: str) -> Iterator[Server]:
    """Run a Redis on a free port, for comparison."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--port", str(port), "--save", "", "--bind", "127.0.0.1"]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    server = Server(port, "")
    try:
        for _ in range(600):
            try:
                server.flush()
                break
            except OSError:
                time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.wait(TIMEOUT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
