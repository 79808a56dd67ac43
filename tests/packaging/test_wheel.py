"""The wheel, installed into a new environment and run beside a project that has packages called server and common."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

import pytest

from common import __version__
from tests.harness.installation import Environment, copy_sources, run, succeed
from tests.harness.processes import ROOT, Peer
from tests.harness.waiting import TIMEOUT, wait_until

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@contextmanager
def serving(*command: str | Path, cwd: Path) -> Iterator[list[str]]:
    """Run a server. Yield the addresses that it listens on, and check that it ends with status 0 after SIGTERM."""
    log = cwd / "server.log"
    wanted = sum(option.endswith("port") for option in map(str, command))
    with log.open("wb") as stderr, subprocess.Popen(command, cwd=cwd, stderr=stderr) as process:
        try:
            wait_until(
                lambda: log.read_text().count("listening on ") == wanted or process.poll() is not None,
                "the server listens",
            )
            yield re.findall(r"^listening on (\S+)$", log.read_text(), re.MULTILINE)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(TIMEOUT)
    assert process.returncode == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def test_the_wheel_installs_a_single_name(bare: Environment) -> None:
    assert {path.name for path in bare.site_packages.iterdir()} == {"kvline", f"kvline-{__version__}.dist-info"}


def test_the_wheel_has_every_module_of_the_checkout(wheel: Path) -> None:
    folders = [ROOT / name for name in ("client", "common", "server")]
    sources = [path for folder in folders for suffix in ("py", "lua") for path in folder.rglob(f"*.{suffix}")]
    carried = {f"kvline/{path.relative_to(ROOT)}" for path in sources}
    own = {f"kvline/{path.name}" for path in (ROOT / "packaging" / "kvline").glob("*.py")}
    with ZipFile(wheel) as archive:
        installed = {name for name in archive.namelist() if name.startswith("kvline/")}
    assert installed == carried | own


def test_the_wheel_has_the_extras_of_the_project(wheel: Path) -> None:
    assert EXTRAS.keys() == {"shell", "top", "http", "proxy", "scripts", "console", "all", "docs", "test"}
    with ZipFile(wheel) as archive:
        metadata = archive.read(f"kvline-{__version__}.dist-info/METADATA").decode()
    assert set(re.findall(r"^Provides-Extra: (\S+)$", metadata, re.MULTILINE)) == EXTRAS.keys()


def test_the_programs_run_beside_packages_with_the_names_of_its_parts(bare: Environment, project: Path) -> None:
    with serving(bare.programs / "kvline-server", "--port", "0", cwd=project) as addresses:
        port = addresses[0].rpartition(":")[2]
        client = bare.programs / "kvline-client"
        assert succeed(client, "--port", port, "SET", "key", "value", cwd=project) == "OK\n"
        module = [bare.python, "-m", "kvline", "client"]
        assert succeed(*module, "--port", port, "GET", "key", cwd=project) == "value\n"
    assert succeed(client, "--local", "PING", cwd=project) == "PONG\n"


def test_the_server_runs_as_a_module(bare: Environment, project: Path) -> None:
    with serving(bare.python, "-m", "kvline", "server", "--port", "0", cwd=project) as addresses:
        peer = Peer(int(addresses[0].rpartition(":")[2]))
        assert peer.ask(b"PING") == b"PONG"
        peer.close()


def test_the_users_own_packages_stay_importable_and_the_carried_ones_are_not(bare: Environment, project: Path) -> None:
    code = "import kvline.server.app, kvline.client.shell, server, common; print(server.OWNER, common.OWNER)"
    assert succeed(bare.python, "-c", code, cwd=project) == "the user the user\n"
    ended = run(bare.python, "-P", "-c", "import kvline.server.app, server", cwd=project)
    assert "No module named 'server'" in ended.stderr


def test_every_module_can_be_imported_without_a_module_outside_the_package(full: Environment, project: Path) -> None:
    for module, extra in (("redis", "proxy"), ("httptools", "http"), ("prompt_toolkit", "shell")):
        pytest.importorskip(module, reason=f"the extra {extra} is not installed")
    code = (
        "import importlib, pkgutil, sys, kvline\n"
        "names = [each.name for each in pkgutil.walk_packages(kvline.__path__, 'kvline.')]\n"
        "for name in names: importlib.import_module(name)\n"
        "assert len(names) > 100, names\n"
        "print({name.partition('.')[0] for name in sys.modules} & {'client', 'common', 'server'})"
    )
    assert succeed(full.python, "-P", "-c", code, cwd=project) == "set()\n"


def test_a_program_can_start_a_server_in_process(bare: Environment, project: Path) -> None:
    code = (
        "from kvline.server.app import Server\n"
        "from kvline.server.settings import Settings\n"
        "with Server(Settings(ports=(0,))) as server: print(*server.addresses)"
    )
    assert re.fullmatch(r"127\.0\.0\.1:\d+\n", succeed(bare.python, "-c", code, cwd=project))


def test_http_is_served_with_the_packages_of_its_extra(full: Environment, project: Path) -> None:
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    pytest.importorskip("httptools", reason="the extra http is not installed")
    options = ["--port", "0", "--http-port", "0"]
    with serving(full.python, "-m", "kvline", "server", *options, cwd=project) as (_, url):
        for path in ("/healthz", "/docs", "/openapi.json", "/metrics"):
            assert httpx.get(url + path, timeout=TIMEOUT).status_code == 200


def test_scripts_run_with_the_lua_files_of_the_wheel(full: Environment, project: Path) -> None:
    pytest.importorskip("lupa", reason="the extra scripts is not installed")
    command = [full.python, "-m", "kvline", "client", "--local", "--raw", "EVAL", "return cjson.encode({1})", "0"]
    assert succeed(*command, cwd=project) == "[1]\n"


def test_the_programs_name_themselves_as_they_were_started(bare: Environment) -> None:
    for command, name in (
        ([bare.programs / "kvline-server"], "kvline-server"),
        ([bare.programs / "kvline-client"], "kvline-client"),
        ([bare.python, "-m", "kvline", "server"], "python -m kvline server"),
        ([bare.python, "-m", "kvline", "client"], "python -m kvline client"),
    ):
        assert succeed(*command, "--help").startswith(f"usage: {name} ")
        assert succeed(*command, "--version") == f"kvline {__version__}\n"


def test_the_advice_to_start_a_server_names_the_installed_program(bare: Environment) -> None:
    for command, advice in (
        ([bare.programs / "kvline-client"], "kvline-server --port 1"),
        ([bare.python, "-m", "kvline", "client"], "python -m kvline server --port 1"),
    ):
        ended = run(*command, "--port", "1", "PING")
        assert ended.returncode == 1
        assert ended.stderr.endswith(f"Start one with {advice}\n")


def test_the_advice_for_a_missing_extra_names_the_pip_of_the_environment(bare: Environment) -> None:
    ended = run(bare.programs / "kvline-server", "--port", "0", "--http-port", "0")
    assert ended.returncode == 1
    assert ended.stderr.endswith(f'install it with {bare.python} -m pip install "kvline[http]"\n')


@pytest.mark.parametrize("args", [[], ["servr"], ["--port", "1"]])
def test_a_missing_or_unknown_program_gets_the_usage(bare: Environment, args: list[str]) -> None:
    ended = run(bare.python, "-m", "kvline", *args)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("usage: python -m kvline server [OPTION ...]\n")


def test_the_package_itself_has_help_and_a_version(bare: Environment) -> None:
    assert succeed(bare.python, "-m", "kvline", "--help").startswith("usage: python -m kvline server")
    assert succeed(bare.python, "-m", "kvline", "--version") == f"kvline {__version__}\n"
    assert succeed(bare.python, "-c", "import kvline; print(kvline.__version__)") == f"{__version__}\n"


def test_an_editable_installation_is_refused_in_one_sentence(wheel: Path, tmp_path: Path) -> None:
    assert wheel.exists(), "setuptools can build"
    ended = run(sys.executable, "setup.py", "--quiet", "editable_wheel", cwd=copy_sources(tmp_path))
    assert ended.returncode == 1
    assert ended.stderr == (
        "kvline has no editable installation, because its checkout runs without one: ./run_server.sh\n"
    )


def test_the_examples_of_the_manual_run(full: Environment, project: Path) -> None:
    pytest.importorskip("redis", reason="redis-py is not installed")
    manual = (ROOT / "docs" / "testing.md").read_text()
    first, second, *scripts = re.findall(r"^```python\n(.+?)^```", manual, re.MULTILINE | re.DOTALL)
    (project / "test_manual.py").write_text(f"import pytest\n{first}\n{second}")
    assert "2 passed" in full.run_pytest(cwd=project)
    assert [succeed(full.python, "-c", script, cwd=project).count("127.0.0.1:") for script in scripts] == [1, 1]


USERS_TESTS = """\
import os
import redis
import server, common
import pytest

