"""The hint behind a line, and the completions of its last word."""

from __future__ import annotations

import pytest

from client.hints.completion import completions, hint

EXPIRY = "EX seconds | PX milliseconds | KEEPTTL"

USAGES = {
    usage.split()[0]: usage
    for usage in [
        "AUTH [username] password",
        "BLMPOP timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
        "CLIENT ID | GETNAME | LIST | HELP [argument ...]",
        "COMMAND [COUNT | DOCS | INFO] [argument ...]",
        "CONFIG GET | SET [parameter [value] ...]",
        "DBSIZE",
        "DEL key [key ...]",
        "GET key",
        "HELLO [protover [AUTH username password] [SETNAME clientname]]",
        "HELP [command]",
        "MSET key value [key value ...]",
        "PING [message]",
        f"SET key value [NX | XX] [GET] [{EXPIRY}]",
        "SLOWLOG GET [count] | LEN | RESET",
        "XADD key [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> field value [field value ...]",
        "TAG <name value ...> [QUIETLY]",
        "ZADD key [NX | XX] [CH] score member [score member ...]",
    ]
}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # a blank behind the last word, or none
        ("GET", " key"),
        ("GET ", "key"),
        ("GET\t", "key"),
        ("GET  ", "key"),
        ("SET k", f" value [NX | XX] [GET] [{EXPIRY}]"),
        ("SET k ", f"value [NX | XX] [GET] [{EXPIRY}]"),
        ("  SET   k\t", f"value [NX | XX] [GET] [{EXPIRY}]"),
        # no name yet, or none that is known
        ("", ""),
        ("   ", ""),
        ("SE", ""),
        ("SETX k ", ""),
        ("'' ", ""),
        # names in any case
        ("get ", "key"),
        ("gEt ", "key"),
        ('"get" ', "key"),
        # nothing to say, or nothing more
        ("DBSIZE", ""),
        ("DBSIZE ", ""),
        ("GET k", ""),
        ("GET k ", ""),
        ("SET k v KEEPTTL NX GET ", ""),
        # too many words
        ("DBSIZE x", ""),
        ("GET k x", ""),
        ("GET k x y ", ""),
        ("PING a b", ""),
        # quotes
        ('SET "two words', ""),
        ('SET "two words ', ""),
        ('SET "two words" ', f"value [NX | XX] [GET] [{EXPIRY}]"),
        ('SET "two words"', f" value [NX | XX] [GET] [{EXPIRY}]"),
        ("SET 'it\\'s", ""),
        ("SET 'it\\'s' ", f"value [NX | XX] [GET] [{EXPIRY}]"),
        ('SET ""', f" value [NX | XX] [GET] [{EXPIRY}]"),
        ('SET "a"b ', ""),
        ("SET it's ", ""),
        ('"GET', ""),
        # options, in any order, each once, in any case
        ("SET k v ", f"[NX | XX] [GET] [{EXPIRY}]"),
        ("SET k v xx ", f"[GET] [{EXPIRY}]"),
        ("SET k v GET ", f"[NX | XX] [{EXPIRY}]"),
        ("SET k v GET NX ", f"[{EXPIRY}]"),
        ("SET k v KEEPTTL ", "[NX | XX] [GET]"),
        ("SET k v EX", " seconds [NX | XX] [GET]"),
        ("SET k v ex ", "seconds [NX | XX] [GET]"),
        ("SET k v EX 10 ", "[NX | XX] [GET]"),
        ("SET k v EX 10 GET ", "[NX | XX]"),
        ("SET k v GET PX ", "milliseconds [NX | XX]"),
        ("SET k v NX XX ", ""),
        ("SET k v NX NX ", ""),
        ("SET k v EX 10 PX ", ""),
        ("SET k v K", ""),
        ("SET k v what ", ""),
        # words that look like options where an argument stands
        ("SET NX ", f"value [NX | XX] [GET] [{EXPIRY}]"),
        ("SET k GET ", f"[NX | XX] [GET] [{EXPIRY}]"),
        ("SET k v EX NX ", "[NX | XX] [GET]"),
        # an optional argument
        ("PING", " [message]"),
        ("PING ", "[message]"),
        ("PING hello", ""),
        ("AUTH ", "[username] password"),
        ("AUTH me ", "password"),
        ("AUTH me secret ", ""),
        # repeated arguments
        ("DEL ", "key [key ...]"),
        ("DEL a ", "[key ...]"),
        ("DEL a b c d", " [key ...]"),
        ("MSET a ", "value [key value ...]"),
        ("MSET a 1 ", "[key value ...]"),
        ("MSET a 1 b ", "value [key value ...]"),
        ("MSET a 1 b 2 ", "[key value ...]"),
        ("BLMPOP 0 2 a b ", "[key ...] <LEFT | RIGHT> [COUNT count]"),
        ("BLMPOP 0 2 a left ", "[COUNT count]"),
        ("BLMPOP 0 2 left right ", "[COUNT count]"),
        ("BLMPOP 0 2 a COUNT ", "[key ...] <LEFT | RIGHT> [COUNT count]"),
        ("TAG n ", "value [name value ...] [QUIETLY]"),
        ("TAG n v ", "[name value ...] [QUIETLY]"),
        ("TAG n v quietly ", "[name value ...]"),
        # groups in groups
        ("HELLO ", "[protover [AUTH username password] [SETNAME clientname]]"),
        ("HELLO 3 ", "[AUTH username password] [SETNAME clientname]"),
        ("HELLO 3 SETNAME ", "clientname [AUTH username password]"),
        ("HELLO 3 AUTH me ", "password [SETNAME clientname]"),
        ("HELLO 3 AUTH me secret SETNAME it ", ""),
        ("XADD s MAXLEN ", "[= | ~] threshold [LIMIT count] <* | id> field value [field value ...]"),
        ("XADD s MAXLEN ~ ", "threshold [LIMIT count] <* | id> field value [field value ...]"),
        ("XADD s MINID 7 ", "[LIMIT count] <* | id> field value [field value ...]"),
        ("XADD s MINID 7 * ", "field value [field value ...]"),
        ("XADD s * f ", "value [field value ...]"),
        ("XADD s 1-1 ", "field value [field value ...]"),
        # options before an argument that is known by its place are over once it is there
        ("ZADD z ", "[NX | XX] [CH] score member [score member ...]"),
        ("ZADD z CH ", "[NX | XX] score member [score member ...]"),
        ("ZADD z 1 ", "member [score member ...]"),
        ("ZADD z 1 CH ", "[score member ...]"),
        # subcommands
        ("CLIENT", " ID | GETNAME | LIST | HELP [argument ...]"),
        ("CLIENT ", "ID | GETNAME | LIST | HELP [argument ...]"),
        ("client id ", "[argument ...]"),
        ("CLIENT LI", ""),
        ("CLIENT NONE ", ""),
        ("CONFIG GET ", "[parameter [value] ...]"),
        ("CONFIG SET p ", "[value] [parameter [value] ...]"),
        ("SLOWLOG GET ", "[count]"),
        ("SLOWLOG LEN ", ""),
        ("COMMAND ", "[COUNT | DOCS | INFO] [argument ...]"),
        ("COMMAND DOCS ", "[argument ...]"),
        ("COMMAND other ", "[argument ...]"),
        # any script, and bytes that are none
        ("SET ключ ", f"value [NX | XX] [GET] [{EXPIRY}]"),
        ("SET \udcff ", f"value [NX | XX] [GET] [{EXPIRY}]"),
        ("ключ ", ""),
    ],
)
def test_the_hint_is_what_may_still_follow(line: str, expected: str) -> None:
    assert hint(USAGES, line) == expected


