"""The options of the client: where the server is, forms of replies, repetition, batches."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from client.batch.progress import DELAY
from tests.harness.any_server import AnyServer, ask
from tests.harness.backing_redis import new_redis
from tests.harness.fake_redis import FakeRedis
from tests.harness.processes import RUN_CLIENT, environment, run_client
from tests.harness.terminal import ClientTerminal
from tests.harness.waiting import TIMEOUT, wait_until


def run_on(server: AnyServer, *args: str | bytes, lines: bytes = b"", status: int = 0) -> bytes:
    """Run the client to its end. Return what it printed."""
    ended = run_client("-p", str(server.port), *args, lines=lines)
    assert ended.returncode == status, ended.stderr
    return ended.stdout


# ---------------------------------------------------------------- where the server is


def test_the_address_may_be_options_or_a_url(target: AnyServer) -> None:
    for options in (
        ["-h", "127.0.0.1", "-p", str(target.port)],
        ["-u", f"redis://127.0.0.1:{target.port}"],
        ["--url", f"redis://127.0.0.1:{target.port}/0"],
    ):
        assert run_client(*options, "ECHO", "1").stdout == b"1\n"


@pytest.mark.parametrize("name", ["KVLINE_URL", "REDIS_URL"])
def test_the_address_may_be_in_the_environment(target: AnyServer, name: str) -> None:
    assert run_client("ECHO", "1", **{name: f"redis://127.0.0.1:{target.port}"}).stdout == b"1\n"
    assert run_on(target, "ECHO", "1") == b"1\n"
    ended = run_client("-p", str(target.port), "ECHO", "1", **{name: "redis://nowhere.invalid:1"})
    assert ended.stdout == b"1\n", "an option that says where the server is replaces the whole URL"


def test_the_database_is_selected(target: AnyServer) -> None:
    ended = run_client("-p", str(target.port), "-n", "99", "PING")
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert ended.stderr.startswith(b"kvline: SELECT failed: ERR DB index is out of range")
    assert b" db=3 " in run_on(target, "-n", "3", "CLIENT", "INFO")
    assert b" db=3 " in run_client("-u", f"redis://127.0.0.1:{target.port}/3", "CLIENT", "INFO").stdout


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["-u", "http://x"], "a URL begins with redis://"),
        (["-u", "redis://user:secret@h:x"], "a port is a number"),
        (["-n", "x"], "a number from 0 on"),
        (["-i", "x", "PING"], "a number of seconds"),
        (["-x"], "-x needs a command"),
        (["--raw", "--json", "PING"], "not allowed with"),
        (["--nope"], "unrecognized arguments"),
    ],
)
def test_a_wrong_option_gives_exit_status_2_and_shows_no_password(options: list[str], problem: str) -> None:
    ended = run_client(*options)
    assert ended.returncode == 2
    assert problem in ended.stderr.decode()
    assert b"secret" not in ended.stderr


def test_help_is_grouped_and_has_examples() -> None:
    shown = run_client("--help").stdout.decode()
    for head in ("where the server is", "how replies are printed", "one command", "a batch", "tools", "examples"):
        assert re.search(rf"^{head}.*:$", shown, re.MULTILINE), head


# ---------------------------------------------------------------- forms


def test_raw_prints_bytes_as_they_are_and_one_line_end(target: AnyServer) -> None:
    value = bytes(range(256))
    ask(target, b"SET", b"key", value)
    assert run_on(target, "--raw", "GET", "key") == value + b"\n"
    assert run_on(target, "--raw", "MGET", "key", "nokey") == value + b"\n\n"
    assert run_on(target, "--raw", "INCR", "n") == b"1\n"


def test_json_prints_one_line_per_reply(target: AnyServer) -> None:
    ask(target, b"MSET", b"text", 'a "ключ"\n'.encode(), b"bytes", b"\xff\x00")
    assert json.loads(run_on(target, "--json", "MGET", "text", "bytes", "nokey")) == [
        'a "ключ"\n',
        {"base64": "/wA="},
        None,
    ]
    assert json.loads(run_on(target, "--json", "CONFIG", "GET", "slowlog-max-len")) == {"slowlog-max-len": "128"}
    assert "error" in json.loads(run_on(target, "--json", "NOPE", status=1))
    shown = run_on(target, "--json", lines=b"INCR n\nPING\nGET text\n").splitlines()
    assert list(map(json.loads, shown)) == [1, "PONG", 'a "ключ"\n']


def test_csv_prints_one_row_per_reply(target: AnyServer) -> None:
    ask(target, b"MSET", b"a", b'say "hi", twice', b"b", b"2")
    assert run_on(target, "--csv", "MGET", "a", "b", "nokey") == b'"say ""hi"", twice","2",\n'
    assert run_on(target, "--csv", "INCR", "n") == b"1\n"


# ---------------------------------------------------------------- one command


def test_x_appends_standard_input_as_it_is(target: AnyServer) -> None:
    value = bytes(range(256)) * 1000 + b"\n"
    assert run_on(target, "-x", "SET", "key", lines=value) == b"OK\n"
    assert run_on(target, "--raw", "GET", "key") == value + b"\n"


def test_r_repeats_the_command(target: AnyServer) -> None:
    assert run_on(target, "-r", "3", "-i", "0.01", "INCR", "n") == b"1\n2\n3\n"
    assert run_on(target, "-r", "2", "-e", "NOPE", status=1).count(b"\n") == 2


def test_an_interval_alone_repeats_until_ctrl_c(target: AnyServer) -> None:
    command = [RUN_CLIENT, "-p", str(target.port), "-i", "0.01", "INCR", "n"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as client:
        assert client.stdout is not None
        assert [client.stdout.readline() for _ in range(5)] == [b"%d\n" % number for number in range(1, 6)]
        client.send_signal(signal.SIGINT)
        client.stdout.read()
        assert client.wait(TIMEOUT) == 130


def test_monitor_as_one_command_streams_until_ctrl_c(target: AnyServer) -> None:
    with subprocess.Popen(
        [RUN_CLIENT, "-p", str(target.port), "MONITOR"], stdout=subprocess.PIPE, env=environment()
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"OK\n"
        ask(target, b"SET", b"key", b"1")
        assert client.stdout.readline().endswith(b'"SET" "key" "1"\n')
        client.send_signal(signal.SIGINT)
        assert client.wait(TIMEOUT) == 130


def test_shutdown_gives_exit_status_0(mortal_target: AnyServer) -> None:
    assert run_on(mortal_target, "SHUTDOWN", "NOSAVE") == b""


# ---------------------------------------------------------------- batches


def run_batch(server: AnyServer, path: Path, *options: str) -> tuple[int, bytes, list[str]]:
    """Run a file. Return the exit status, standard output, and the lines on standard error without the time."""
    ended = run_client("-p", str(server.port), "--file", str(path), *options)
    errors = re.sub(r", \d+\.\d\d s$", "", ended.stderr.decode(), flags=re.MULTILINE).splitlines()
    return ended.returncode, ended.stdout, [line.removeprefix("kvline: ") for line in errors]


LINES = "# a comment\nSET a 1\n\nINCR a\nNOPE\nSET b 'two words'\nINCR b\n"


def test_a_file_is_a_batch_with_a_summary(target: AnyServer, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text(LINES)
    status, printed, errors = run_batch(target, path)
    assert status == 1
    assert printed.splitlines()[:2] == [b"OK", b"2"]
    assert len(printed.splitlines()) == 5, "errors are in order among the replies, too"
    assert errors[0].startswith("line 5: ERR unknown command")
    assert errors[1:] == ["line 7: ERR value is not an integer or out of range", "7 lines, 2 errors"]
    assert run_batch(target, path, "--quiet")[1] == b""


def test_nothing_is_executed_after_the_first_error_with_stop_on_error(target: AnyServer, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text(LINES)
    status, _, errors = run_batch(target, path, "--stop-on-error")
    assert status == 1
    assert errors[0].startswith("line 5: ERR unknown command")
    assert errors[1:] == ["5 lines, 1 error"]
    assert ask(target, b"EXISTS", b"a", b"b") == b":1\r\n"


def test_an_error_in_a_transaction_counts(target: AnyServer) -> None:
    ended = run_client("-p", str(target.port), lines=b"SET a x\nMULTI\nINCR a\nEXEC\n")
    assert ended.returncode == 1
    assert ended.stderr.startswith(b"kvline: line 4: ERR value is not an integer")


@pytest.mark.parametrize("number", [1, 2, 3, 999, 5000, 9999, 10_001])
def test_resume_begins_with_a_line(target: AnyServer, tmp_path: Path, number: int) -> None:
    path = tmp_path / "lines"
    path.write_text("".join(f"SET k{line} {line}\n" for line in range(1, 10_001)))
    status, printed, errors = run_batch(target, path, "--resume", str(number))
    count = 10_001 - number
    assert (status, printed) == (0, b"OK\n" * count)
    assert errors == [f"{count:,} lines, 0 errors"]
    if count:
        assert ask(target, b"GET", b"k%d" % number) == b"$%d\r\n%d\r\n" % (len(str(number)), number)
    assert ask(target, b"EXISTS", b"k%d" % (number - 1)) == b":0\r\n"


def test_an_interrupted_batch_says_how_many_lines_are_confirmed(tmp_path: Path) -> None:
    seen: list[int] = []

    def reply(_: object) -> bytes:
        seen.append(1)
        return b"+OK\r\n" if len(seen) <= 3 else b""

    fake = FakeRedis({b"SET": reply})
    path = tmp_path / "lines"
    path.write_text("SELECT 5\n" + "SET a 1\n" * 10)
    command = [RUN_CLIENT, "-p", str(fake.port), "--file", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as client:
        assert client.stdout is not None
        assert client.stderr is not None
        assert client.stdout.read(12) == b"OK\n" * 4
        wait_until(lambda: len(seen) == 10, "all requests have arrived")
        client.send_signal(signal.SIGINT)
        advice = b"4 lines confirmed; continue with --resume 5 --database 5"
        assert client.stderr.read() == b"kvline: interrupted. " + advice + b"\n"
        assert client.wait(TIMEOUT) == 130
    fake.close()


def test_a_batch_whose_server_is_killed_is_resumed_from_the_beginning_of_its_transaction(
    mortal_target: AnyServer,
) -> None:
    command = [RUN_CLIENT, "-p", str(mortal_target.port)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment()) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stderr is not None
        client.stdin.write(b"SET a 1\nMULTI\nSET b 1\n")
        client.stdin.flush()
        assert [client.stdout.readline() for _ in range(3)] == [b"OK\n", b"OK\n", b"QUEUED\n"]
        mortal_target.kill()
        assert client.stderr.read().endswith(b". 1 lines confirmed; continue with --resume 2\n")
        assert client.wait(TIMEOUT) == 1


def test_a_missing_file_is_an_error(target: AnyServer) -> None:
    ended = run_client("-p", str(target.port), "--file", "/no/such/file")
    assert (ended.returncode, ended.stderr) == (1, b"kvline: /no/such/file: No such file or directory\n")


def test_lines_of_all_kinds_are_executed_in_order(target: AnyServer) -> None:
    """Lines that are encoded together, lines with quotes, and commands that change the connection."""
    lines, expected = [], []
    for number in range(3000):
        match number % 7:
            case 0:
                lines.append(f"ECHO {number}")
            case 1:
                lines.append(f"ECHO '{number}'")
            case 2:
                lines.append(f"  echo\t{number}  ")
            case 3:
                lines += ["CLIENT REPLY SKIP", f"ECHO skipped{number}", "", "# comment", f"ECHO {number}\r"]
            case 4:
                lines += [f"ECHO {number}"] * 50
                expected += [str(number)] * 49
            case 5:
                lines += ["MULTI", f"ECHO {number}", "DISCARD", f"ECHO {number}"]
                expected += ["OK", "QUEUED", "OK"]
            case 6:
                lines.append(f"ECHO {number} extra" if number % 2 else f"ECHO {number}")
        expected.append("(error)" if number % 7 == 6 and number % 2 else str(number))
    ended = run_client("-p", str(target.port), lines="\n".join(lines).encode())
    assert [line.split()[0] for line in ended.stdout.decode().splitlines()] == expected
    failing = [number for number, line in enumerate(lines, 1) if line.endswith("extra")]
    assert list(map(int, re.findall(r"line (\d+):", ended.stderr.decode()))) == failing


def test_replies_go_to_a_terminal_in_colour_and_to_a_pipe_in_text(target: AnyServer) -> None:
    assert b"\x1b" not in run_on(target, "GET", "nokey")


def test_stdout_that_is_closed_early_gives_no_traceback(target: AnyServer) -> None:
    script = f"{RUN_CLIENT} -p {target.port} -r 100000 PING | head -1"
    ended = subprocess.run(
        ["sh", "-c", script], capture_output=True, timeout=TIMEOUT, env=os.environ | environment(), check=False
    )
    assert (ended.stdout, ended.stderr) == (b"PONG\n", b"")


def test_a_long_batch_has_a_progress_bar_at_a_terminal(tmp_path: Path) -> None:
    pytest.importorskip("prompt_toolkit", reason="prompt_toolkit is optional")
    began, released = time.monotonic(), threading.Event()

    def reply(_: object) -> bytes:
        released.wait(TIMEOUT)
        return b"+OK\r\n"

    fake = FakeRedis({b"SET": reply})
    path = tmp_path / "lines"
    count = 2000  # together more than the buffers of the client and of the sockets
    path.write_text(f"SET key {'x' * 5000}\n" * count)
    options = ["-p", str(fake.port), "--quiet", "--file", str(path)]
    with ClientTerminal(*options, history=tmp_path / "history", TERM="xterm-256color") as terminal:
        wait_until(lambda: fake.requests and time.monotonic() > began + 2 * DELAY, "a bar is due")
        released.set()
        terminal.expect("%")
        terminal.expect(" bytes/s, ")
        assert terminal.exit_status() == 0
        assert f"{count:,} lines, 0 errors" in terminal.unexpected
    fake.close()


def test_the_server_may_listen_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    redis = new_redis(unixsocket=str(path))
    try:
        assert run_client("-s", str(path), "ECHO", "1").stdout == b"1\n"
        assert run_client("-u", f"unix://{path}", "ECHO", "1").stdout == b"1\n"
    finally:
        redis.close()
    ended = run_client("-s", str(tmp_path / "nothing"), "PING")
    problem = f"kvline: can't reach a server at {tmp_path}/nothing: No such file or directory. Start one with "
    assert ended.stderr.decode().startswith(problem)
    assert ended.stderr.decode().endswith(f" --unix-socket {tmp_path}/nothing\n")


def test_no_password_is_sent_without_the_encryption_that_was_asked_for(target: AnyServer) -> None:
    ended = run_client("-u", f"rediss://:secret@127.0.0.1:{target.port}", "PING")
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert re.search(b"it does not (speak TLS|reply to a TLS handshake)", ended.stderr)


# ---------------------------------------------------------------- standard streams that cannot be used


@pytest.mark.parametrize(
    ("arguments", "redirection", "status", "error"),
    [
        ("ECHO 1", "> /dev/full", 1, b"kvline: cannot read the input, or write the output: No space left on device\n"),
        ("--scan", "> /dev/full", 1, b"kvline: cannot read the input, or write the output: No space left on device\n"),
        ("ECHO 1", ">&-", 0, b""),
        ("-x SET key", "<&-", 0, b""),
    ],
)
def test_standard_streams_that_are_full_or_closed_cause_no_traceback(
    target: AnyServer, arguments: str, redirection: str, status: int, error: bytes
) -> None:
    ask(target, b"SET", b"key", b"1")
    command = f"{RUN_CLIENT} -p {target.port} {arguments} {redirection}"
    ended = subprocess.run(
        ["sh", "-c", command], stderr=subprocess.PIPE, env=environment(), timeout=TIMEOUT, check=False
    )
    assert (ended.returncode, ended.stderr) == (status, error)
