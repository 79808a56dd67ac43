"""The password of a real server: where it must not appear, guesses while others work, and how a start fails."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from common.passwords import PASSWORD_VARIABLE
from common.resp_client import encode_request
from tests.harness.frame_client import frame, get
from tests.harness.http_wire import start_with_http
from tests.harness.processes import RUN_SERVER, Peer, ServerProcess, StartServer, run_server
from tests.harness.waiting import TIMEOUT, wait_until

SECRET = "correct-horse-battery-staple"
NOT_AUTHENTICATED = b"(error) NOAUTH Authentication required."
WRONG_PASSWORD = b"(error) WRONGPASS invalid username-password pair or user is disabled."
WARNING = (
    "clients on other machines can read and change all data, because the server has no password: "
    "set KVLINE_PASSWORD, give --password-file, or listen on 127.0.0.1\n"
)


LISTINGS = [
    b"CONFIG GET *",
    b"CLIENT LIST",
    b"CLIENT INFO",
    b"INFO everything",
    b"SLOWLOG GET -1",
    b"COMMAND",
    b"COMMAND DOCS",
    b"HELP",
    b"COMPACT",
    b"KEYS *",
]


@pytest.fixture
def guarded(start_server: StartServer) -> ServerProcess:
    """A server with a password."""
    return start_server(KVLINE_PASSWORD=SECRET)


@pytest.fixture
def stranger(guarded: ServerProcess) -> Peer:
    """A connection that has not authenticated."""
    return guarded.connect(authenticated=False)


def test_every_protocol_of_a_port_needs_the_password(guarded: ServerProcess, stranger: Peer) -> None:
    assert stranger.ask(b"SET k v") == NOT_AUTHENTICATED
    stranger.send(encode_request([b"GET", b"k"]))
    assert stranger.line() == b"-NOAUTH Authentication required.\r\n"
    refused = frame({"status_code": 401, "error": "NOAUTH Authentication required."})
    stranger.send(get("k"))
    assert stranger.receive(len(refused)) == refused


def test_the_password_of_a_file_is_needed(start_server: StartServer, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(f"{SECRET}\nnot this line\n")
    server = start_server("--port", "0", "--password-file", str(path))
    peer = server.connect()
    assert peer.ask(b"AUTH wrong") == WRONG_PASSWORD
    assert peer.ask(f"AUTH {SECRET}".encode()) == b"OK"
    assert peer.ask(b"PING") == b"PONG"


def test_sighup_reloads_the_password_of_a_file(start_server: StartServer, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(SECRET)
    server = start_server("--port", "0", "--password-file", str(path))
    authenticated = server.connect()
    assert authenticated.ask(f"AUTH {SECRET}".encode()) == b"OK"

    path.write_text("another-secret\n")
    server.signal(signal.SIGHUP)
    wait_until(lambda: "SIGHUP: the password is reloaded\n" in server.log, "it is logged")
    peer = server.connect()
    assert peer.ask(f"AUTH {SECRET}".encode()) == WRONG_PASSWORD
    assert peer.ask(b"AUTH another-secret") == b"OK"
    assert authenticated.ask(b"PING") == b"PONG"

    path.write_text("\nsecond line")
    server.signal(signal.SIGHUP)
    problem = f"SIGHUP: the password is not replaced: --password-file {path} has no password in its first line\n"
    wait_until(lambda: problem in server.log, "the failure is logged")
    assert server.connect().ask(b"AUTH another-secret") == b"OK"
    for password in (SECRET, "another-secret", "second line"):
        assert password not in server.log


@pytest.mark.parametrize("content", [None, "", "\n"], ids=["missing", "empty", "an empty line"])
def test_a_missing_or_empty_password_file_stops_the_start(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_text(content)
    ended = run_server("--port", "0", "--password-file", str(path))
    assert ended.returncode == 2
    problem = "can't be read: No such file or directory" if content is None else "has no password in its first line"
    assert f"error: --password-file {path} {problem}\n" in ended.stderr


def test_passwords_that_differ_stop_the_start_and_are_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("another-secret\n")
    ended = run_server("--port", "0", KVLINE_PASSWORD=SECRET, KVLINE_PASSWORD_FILE=str(path))
    assert ended.returncode == 2
    assert f"KVLINE_PASSWORD_FILE is not the password of {PASSWORD_VARIABLE}" in ended.stderr
    assert SECRET not in ended.stderr
    assert "another-secret" not in ended.stderr


def test_auth_and_large_requests_may_be_sent_at_once(stranger: Peer) -> None:
    large = b"x" * 1_000_000
    requests = [[b"AUTH", SECRET.encode()], [b"SET", b"k", large], [b"STRLEN", b"k"]]
    stranger.send(b"".join(map(encode_request, requests)))
    assert [stranger.line() for _ in requests] == [b"+OK\r\n", b"+OK\r\n", b":1000000\r\n"]


def test_a_request_beyond_the_bounds_is_refused_and_closes_the_connection(stranger: Peer) -> None:
    stranger.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n" + b"x" * 100_000)
    assert stranger.rest() == b"-ERR Protocol error: unauthenticated bulk length\r\n"


def test_a_client_that_has_not_authenticated_makes_the_server_store_little(guarded: ServerProcess) -> None:
    peers = [guarded.connect(authenticated=False) for _ in range(50)]
    before = guarded.resident_bytes()
    for peer in peers:
        peer.send(b"*10\r\n" + b"$16384\r\n%b\r\n" % (b"x" * 16384) * 9)  # the tenth argument is missing
    wait_until(lambda: guarded.connect().ask(b"PING") == b"PONG", "the server has read on")
    assert guarded.resident_bytes() - before < 50 * 10 * 16384 * 3


def test_ten_thousand_wrong_passwords_leave_other_clients_served(guarded: ServerProcess) -> None:
    friend = guarded.connect()
    attackers = [guarded.connect(authenticated=False) for _ in range(4)]
    refused: list[int] = []

    def attack(peer: Peer) -> None:
        peer.socket.settimeout(TIMEOUT)
        guesses = b"".join(encode_request([b"AUTH", b"default", b"guess%d" % number]) for number in range(2500))
        peer.send(guesses)
        refused.append(sum(peer.line().startswith(b"-WRONGPASS") for _ in range(2500)))

    threads = [threading.Thread(target=attack, args=(each,)) for each in attackers]
    for thread in threads:
        thread.start()
    served = 0
    while any(thread.is_alive() for thread in threads) or served < 100:
        assert friend.ask(b"INCR n") == b"%d" % (served + 1)
        served += 1
    for thread in threads:
        thread.join(TIMEOUT)
    assert refused == [2500] * 4
    friend.send(encode_request([b"INFO", b"stats"]))
    figures = friend.receive(int(friend.line()[1:])).decode()
    assert "acl_access_denied_auth:10000\r\n" in figures
    lines = [line for line in guarded.log.splitlines() if "sent a wrong password or user name" in line]
    assert 1 <= len(lines) <= 1 + TIMEOUT / 10  # one line per ten seconds
    assert "127.0.0.1:" in lines[0]


def test_the_password_appears_in_no_listing_log_line_or_process_entry(start_server: StartServer) -> None:
    server = start_with_http(start_server, "--log-level", "debug", program=RUN_SERVER, KVLINE_PASSWORD=SECRET)
    other = "another-password-of-the-test"
    monitor = server.connect()
    assert monitor.ask(b"CONFIG SET slowlog-log-slower-than 0") == b"OK"
    assert monitor.ask(b"MONITOR") == b"OK"
    peer = server.connect(authenticated=False)
    for line in (
        f"AUTH {SECRET}x",
        f"AUTH {SECRET}",
        f"HELLO 3 AUTH default {SECRET}",
        f"HELLO 4 AUTH default {SECRET}",
        f"CONFIG SET requirepass {other}",
        f"CONFIG SET maxclients x requirepass {other}",
        f'AUTH "{SECRET}',
    ):
        assert SECRET not in peer.ask(line.encode()).decode()
    for request in (
        [b"MULTI"],
        [b"AUTH", other.encode()],
        [b"CONFIG", b"SET", b"requirepass", SECRET.encode()],
        [b"EXEC"],
        [b"AUTH", SECRET.encode(), SECRET.encode(), SECRET.encode()],
    ):
        peer.send(encode_request(request))
    for listing in LISTINGS:
        peer.send(encode_request(listing.split()))
    peer.send(b"QUIT\n")
    shown = peer.rest()
    assert b"requirepass" in shown
    assert b"(redacted)" in shown
    monitor.send(b"QUIT\n")
    shown += monitor.rest()
    assert shown.count(b"CONFIG") > 2
    process = Path("/proc") / str(server.process.pid)
    names = b"".join(path.read_bytes() for path in [process / "cmdline", *process.glob("task/*/comm")])
    server.signal(signal.SIGTERM)
    assert server.exit_status() == 0
    for password in (SECRET, other):
        assert password.encode() not in shown + names
        assert password not in server.log


def test_a_traceback_does_not_contain_the_password() -> None:
    ended = run_server("--port", "0", "--host", "no-such-host.invalid", KVLINE_PASSWORD=SECRET)
    assert ended.returncode == 1
    assert SECRET not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("options", "variables", "warns"),
    [
        (["--host", "0.0.0.0"], {}, True),
        (["--host", "0.0.0.0"], {"KVLINE_PASSWORD": SECRET}, False),
        (["--host", "127.0.0.1"], {}, False),
        (["--host", "localhost"], {}, False),
    ],
    ids=str,
)
def test_a_server_that_others_can_reach_without_a_password_logs_a_warning(
    start_server: StartServer, options: list[str], variables: dict[str, str], warns: bool
) -> None:
    server = start_server("--port", "0", *options, **variables)
    assert (f"WARNING {WARNING}" in server.log) is warns
