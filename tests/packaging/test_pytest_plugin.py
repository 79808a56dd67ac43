"""The pytest plugin: its fixtures and its option, in test runs of their own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.harness.processes import ROOT
from tests.harness.waiting import TIMEOUT

PREAMBLE = """\
import socket
import pytest

def ask(kvline, line):
    with socket.create_connection((kvline.host, kvline.port), 60) as connection:
        connection.sendall(line + b"\\n")
        return connection.makefile("rb").readline().strip()
"""

RESTART = """
def test_restart(kvline):
    url = kvline.url
    assert ask(kvline, b"SET key value") == b"OK"
    kvline.END()
    assert not kvline.running
    with pytest.raises(OSError):
        ask(kvline, b"PING")
    kvline.start()
    assert kvline.running
    assert kvline.url == url
    assert ask(kvline, b"GET key") == b"(nil)"
    kvline.start()
    kvline.flush()
    assert ask(kvline, b"DBSIZE") == b"0"
"""

TESTS = {
    "a_test_gets_a_server_without_keys": """
@pytest.mark.parametrize("turn", [1, 2])
def test_increments(kvline, turn):
    assert ask(kvline, b"INCR visits") == b"1"
""",
    "the_server_of_the_session_keeps_its_keys": """
@pytest.mark.parametrize("turn", [1, 2])
def test_increments(kvline_server, turn):
    assert ask(kvline_server, b"INCR visits-of-the-session") == b"%d" % turn
""",
    "without_the_extra_http_the_url_is_an_error_that_names_it": """
import importlib.util
from kvline.testing import KvlineServer

