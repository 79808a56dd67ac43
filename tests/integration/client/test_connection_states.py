"""The prompt while its connection changes: streams, reply modes, and a server that is killed, restarted or hangs."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.harness.any_server import AnyServer, ask, wait_until_sent
from tests.harness.fake_redis import CLOSE, SILENT, FakeRedis, Step
from tests.harness.terminal import CTRL_D, ENTER, Prompt
from tests.harness.waiting import wait_until

pytest.importorskip("readline", reason="this Python has no readline module")

NOT_CONNECTED = "not connected> "


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "history"


def assert_in_step(terminal: Prompt) -> None:
    """Requests get their own replies."""
    for number in range(3):
        assert terminal.run(f"ECHO step{number}") == f"step{number}\n"


# ---------------------------------------------------------------- modes


def test_monitor_streams_until_ctrl_c_and_returns_to_the_prompt_in_step(target: AnyServer, history: Path) -> None:
    with Prompt(target, history=history) as terminal:
        terminal.type("MONITOR" + ENTER)
        terminal.expect("OK\n")
        for number in range(3):
            ask(target, b"SET", b"key", b"%d" % number)
            terminal.expect(f'"SET" "key" "{number}"\n')
        terminal.interrupt()
        terminal.expect(f"{terminal.prompt}> ")
        ask(target, b"SET", b"key", b"unseen")
        assert_in_step(terminal)


def test_subscribe_streams_until_ctrl_c_and_returns_to_the_prompt_in_step(target: AnyServer, history: Path) -> None:
    with Prompt(target, history=history) as terminal:
        terminal.type("SUBSCRIBE one two" + ENTER)
        if target.kind == "kvline" and ask(target, b"PUBLISH", b"one", b"hi").startswith(b"-"):
            assert "unknown command" in terminal.expect(f"{terminal.prompt}> ")
        else:
            terminal.expect("2) two\n3) 2\n")
            ask(target, b"PUBLISH", b"one", b"hi")
            terminal.expect("1) message\n2) one\n3) hi\n")
            terminal.interrupt()
            terminal.expect(f"{terminal.prompt}> ")
        assert_in_step(terminal)


def test_reply_modes_reset_and_hello_keep_request_and_reply_in_step(target: AnyServer, history: Path) -> None:
    with Prompt(target, history=history) as terminal:
        assert terminal.run("CLIENT REPLY SKIP") == ""
        assert terminal.run("ECHO skipped") == ""
        assert_in_step(terminal)
        assert terminal.run("CLIENT REPLY OFF") == ""
        assert terminal.run("ECHO off") == ""
        assert terminal.run("PEEK key") == "PEEK needs replies, which CLIENT REPLY has turned off\n"
        assert terminal.run("CLIENT REPLY ON") == "OK\n"
        assert_in_step(terminal)
        assert terminal.run("HELLO 2").startswith(" 1) server\n")
        assert terminal.run("CONFIG GET slowlog-max-len") == "1) slowlog-max-len\n2) 128\n"
        assert_in_step(terminal)
        assert terminal.run("HELLO 3").startswith("server => ")
        assert terminal.run("RESET") == "RESET\n"
        assert terminal.run("CONFIG GET slowlog-max-len") == "slowlog-max-len => 128\n"
        assert_in_step(terminal)


# ---------------------------------------------------------------- a server that is killed


def test_the_next_command_after_a_restart_connects_again(mortal_target: AnyServer, history: Path) -> None:
    with Prompt(mortal_target, history=history) as terminal:
        terminal.run("CLIENT SETNAME me")
        mortal_target.kill()
        mortal_target.start_again()
        assert terminal.run("ECHO 1") == f"connected again to {terminal.prompt}\n1\n"
        assert terminal.run("CLIENT GETNAME") == "me\n"


def test_the_selected_database_and_the_password_are_repeated(mortal_target: AnyServer, history: Path) -> None:
    with Prompt(mortal_target, history=history) as terminal:
        terminal.type("SELECT 5" + ENTER)
        terminal.expect(f"{terminal.prompt}[5]> ")
        mortal_target.kill()
        mortal_target.start_again()
        terminal.type("CLIENT INFO" + ENTER)
        terminal.expect(" db=5 ")


def test_without_a_server_the_prompt_says_so_and_nothing_is_sent(mortal_target: AnyServer, history: Path) -> None:
    with Prompt(mortal_target, history=history) as terminal:
        mortal_target.kill()
        for _ in range(2):
            terminal.type("INCR n" + ENTER)
            shown = terminal.expect(NOT_CONNECTED)
            assert shown == f"INCR n\nkvline: can't reach a server at {terminal.prompt}: Connection refused\n"
        mortal_target.start_again()
        assert terminal.run("INCR n") == f"connected again to {terminal.prompt}\n1\n"


@pytest.mark.parametrize(("typed", "status"), [(CTRL_D, 0), ("exit" + ENTER, 0), ("quit" + ENTER, 0)])
def test_the_client_can_be_ended_without_a_server(
    mortal_target: AnyServer, history: Path, typed: str, status: int
) -> None:
    with Prompt(mortal_target, history=history) as terminal:
        mortal_target.kill()
        terminal.type("PING" + ENTER)
        terminal.expect(NOT_CONNECTED)
        terminal.type(typed)
        assert terminal.exit_status() == status


@pytest.mark.parametrize(
    ("lines", "mark", "lost"),
    [
        (["MULTI", "INCR n"], "(TX)> ", "the open transaction was lost"),
        (["WATCH n"], "> ", "the watched keys were lost"),
    ],
)
def test_a_lost_transaction_is_reported_and_the_next_command_is_not_sent(
    mortal_target: AnyServer, history: Path, lines: list[str], mark: str, lost: str
) -> None:
    with Prompt(mortal_target, history=history) as terminal:
        for line in lines:
            terminal.run(line, mark)
        mortal_target.kill()
        mortal_target.start_again()
        shown = terminal.run("INCR n")
        assert lost in shown
        assert "nothing was sent" in shown
        assert terminal.run("EXISTS n") == "0\n"


def test_a_connection_that_is_lost_before_the_reply_is_reported_and_nothing_is_sent_twice(
    mortal_target: AnyServer, history: Path
) -> None:
    with Prompt(mortal_target, history=history) as terminal:
        mortal_target.signal(signal.SIGSTOP)
        terminal.type("INCR n" + ENTER)
        terminal.expect("INCR n\n")
        wait_until_sent(mortal_target)
        mortal_target.kill()
        shown = terminal.expect(NOT_CONNECTED)
        assert "The last command may have been executed.\n" in shown
        mortal_target.start_again()
        assert terminal.run("GET n").endswith("(nil)\n")


def test_monitor_ends_with_the_connection(mortal_target: AnyServer, history: Path) -> None:
    with Prompt(mortal_target, history=history) as terminal:
        terminal.type("MONITOR" + ENTER)
        terminal.expect("OK\n")
        mortal_target.kill()
        terminal.expect(NOT_CONNECTED)
        mortal_target.start_again()
        terminal.run("PING")
        assert_in_step(terminal)


def test_ctrl_c_while_the_server_hangs_returns_to_the_prompt(mortal_target: AnyServer, history: Path) -> None:
    with Prompt(mortal_target, history=history) as terminal:
        mortal_target.signal(signal.SIGSTOP)
        terminal.type("INCR n" + ENTER)
        terminal.expect("INCR n\n")
        wait_until_sent(mortal_target)
        terminal.interrupt()
        assert "does not reply" in terminal.expect(NOT_CONNECTED)
        mortal_target.signal(signal.SIGCONT)
        terminal.run("PING")
        assert_in_step(terminal)
        assert terminal.run("GET n") in ("1\n", "(nil)\n"), "it was sent at most once"


def test_a_transaction_that_is_lost_by_ctrl_c_is_reported_although_the_server_hangs(
    mortal_target: AnyServer, history: Path
) -> None:
    with Prompt(mortal_target, history=history) as terminal:
        terminal.run("MULTI", "(TX)> ")
        mortal_target.signal(signal.SIGSTOP)
        terminal.type("ECHO 1" + ENTER)
        terminal.expect("ECHO 1\n")
        wait_until_sent(mortal_target)
        terminal.interrupt()
        terminal.expect(NOT_CONNECTED)
        mortal_target.signal(signal.SIGCONT)
        assert "the open transaction was lost" in terminal.run("INCR n")
        assert terminal.run("EXISTS n") == "0\n"


def test_shutdown_ends_the_client_with_exit_status_0(mortal_target: AnyServer, history: Path) -> None:
    with Prompt(mortal_target, history=history) as terminal:
        terminal.type("SHUTDOWN NOSAVE" + ENTER)
        terminal.expect("This stops the server. Continue? [y/N] ")
        terminal.type("y" + ENTER)
        assert terminal.exit_status() == 0
        assert terminal.unexpected == "y\nthe server has shut down\n"


# ---------------------------------------------------------------- a hostile or broken server

HOSTILE = [
    (b"+\x1b[2Jstatus\r\n", "\\x1b[2Jstatus\n"),
    (b"-ERR \x1b]0;title\x07\r\n", "(error) ERR \\x1b]0;title\\a\n"),
    (b"=9\r\ntxt:\x1b[31m\r\n", "\\x1b[31m\n"),
    (b"%1\r\n$4\r\n\x1b[2J\r\n+\x9b31m\r\n", '"\\x1b[2J" => \\x9b31m\n'),
    (b"$3\r\n\xe2\x80\xae\r\n", '"\\xe2\\x80\\xae"\n'),
]


@pytest.mark.parametrize(("reply", "shown"), HOSTILE)
def test_no_escape_of_a_server_reaches_the_terminal(history: Path, reply: bytes, shown: str) -> None:
    fake = FakeRedis({b"GET": reply})
    try:
        with Prompt(fake, history=history) as terminal:
            assert terminal.run("GET k") == shown
            assert "\x1b" not in terminal.received.replace("\x1b[?2004", "")
    finally:
        fake.close()


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (b"*1\r\n" * 1000, "a reply nested more than 64 deep"),
        (b"$9999999999999\r\n", "a reply of more than 1073741824 bytes"),
        (b"HTTP/1.1 400 Bad Request\r\n", "not a reply: b'HTTP/1.1 400 Bad Request'"),
        (b"$3\r\nabcdef\r\n", "a string that is not as long as its header says"),
        (CLOSE, "closed the connection"),
    ],
)
def test_a_reply_that_is_none_gives_one_sentence_and_a_new_connection(
    history: Path, reply: bytes, problem: str
) -> None:
    fake = FakeRedis({b"GET": reply})
    try:
        with Prompt(fake, history=history) as terminal:
            terminal.type("GET k" + ENTER)
            shown = terminal.expect(NOT_CONNECTED).removeprefix("GET k\n")
            assert problem in shown
            assert shown.count("\n") == 1
            assert terminal.run("PING") == f"connected again to {terminal.prompt}\nPONG\n"
    finally:
        fake.close()


def test_ctrl_c_while_a_reply_is_coming_returns_to_the_prompt_on_a_new_connection(history: Path) -> None:
    fake = FakeRedis({b"GET": [b"$100\r\nhalf", SILENT]})
    try:
        with Prompt(fake, history=history) as terminal:
            terminal.type("GET k" + ENTER)
            wait_until(lambda: fake.count(b"GET"), "the request has arrived")
            terminal.interrupt()
            terminal.expect(f"{terminal.prompt}> ")
            assert terminal.run("PING") == "PONG\n"
            assert fake.count(b"GET") == 1, "it is not sent again"
    finally:
        fake.close()


@pytest.mark.parametrize(
    "reply", [SILENT, CLOSE, b"HTTP/1.1 400 Bad Request\r\n"], ids=["silent", "closes", "no reply"]
)
def test_a_server_that_cannot_be_asked_for_its_commands_gets_a_prompt_without_them(history: Path, reply: Step) -> None:
    fake = FakeRedis({b"COMMAND": reply})
    try:
        with Prompt(fake, history=history) as terminal:
            assert terminal.run("PING") == "PONG\n"
            assert terminal.run("AUTH secret") == "OK\n", "it is not asked again"
            assert terminal.run("PING") == "PONG\n"
            assert fake.count(b"COMMAND") == 1
    finally:
        fake.close()


def test_the_commands_are_documented_after_authentication(mortal_target: AnyServer, history: Path) -> None:
    ask(mortal_target, b"CONFIG", b"SET", b"requirepass", b"secret")
    with Prompt(mortal_target, history=history, password="secret") as terminal:
        assert terminal.run("help get").startswith("GET key\n")
        assert terminal.run("CONFIG GET slowlog-max-len") == "slowlog-max-len => 128\n", "RESP3 is negotiated"
