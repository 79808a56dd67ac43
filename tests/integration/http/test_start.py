"""The start of the HTTP listener: its options, ports in use, and missing packages."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests.harness.http_wire import fetch, start_with_http
from tests.harness.processes import StartServer, run_server


def run_http_server(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a server with these options to its end, if the extra http is installed."""
    pytest.importorskip("httptools", reason="the extra http is not installed")
    return run_server(*options, **variables)


def test_each_listener_logs_its_address(start_server: StartServer) -> None:
    server = start_with_http(start_server)
    assert re.search(r"^listening on 127\.0\.0\.1:\d+\nlistening on http://127\.0\.0\.1:\d+\n\Z", server.log, re.M)


def test_http_is_off_by_default(start_server: StartServer) -> None:
    assert "http" not in start_server("--port", "0").log


def test_it_listens_on_ipv6(start_server: StartServer) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as problem:
        pytest.skip(f"no IPv6 here: {problem}")
    server = start_with_http(start_server, "--host", "::1")
    assert server.http_url.startswith("http://[::1]:")
    assert fetch("GET", server.http_url + "/healthz").status_code == 200
    assert "addr=[::1]:" in fetch("POST", server.http_url, json=["CLIENT", "INFO"]).text


@pytest.mark.parametrize("which", ["http", "tcp"])
def test_a_port_in_use_is_one_line_and_exit_status_1(which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = ("0", str(port)) if which == "http" else (str(port), "0")
        ended = run_http_server("--port", ports[0], "--http-port", ports[1])
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"kvline can't listen on 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.parametrize("package", ["httptools", "swagger_ui_bundle", "prometheus_client"])
def test_a_missing_package_is_one_line_that_names_the_extra(tmp_path: Path, package: str) -> None:
    (tmp_path / f"{package}.py").write_text(f"raise ImportError('no {package} here')\n")
    ended = run_http_server("--port", "0", "--http-port", "0", PYTHONPATH=str(tmp_path))
    assert (ended.returncode, ended.stdout) == (1, "")
    sentence = f"kvline can't start: --http-port needs the extra 'http' (no {package} here): install it with "
    assert re.fullmatch(rf'{re.escape(sentence)}\S+ -m pip install "\S+\[http\]"\n', ended.stderr)


def test_without_http_no_package_is_needed(start_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "httptools.py").write_text("raise ImportError('no httptools here')\n")
    server = start_server("--port", "0", shell=f"export PYTHONPATH={tmp_path}")
    assert server.connect().ask(b"PING") == b"PONG"


def test_an_invalid_token_in_the_environment_is_refused_by_name() -> None:
    ended = run_http_server("--port", "0", "--http-port", "0", KVLINE_HTTP_TOKEN="two words")
    assert ended.returncode == 2
    assert "KVLINE_HTTP_TOKEN: a token must be printable ASCII without blanks" in ended.stderr


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--http-port", "x"], "a port is a number from 0 to 65535, not 'x'"),
        (["--http-token", ""], "a token must be printable ASCII without blanks, and not empty"),
        (["--http-token", "two words"], "a token must be printable ASCII without blanks"),
        (["--http-cors", "example.org"], "an origin is * or like https://example.org, not 'example.org'"),
        (["--http-cors", "https://example.org/path"], "an origin is * or like https://example.org"),
        (["--http-max-body", "0"], "a limit is a number of bytes, at least 1, not '0'"),
    ],
)
def test_an_invalid_option_is_refused_by_name(options: list[str], complaint: str) -> None:
    ended = run_http_server(*options)
    assert ended.returncode == 2
    assert complaint in ended.stderr
