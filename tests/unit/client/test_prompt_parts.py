"""The parts of the prompt that need no terminal: lines, secrets, advice, help with its examples, key completion."""

from __future__ import annotations

import io
import re

import pytest

from client.conversation import Conversation
from client.generated_documents import completion_script, man_page
from client.hints.advice import advice
from client.hints.command_docs import CommandDocument, documents
from client.hints.completion import completions
from client.hints.examples import EXAMPLES
from client.hints.help_page import help_page
from client.options import SHELLS
from client.render.forms import FORMS, print_replies
from client.render.pretty import Pretty
from client.shell.keys import MAX_KEYS, KeyCompletions
from client.shell.typed_line import contains_secret, parse_line
from client.tools.latency import Latencies
from common.replies import ErrorReply, Lines, Reply, SimpleString
from tests.harness.local_client import exchange_lines, local_conversation

DOCUMENTS = documents(local_conversation().call(b"COMMAND", b"DOCS"))


@pytest.mark.parametrize(
    ("line", "args", "shell_command"),
    [
        ("GET k", [b"GET", b"k"], ""),
        ("GET k | wc -c", [b"GET", b"k"], "wc -c"),
        ("GET k |wc", [b"GET", b"k", b"|wc"], ""),
        ("GET k |", [b"GET", b"k", b"|"], ""),
        ("GET 'a | b' | wc | cat", [b"GET", b"a | b"], "wc | cat"),
        ('GET "a \\" | b"', [b"GET", b'a " | b'], ""),
        ("GET a|b", [b"GET", b"a|b"], ""),
        ("# GET k | wc", [], ""),
        ("  ", [], ""),
        ("GET 'k | wc", None, "wc"),
    ],
)
def test_a_line_may_end_in_a_shell_command(line: str, args: list[bytes] | None, shell_command: str) -> None:
    parsed = parse_line(line)
    assert (parsed.args, parsed.shell_command) == (args, shell_command)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("AUTH pw", True),
        (" auth 'pw", True),
        ("'AUTH' user pw", True),
        ("HELLO 3 AUTH user pw", True),
        ("hello 3 setname x auth user pw", True),
        ("HELLO 3", False),
        ("CONFIG SET requirepass pw", True),
        ("config set maxclients 10 masterauth pw", True),
        ("CONFIG GET requirepass", False),
        ("ACL SETUSER ada >pw", True),
        ("MIGRATE host 1 k 0 10 AUTH pw", True),
        ("SET auth pw", False),
        ("", False),
    ],
)
def test_lines_with_passwords_are_secret(line: str, expected: bool) -> None:
    assert contains_secret(line) is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("GTE k", "did you mean GET? HELP lists the commands"),
        ("STRLNE k", "did you mean STRLEN? HELP lists the commands"),
        ("XYZZY", ""),
        ("GET", "usage: GET key"),
        ("GET a b", "usage: GET key"),
        ("GET a", ""),
        ("DEL", "usage: DEL key [key ...]"),
        ("DEL a b c", ""),
        ("CLIENT", "usage: CLIENT <subcommand>"),
        ("CLIENT KILLL x", "did you mean CLIENT KILL?"),
        ("CLIENT SETNAME", "usage: CLIENT SETNAME connection-name"),
        ("CLIENT SETNAME a", ""),
    ],
)
def test_advice_is_a_similar_name_or_the_usage_line(line: str, expected: str) -> None:
    assert advice(DOCUMENTS, line.encode().split()) == expected


def test_there_is_no_advice_without_documents() -> None:
    assert advice({}, [b"GET"]) == ""
    assert help_page({}, []) == "the server does not document its commands (COMMAND DOCS)"


@pytest.mark.parametrize("name", [name for name, (_, lines) in EXAMPLES.items() if lines])
def test_an_example_prints_what_it_shows(name: str) -> None:
    if name.startswith(("EVAL", "SCRIPT")):
        pytest.importorskip("lupa", reason="the extra scripts is not installed")
    conversation = local_conversation()
    screen = io.BytesIO()
    _, lines = EXAMPLES[name]
    expected = "".join(f"{line}\n" for line in lines if not line.startswith("> "))
    for line in lines:
        if line.startswith("> "):
            print_replies(Pretty(), exchange_lines(conversation, line[2:].encode()), screen)
    assert screen.getvalue().decode() == expected
    assert any(re.match(rf"> {name}\b", line) for line in lines)


def test_every_command_of_kvline_says_what_it_returns() -> None:
    leaves = {name for name, document in DOCUMENTS.items() if not document.subcommands}
    assert {name for name in leaves - EXAMPLES.keys() if not name.endswith((" HELP", " FREQ"))} == set()
    assert EXAMPLES.keys() <= DOCUMENTS.keys()


def test_a_help_page_has_what_the_server_documents() -> None:
    document = CommandDocument("GET", "GET key", "Return it.", "string", "1.0.0", "O(1)", (("key", "key"),), ())
    shown = help_page({"GET": document}, ["get"])
    for row in ("arguments   key (key)", "group       string", "since       1.0.0", "complexity  O(1)"):
        assert f"\n  {row}\n" in shown