def test_the_users_own_packages(kvline):
    assert (server.OWNER, common.OWNER) == ("the user", "the user")

@pytest.mark.parametrize("number", range(4))
def test_three_lines(kvline, number):
    client = redis.Redis.from_url(kvline.url)
    assert client.incr("visits") == 1

def test_worker(kvline_server):
    with open("ports", "a") as file:
        file.write(f"{kvline_server.port} {os.environ.get('PYTEST_XDIST_WORKER')}\\n")
"""


def test_the_fixture_serves_redis_py_in_the_users_project(full: Environment, project: Path) -> None:
    pytest.importorskip("redis", reason="redis-py is not installed")
    (project / "test_own.py").write_text(USERS_TESTS)
    report = full.run_pytest(cwd=project)
    assert "6 passed" in report


def test_each_worker_of_xdist_has_a_server_of_its_own(full: Environment, project: Path) -> None:
    pytest.importorskip("redis", reason="redis-py is not installed")
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    (project / "test_own.py").write_text(USERS_TESTS)
    assert "12 passed" in full.run_pytest("-n", "2", "--dist", "each", cwd=project)
    ports, workers = zip(*(line.split() for line in (project / "ports").read_text().splitlines()), strict=True)
    assert len(set(ports)) == 2
    assert set(workers) == {"gw0", "gw1"}
