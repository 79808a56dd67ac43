"""What the prompt shows, against kvline and against a real Redis."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path

import pytest

from tests.harness.any_server import AnyServer, ask
from tests.harness.fake_redis import FakeRedis, bulk
from tests.harness.terminal import CTRL_D, ENTER, TAB, UP, Prompt
from tests.harness.waiting import wait_until

pytest.importorskip("readline", reason="this Python has no readline module")

XTERM = {"TERM": "xterm-256color"}


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "history"


def test_the_banner_names_the_server_and_three_hints(target: AnyServer, history: Path) -> None:
    with Prompt(target, history=history) as terminal:
        hints = "HELP lists commands, Tab completes, Ctrl-D ends.\n"
        assert re.fullmatch(rf"{target.kind} \d+\.\d+\.\d+\. {hints}", terminal.banner)


@pytest.mark.parametrize("line", ["exit", "EXIT", "quit"])
def test_exit_ends_the_client(target: AnyServer, history: Path, line: str) -> None:
    with Prompt(target, history=history) as terminal:
        terminal.type(line + ENTER)
        assert terminal.exit_status() == 0


# ---------------------------------------------------------------- forms of replies


def test_maps_are_shown_as_pairs(target: AnyServer, history: Path) -> None:
    with Prompt(target, history=history) as terminal:
        assert terminal.run("CONFIG GET slowlog-max-len") == "slowlog-max-len => 128\n"
        assert terminal.run("CONFIG GET nothing") == "(empty)\n"
        shown = terminal.run("COMMAND DOCS get")
        assert shown.startswith("get =>\n  summary => ")


def test_nested_arrays_are_indented_and_aligned(target: AnyServer, history: Path) -> None:
    with Prompt(target, history=history) as terminal:
        terminal.run("SET key 1")
        assert terminal.run("SCAN 0") == "1) 0\n2) 1) key\n"
        shown = terminal.run("MGET " + "key " * 10)
        assert shown.startswith(" 1) 1\n")
        assert shown.endswith("10) 1\n")


def test_types_are_shown_on_request(target: AnyServer, history: Path) -> None:
    with Prompt(target, "--types", history=history) as terminal:
        assert terminal.run("SET n 1") == "OK\n"
        assert terminal.run("INCR n") == "(integer) 2\n"
        assert terminal.run("GET n") == '"2"\n'


def test_there_are_colours_at_a_terminal_that_has_them(target: AnyServer, history: Path) -> None:
    with Prompt(target, history=history, **XTERM) as terminal:
        terminal.type("INCR number" + ENTER + "GTE" + ENTER)
        terminal.expect("did you mean")
        assert "\x1b[36m1\x1b[0m" in terminal.received
        assert "\x1b[31m(error) ERR unknown command" in terminal.received


@pytest.mark.parametrize(
    ("options", "variables"), [(["--no-color"], XTERM), ([], {**XTERM, "NO_COLOR": "1"}), ([], {"TERM": "dumb"})]
)
def test_there_are_no_colours_if_they_are_not_wanted(
    target: AnyServer, history: Path, options: list[str], variables: dict[str, str]
) -> None:
    with Prompt(target, *options, history=history, **variables) as terminal:
        terminal.type("INCR number" + ENTER + "GTE" + ENTER)
        terminal.expect("did you mean")
        assert not re.search("\x1b\\[[0-9;]*(3[0-7]|9[0-7])[0-9;]*m", terminal.received)


def test_a_long_reply_is_paged_and_a_short_one_is_not(target: AnyServer, history: Path) -> None:
    for number in range(60):
        ask(target, b"SET", b"key:%d" % number, b"1")
    with Prompt(target, history=history, **XTERM, PAGER="sed 's/^/paged: /'") as terminal:
        terminal.type("GET key:1" + ENTER + "KEYS *" + ENTER)
        terminal.expect("60) ")
        assert terminal.received.count("paged: ") == 60
    with Prompt(target, "--no-pager", history=history, **XTERM, PAGER="sed 's/^/paged: /'") as terminal:
        terminal.type("KEYS *" + ENTER)
        terminal.expect("60) ")
        assert "paged: " not in terminal.received


def test_the_elapsed_time_is_shown_after_a_slow_reply(history: Path) -> None:
    def slowly(_: object) -> bytes:
        time.sleep(0.15)  # what is tested is that a time is shown
        return bulk(b"late")

    fake = FakeRedis({b"GET": slowly})
    try:
        with Prompt(fake, history=history) as terminal:
            assert terminal.run("GET key") == "late\n"
            assert re.search(r"late\r\n\(\d+\.[1-9]\d s\)\r\n", terminal.received)
    finally:
        fake.close()


# ---------------------------------------------------------------- help


def test_help_lists_the_commands_by_group(target: AnyServer, history: Path) -> None:
    with Prompt(target, "--no-pager", history=history) as terminal:
        for line in ("help", "?"):
            shown = terminal.run(line)
            assert re.search(r"^@string +APPEND DECR ", shown, re.MULTILINE)
            assert "HELP @group lists a group" in shown
        assert re.search(r"^ +GETDEL +\S", terminal.run("help @string"), re.MULTILINE)
        assert "there is no group 'nope'; there are " in terminal.run("help @nope")


def test_help_explains_a_command(target: AnyServer, history: Path) -> None:
    with Prompt(target, "--no-pager", history=history) as terminal:
        shown = terminal.run("help getrange")
        assert shown.startswith("GETRANGE key start end\n  ")
        assert re.search(r"^  group +string$", shown, re.MULTILINE)
        assert re.search(r"^  returns +the part", shown, re.MULTILINE)
        assert re.search(r"^  example +> SET a abcdef\n +OK\n +> GETRANGE a 1 3\n +bcd$", shown, re.MULTILINE)
        shown = terminal.run("help client kill")
        assert shown.startswith("CLIENT KILL ")
        assert "\n  returns" in shown
        assert "\n  CLIENT KILL" in terminal.run("help client")
        assert terminal.run("help gte").startswith("there is no command 'GTE'; similar: GET")


def test_help_has_since_complexity_and_arguments(target: AnyServer, history: Path) -> None:
    with Prompt(target, "--no-pager", history=history) as terminal:
        shown = terminal.run("help getrange")
        for row in ("arguments   key (key), start (integer), end (integer)", "since       2.4.0", "complexity  O("):
            assert f"\n  {row}" in shown


def test_an_error_is_followed_by_advice(target: AnyServer, history: Path) -> None:
    with Prompt(target, history=history) as terminal:
        assert terminal.run("GTE k").endswith("\ndid you mean GET? HELP lists the commands\n")
        assert terminal.run("GET").endswith("\nusage: GET key\n")
        assert terminal.run("GETRANGE k 1").endswith("\nusage: GETRANGE key start end\n")
        assert terminal.run("CLIENT KILLL").endswith("\ndid you mean CLIENT KILL?\n")
        assert terminal.run("SELECT 99").count("\n") == 1, "the arguments fit the usage line"


# ---------------------------------------------------------------- typing


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, XTERM], ids=["readline", "prompt_toolkit"])
def test_tab_completes_keys(target: AnyServer, history: Path, variables: dict[str, str]) -> None:
    ask(target, b"SET", b"user:17:name", b"Ada")
    with Prompt(target, history=history, **variables) as terminal:
        terminal.type("GET us" + TAB)
        terminal.expect("er:17:name")  # prompt_toolkit writes what is new
        terminal.type(ENTER)
        terminal.expect("Ada")


def test_tab_does_not_disturb_an_open_transaction(target: AnyServer, history: Path) -> None:
    ask(target, b"SET", b"user:17:name", b"Ada")
    with Prompt(target, history=history) as terminal:
        terminal.run("MULTI", "(TX)> ")
        terminal.type("GET us" + TAB)
        terminal.expect("user:17:name ")
        terminal.type(ENTER)
        assert terminal.expect("(TX)> ").endswith("QUEUED\n" + terminal.prompt)
        assert terminal.run("EXEC") == "1) Ada\n"


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, XTERM], ids=["readline", "prompt_toolkit"])
def test_passwords_are_not_stored_in_the_history(target: AnyServer, history: Path, variables: dict[str, str]) -> None:
    with Prompt(target, history=history, **variables) as terminal:
        for line in ("AUTH hunter2", "HELLO 3 AUTH default hunter2", "AUTH 'hunter2", "CONFIG SET masterauth hunter2"):
            terminal.type(line + ENTER + "ECHO done" + ENTER)
            terminal.expect("\ndone\n")
            terminal.expect(f"{terminal.prompt}>")
        terminal.type(UP + UP + ENTER)
        terminal.expect("\ndone\n")
        terminal.expect(f"{terminal.prompt}>")
        terminal.type(CTRL_D)
        assert terminal.exit_status() == 0
    assert history.read_text() == "ECHO done\n"


@pytest.mark.parametrize("line", ["FLUSHALL", "FLUSHDB"])
def test_flushall_and_flushdb_need_a_confirmation(target: AnyServer, history: Path, line: str) -> None:
    ask(target, b"SET", b"key", b"1")
    with Prompt(target, history=history) as terminal:
        for reply in ("", "n", "\x03"):
            terminal.type(line + ENTER)
            terminal.expect("Continue? [y/N] ")
            if reply == "\x03":
                terminal.interrupt()
            else:
                terminal.type(reply + ENTER)
            terminal.expect("> ")
            assert terminal.run("EXISTS key") == "1\n"
        terminal.type(line + ENTER)
        terminal.expect("Continue? [y/N] ")
        terminal.type("y" + ENTER)
        terminal.expect("OK\n")
        terminal.expect("> ")
        assert terminal.run("EXISTS key") == "0\n"
    with Prompt(target, "--no-confirm", history=history) as terminal:
        assert terminal.run(line) == "OK\n"


def test_a_reply_is_piped_to_a_shell_command_as_it_is(target: AnyServer, history: Path) -> None:
    value = bytes(range(256))
    ask(target, b"SET", b"key", value)
    with Prompt(target, history=history) as terminal:
        assert terminal.run("GET key | md5sum").split()[0] == hashlib.md5(value).hexdigest()
        assert terminal.run("GET key | wc -c").strip() == "256"
        assert terminal.run("MGET key nokey | wc -l").strip() == "3"
        assert terminal.run("GET | cat").startswith("(error) ERR wrong number")
        assert terminal.run("SET bar '|'") == "OK\n"
        assert terminal.run('ECHO "a | b"') == '"a | b"\n'


def test_a_stream_is_piped_until_the_shell_command_reads_no_more(target: AnyServer, history: Path) -> None:
    with Prompt(target, history=history) as terminal:
        terminal.type("MONITOR | head -2" + ENTER)
        terminal.expect("OK\n")
        ask(target, b"SET", b"key", b"1")
        terminal.expect('"key" "1"\n')

        def is_at_the_prompt() -> bool:
            ask(target, b"SET", b"key", b"2")  # the client notices the end of `head` when it writes
            return terminal.shows(f"{terminal.prompt}> ")

        wait_until(is_at_the_prompt, "the prompt is shown")
        terminal.expect(f"{terminal.prompt}> ")
        assert terminal.run("ECHO 1") == "1\n"


def test_peek_describes_a_string(target: AnyServer, history: Path) -> None:
    ask(target, b"SET", b"short", b"two words", b"EX", b"1000")
    ask(target, b"SET", b"long", b"x" * 1000)
    with Prompt(target, history=history) as terminal:
        shown = terminal.run("peek short")
        assert re.fullmatch(
            r'type => string\nexpires => in \d+\.\d+ s\nmemory => \d+ bytes\nsize => 9 bytes\nvalue => "two words"\n',
            shown,
        )
        shown = terminal.run("PEEK long")
        assert "expires => never\n" in shown
        assert shown.endswith("size => 1000 bytes\nbeginning => " + "x" * 100 + "\n")
        assert terminal.run("PEEK nokey") == "(nil)\n"
        assert terminal.run("PEEK") == "usage: PEEK key\n"
        terminal.run("MULTI", "(TX)> ")
        assert "open transaction" in terminal.run("PEEK short", "(TX)> ")


@pytest.mark.parametrize(
    ("commands", "end"),
    [
        (["RPUSH k " + "x " * 20], "size => 20 elements\nbeginning =>\n   1) x\n"),
        (["SADD k member"], "size => 1 elements\nvalue =>\n  1) member\n"),
        (["HSET k field value"], "size => 1 fields\nvalue =>\n  1) field\n  2) value\n"),
        (["ZADD k 1.5 member"], "size => 1 elements\nvalue =>\n  1) 1) member\n     2) 1.5\n"),
        (["XADD k 1-1 field value"], "size => 1 entries\nvalue =>\n  1) 1) 1-1\n     2) 1) field\n        2) value\n"),
    ],
)
def test_peek_describes_the_other_types_of_redis(
    target: AnyServer, history: Path, commands: list[str], end: str
) -> None:
    if target.kind != "redis":
        pytest.skip("kvline has strings only")
    for line in commands:
        ask(target, *line.encode().split())
    with Prompt(target, history=history) as terminal:
        assert end in terminal.run("PEEK k")