def test_http_url(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with KvlineServer(log=tmp_path / "log") as server:
        with pytest.raises(RuntimeError, match=r'this server has no HTTP port: install "kvline\\[http\\]"'):
            server.http_url
        assert ask(server, b"PING") == b"PONG"
""",
    "a_server_that_was_stopped_starts_again_on_the_same_port": RESTART.replace("END", "stop"),
    "a_server_that_was_killed_starts_again_on_the_same_port": RESTART.replace("END", "kill"),
    "a_server_that_a_test_has_stopped_runs_in_the_next_test": """
@pytest.mark.parametrize("turn", [1, 2])
def test_stops_it(kvline, turn):
    assert ask(kvline, b"PING") == b"PONG"
    kvline.stop()
    kvline.stop()
    kvline.kill()
""",
    "a_port_that_is_given_is_the_only_one": """
from kvline.testing import KvlineServer

@pytest.mark.parametrize("form", ["--port {}", "--port={}"])
def test_port(tmp_path, form):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with KvlineServer(form.format(port).split(), log=tmp_path / "log") as server:
        assert server.port == port
        assert (tmp_path / "log").read_text().count("listening on 127.0.0.1:") == 1
""",
    "files_in_the_current_folder_are_not_imported_by_the_server": """
from kvline.testing import KvlineServer

def test_wrong_file(tmp_path, monkeypatch):
    (tmp_path / "socketserver.py").write_text("raise SystemExit('the wrong file was imported')")
    monkeypatch.chdir(tmp_path)
    with KvlineServer(log=tmp_path / "log") as server:
        assert ask(server, b"PING") == b"PONG"
""",
    "the_environment_does_not_change_the_server": """
import os

def test_it(kvline):
    assert os.environ["KVLINE_MAX_CLIENTS"] == "nonsense"
    assert ask(kvline, b"PING") == b"PONG"
""",
    "the_server_ends_with_the_session": """
def test_it(kvline):
    with open("port", "w") as file:
        file.write(str(kvline.port))
""",
}
"""Tests of a user, which run in one session and must pass."""


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the package as a wheel installs it."""
    folder = tmp_path_factory.mktemp("tree")
    subprocess.run([sys.executable, ROOT / "packaging" / "tree.py", folder], check=True, timeout=TIMEOUT)
    return folder


def variables(tree: Path) -> dict[str, str]:
    """Return the variables of a run with this plugin and no other."""
    return {
        "PYTHONPATH": str(tree),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_PLUGINS": "kvline.pytest_plugin",
        "KVLINE_MAX_CLIENTS": "nonsense",
    }


class Session(NamedTuple):
    """What a run of `TESTS` has printed, and the folder that it ran in."""

    output: str
    folder: Path

    def outcomes(self, name: str) -> set[str]:
        """Return how the tests of one module have ended."""
        found = defaultdict(set)
        for outcome, module in re.findall(r"^([A-Z]+) test_(\w+)\.py", self.output, re.MULTILINE):
            found[module].add(outcome)
        return found[name]


@pytest.fixture(scope="session")
def users_session(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Run all `TESTS` in one session."""
    folder = tmp_path_factory.mktemp("session")
    for name, source in TESTS.items():
        (folder / f"test_{name}.py").write_text(PREAMBLE + source)
    command = [sys.executable, "-m", "pytest", "-rA", "--color=no", "-p", "no:cacheprovider"]
    environ = os.environ | variables(tree)
    ended = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=2 * TIMEOUT, check=False
    )
    return Session(ended.stdout + ended.stderr, folder)


@pytest.mark.parametrize("name", TESTS)
def test_the_tests_of_a_user_pass(users_session: Session, name: str) -> None:
    assert users_session.outcomes(name) == {"PASSED"}, users_session.output


def test_the_server_ends_with_the_session(users_session: Session) -> None:
    port = int((users_session.folder / "port").read_text())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), TIMEOUT)


RunTests = Callable[..., pytest.RunResult]


@pytest.fixture
def run_tests(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tree: Path) -> RunTests:
    """Run the source of tests with options, in a process of its own."""
    for name, value in variables(tree).items():
        monkeypatch.setenv(name, value)

    def run(source: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(PREAMBLE + source)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options, timeout=TIMEOUT)

    return run


def test_the_addresses_are_those_of_the_server(run_tests: RunTests) -> None:
    pytest.importorskip("httptools", reason="the extra http is not installed")
    source = """
from urllib.request import ProxyHandler, build_opener

def test_addresses(kvline):
    assert kvline.url == f"redis://127.0.0.1:{kvline.port}/0"
    assert kvline.http_url.startswith("http://127.0.0.1:")
    assert ask(kvline, b"SET key value") == b"OK"
    assert build_opener(ProxyHandler({})).open(kvline.http_url + "/keys/key").read() == b"value"
"""
    run_tests(source).assert_outcomes(passed=1)


def test_the_option_passes_arguments_to_the_server(run_tests: RunTests) -> None:
    source = """
def test_settings(kvline):
    assert ask(kvline, b"ECHO " + b"x" * 100).startswith(b"(error) ERR Protocol error")
"""
    run_tests(source, "--kvline-args=--max-line 50 --log-level error").assert_outcomes(passed=1)


def test_a_bad_argument_is_an_error_with_the_sentence_of_the_server(run_tests: RunTests) -> None:
    result = run_tests("def test_it(kvline): pass", "--kvline-args=--port x")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E *RuntimeError: kvline did not start: *a port is a number from 0 to 65535*"])


def test_no_server_is_started_for_tests_that_use_none(run_tests: RunTests) -> None:
    source = """
import sys

def test_nothing():
    assert not {"server", "kvline.server"} & sys.modules.keys()
"""
    run_tests(source, "--kvline-args=--port x").assert_outcomes(passed=1)


def test_help_describes_the_option_and_the_fixtures(run_tests: RunTests) -> None:
    run_tests("", "--help").stdout.fnmatch_lines(["kvline:", "*--kvline-args=OPTIONS"])
    run_tests("", "--fixtures").stdout.fnmatch_lines(["kvline_server [[]session scope[]] *", "kvline -- *"])


def test_a_server_with_a_password_has_it_in_its_url(run_tests: RunTests) -> None:
    source = """
def test_password(kvline):
    assert ask(kvline, b"GET k") == b"(error) NOAUTH Authentication required."
    assert kvline.url == f"redis://:two%20words%2F1@127.0.0.1:{kvline.port}/0"
    assert ask(kvline, b'AUTH "two words/1"') == b"OK"
    assert ask(kvline, b'AUTH wrong').startswith(b"(error) WRONGPASS")
"""
    run_tests(source, "--kvline-password", "two words/1").assert_outcomes(passed=1)
