"""The options about a backing Redis, and the errors of invalid ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.backing_redis import StartRedis, backend, execute, execute_each, info, is_unavailable
from tests.harness.processes import ROOT, StartServer, run_server
from tests.harness.redis_server import HOST
from tests.harness.waiting import TIMEOUT


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--backend", "http://localhost"], "--backend must begin with one of redis://"),
        (["--backend", "localhost:6379"], "--backend must begin with one of redis://"),
        (["--backend", "redis://localhost:port"], "--backend must have hosts as host:port"),
        (["--backend", "redis://localhost:0"], "--backend must have hosts as host:port"),
        (["--backend", "redis://localhost:70000"], "--backend must have hosts as host:port"),
        (["--backend", "redis://localhost/one"], "--backend has a database that is not a number"),
        (["--backend", "redis://:secret"], "--backend must have hosts as host:port, and an @ after a password"),
        (["--backend", "redis://:secret@localhost/one"], "--backend has a database that is not a number"),
        (["--backend", "redis://localhost?retry_on_timeout=yes"], "--backend has an unknown option; known are"),
        (["--backend", "unix://"], "--backend needs the path of a socket after unix://"),
        (["--backend", "redis+cluster://one:1,:2"], "--backend must have hosts as host:port"),
        (["--backend", "redis+cluster://one:1/3"], "--backend must not select a database"),
        (["--backend", "redis://localhost#x"], "--backend contains a #, which must be written %23"),
        (["--backend", "redis+cluster://one:1", "--cache-tracking"], "cannot be a cluster with --cache-tracking"),
        (["--backend", "redis://localhost", "--backend-connections", "0"], "a number of at least 1, not '0'"),
        (["--backend", "redis://localhost", "--backend-timeout", "0"], "a number of seconds above 0"),
        (["--backend", "redis://localhost", "--backend-timeout", "nan"], "a number of seconds above 0"),
        (["--backend", "redis://localhost", "--cache-keys", "many"], "a number of at least 1, not 'many'"),
        (["--backend", "redis://localhost", "--cache-ttl", "-1"], "a number of seconds above 0"),
        (["--backend-connections", "5"], "--backend-connections needs --backend"),
        (["--backend-timeout", "5"], "--backend-timeout needs --backend"),
        (["--cache-keys", "5"], "--cache-keys needs --backend"),
        (["--cache-ttl", "5"], "--cache-ttl needs --backend"),
        (["--cache-tracking"], "--cache-tracking needs --backend"),
    ],
)  # fmt: skip
def test_an_invalid_option_is_an_error_of_one_sentence(options: list[str], said: str) -> None:
    ended = run_server("--port", "0", *options)
    assert ended.returncode == 2
    assert said in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stderr


@pytest.mark.parametrize("module", ["redis", "cachetools"])
def test_a_missing_package_is_an_error_that_names_the_extra(tmp_path: Path, module: str) -> None:
    (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError(\"No module named '{module}'\")\n")
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); from server.__main__ import main; sys.exit(main())"
    ended = subprocess.run(
        [sys.executable, "-c", program, tmp_path, "--port", "0", "--backend", "redis://localhost"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        cwd=ROOT,
        check=False,
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert f"--backend needs the extra 'proxy' (No module named '{module}')" in line


def test_without_a_backend_neither_redis_nor_cachetools_is_imported() -> None:
    program = (
        "import sys; import server.__main__; from server.app import Server; Server();"
        "sys.exit(bool({'redis', 'cachetools'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=TIMEOUT, check=True)


def test_info_reports_the_configuration(start_redis: StartRedis, start_server: StartServer) -> None:
    redis = start_redis()
    peer = start_server(*backend(redis, "--backend-connections", "7", "--backend-timeout", "2.5")).connect()
    section = info(peer, "backend")
    assert section == {
        "backend_url": f"redis://{HOST}:{redis.port}/0",
        "backend_connections": "7",
        "backend_timeout": "2.5",
        "backend_unavailable": "0",
        "backend_timed_out": "0",
    }


def test_info_of_a_server_without_a_backend_has_no_backend_section(start_server: StartServer) -> None:
    peer = start_server().connect()
    assert b"Backend" not in bytes(execute(peer, "INFO everything"))


# ---------------------------------------------------------------- the password

SECRET = "s3cret-p%40ss"
"""A password as it is in a URL."""

PLAIN = "s3cret-p@ss"


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        ("redis://{address}", {"KVLINE_BACKEND_PASSWORD": PLAIN}),
        ("redis://default@{address}", {"KVLINE_BACKEND_PASSWORD": PLAIN}),
        (f"redis://:{SECRET}@{{address}}", {"KVLINE_BACKEND_PASSWORD": "another"}),
        ("", {"KVLINE_BACKEND": f"redis://:{SECRET}@{{address}}"}),
    ],
    ids=["a variable", "with a user", "the URL's own", "the URL in a variable"],
)
def test_the_password_comes_from_the_environment_or_the_url(
    start_redis: StartRedis, start_server: StartServer, url: str, variables: dict[str, str]
) -> None:
    redis = start_redis()
    assert execute(redis.connect(), f"CONFIG SET requirepass {PLAIN}") == b"+OK\r\n"
    address = f"{HOST}:{redis.port}"
    options = ("--backend", url.format(address=address)) if url else ()
    environ = {name: text.format(address=address) for name, text in variables.items()}
    server = start_server("--port", "0", *options, **environ)
    assert execute(server.connect(), "SET key value") == b"+OK\r\n"
    assert "WARNING" not in server.log


def test_a_password_without_a_backend_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVLINE_BACKEND_PASSWORD", "s3cret")
    ended = run_server()
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].endswith("error: KVLINE_BACKEND_PASSWORD needs --backend")
    assert "s3cret" not in ended.stderr


@pytest.mark.parametrize("state", ["right", "wrong", "down"])
@pytest.mark.parametrize("source", ["URL", "variable"])
def test_the_password_is_in_no_reply_and_no_line_of_the_log(
    start_redis: StartRedis, start_server: StartServer, source: str, state: str
) -> None:
    redis = start_redis()
    assert execute(redis.connect(), f"CONFIG SET requirepass {PLAIN if state == 'right' else 'another'}") == b"+OK\r\n"
    if state == "down":
        redis.kill()
    login = f":{SECRET}@" if source == "URL" else ""
    server = start_server(
        *("--port", "0", "--log-level", "debug", "--cache-tracking"),
        shell=f"export KVLINE_BACKEND='redis://{login}{HOST}:{redis.port}'"
        + (f" KVLINE_BACKEND_PASSWORD='{PLAIN}'" if source == "variable" else ""),
    )
    peer = server.connect()
    for line in ("GET key", "SET key value", "WATCH key", "COMPACT", "DBSIZE"):
        assert is_unavailable(execute(peer, line)) == (state != "right")
    everything = execute_each(peer, "INFO everything", "CONFIG GET *", "CLIENT LIST", "SLOWLOG GET", "COMMAND DOCS")
    assert f"redis://{HOST}:{redis.port}" in repr(everything)
    assert "s3cret" not in repr(everything)
    assert ("WARNING" in server.log) == (state != "right")
    assert "s3cret" not in server.log
    command_line = Path(f"/proc/{server.process.pid}/cmdline").read_text()
    assert "s3cret" not in command_line