@pytest.mark.parametrize(
    ("usage", "line", "expected"),
    [
        ("X [a", "X ", "[a"),
        ("X [a", "X 1 ", ""),
        ("X a] b", "X 1 ", ""),
        ("X a | ", "X 1 ", ""),
        ("X [ ]", "X 1 ", ""),
        ("X", "X 1 ", ""),
        ("", "X ", ""),
    ],
)
def test_a_usage_line_that_is_no_such_thing_does_no_harm(usage: str, line: str, expected: str) -> None:
    assert hint({"X": usage}, line) == expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        # names
        ("SE", ["SET"]),
        ("se", ["set"]),
        ("Se", ["SET"]),
        ("  HEL", ["HELLO", "HELP"]),
        ("GET", ["GET"]),
        ("NOPE", []),
        ("", sorted(USAGES)),
        # names where a command asks for one
        ("HELP sl", ["slowlog"]),
        ("help\tSL", ["SLOWLOG"]),
        ("HELP SET S", []),
        # keywords
        ("CLIENT ", ["GETNAME", "HELP", "ID", "LIST"]),
        ("CLIENT l", ["list"]),
        ("CLIENT LIST ", []),
        ("SET k v ", ["EX", "GET", "KEEPTTL", "NX", "PX", "XX"]),
        ("SET k v G", ["GET"]),
        ("SET k v EX 1 ", ["GET", "NX", "XX"]),
        ("HELLO 3 s", ["setname"]),
        ("XADD s MAXLEN ", ["=", "~"]),
        # arguments have none
        ("GET S", []),
        ("SET k S", []),
        ("NOPE S", []),
        ("GET a S", []),
        # inside quotes
        ('"SE', []),
        ('HELP "S', []),
        ('HELP "a S', []),
        ("SET 'a b' v G", ["GET"]),
    ],
)
def test_a_word_is_completed_to_what_may_stand_there(before: str, expected: list[str]) -> None:
    assert completions(USAGES, before) == expected