# ---------------------------------------------------------------- keys


def test_keys_are_completed_where_a_key_may_follow() -> None:
    usages = {"GET": "GET key", "SET": "SET key value [NX | XX]", "RENAME": "RENAME key newkey", "ECHO": "ECHO message"}

    def find(prefix: str) -> list[str]:
        return [key for key in ("name", "Name2", "other") if key.startswith(prefix)]

    assert completions(usages, "GET n", find) == ["name"]
    assert completions(usages, "GET ", find) == ["name", "Name2", "other"]
    assert completions(usages, "RENAME x N", find) == ["Name2"]
    assert completions(usages, "SET name x", find) == []
    assert completions(usages, "SET name value N", find) == ["NX"]
    assert completions(usages, "ECHO n", find) == []


def keys_of(conversation: Conversation, *keys: bytes) -> KeyCompletions:
    for key in keys:
        conversation.call(b"SET", key, b"1")
    return KeyCompletions(conversation)


def test_keys_are_found_by_their_beginning_and_without_glob_characters() -> None:
    found = keys_of(local_conversation(), b"a*b", b"a*", b"axb", "ключ".encode(), b"two words", b"\xff")
    assert found.find("a*") == ["a*", "a*b"]
    assert found.find("кл") == ["ключ"]
    assert found.find("") == ["a*", "a*b", "axb", "ключ"], "keys that need quotes are not completed"


def test_the_number_of_completed_keys_is_bounded() -> None:
    conversation = local_conversation()
    found = keys_of(conversation, *(b"key:%d" % number for number in range(1000)))
    assert len(found.find("key")) == MAX_KEYS


def test_found_keys_are_cached() -> None:
    conversation = local_conversation()
    found = keys_of(conversation, b"key1")
    assert found.find("key") == ["key1"]
    conversation.call(b"SET", b"key2", b"1")
    assert found.find("key") == ["key1"]
    assert found.find("ke") == ["key1", "key2"]


# ---------------------------------------------------------------- forms


@pytest.mark.parametrize(
    ("form", "reply", "expected"),
    [
        ("raw", b"\x00\xff", b"\x00\xff\n"),
        ("raw", [b"a", None, [1, 1.5, True]], b"a\n\n1\n1.5\n1\n"),
        ("raw", {b"k": b"v"}, b"k\nv\n"),
        ("raw", Lines([b"a", b"b"], b"\r\n"), b"a\r\nb\n"),
        ("raw", ErrorReply(b"ERR", b"no"), b"ERR no\n"),
        ("json", [b"a", None, True, 1, float("inf")], b'["a", null, true, 1, "inf"]\n'),
        ("json", {b"k": [SimpleString(b"OK")]}, b'{"k": ["OK"]}\n'),
        ("json", Lines([b"a", b"b"]), b'"a\\nb"\n'),
        ("csv", [b'a"b', None, 1, SimpleString(b"OK")], b'"a""b",,1,"OK"\n'),
        ("text", [], b"(empty)\n"),
    ],
)
def test_a_reply_in_each_form(form: str, reply: Reply, expected: bytes) -> None:
    assert b"".join(FORMS[form](reply)) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ({b"a b": {b"c": [1, 2]}, b"d": []}, '"a b" =>\n  c =>\n    1) 1\n    2) 2\nd => (empty)\n'),
        ([{b"k": b"v"}, [[b"x"]]], "1) k => v\n2) 1) 1) x\n"),
        (Lines([]), "\n"),
        (Lines([b"a\tb\x07", b"c"]), "a\tb\\a\nc\n"),
        (b"x" * 100_000, "x" * 100_000 + "\n"),
    ],
)
def test_a_reply_for_people(reply: Reply, expected: str) -> None:
    assert b"".join(Pretty()(reply)).decode() == expected


# ---------------------------------------------------------------- others


def test_percentiles_are_exact_to_a_few_percent_in_bounded_memory() -> None:
    latencies = Latencies()
    for number in range(1, 10_001):
        latencies.add(number / 100)
    for percent, expected in ((50.0, 50), (99.0, 99), (99.9, 99.9)):
        assert latencies.percentile(percent) == pytest.approx(expected, rel=0.024)
    assert str(latencies).startswith("min 0.01  avg 50.0")


@pytest.mark.parametrize("shell", SHELLS)
def test_every_option_is_in_the_completion_script(shell: str) -> None:
    script = completion_script(shell)
    for option in ("--host", "--resume", "--bigkeys"):
        assert (f"-l {option[2:]} " if shell == "fish" else f" {option} ") in script


def test_the_man_page_has_every_option() -> None:
    page = man_page()
    for option in ("\\-\\-host", "\\-\\-resume", "\\-\\-bigkeys", ".SH EXAMPLES", "KVLINE_URL"):
        assert option in page
