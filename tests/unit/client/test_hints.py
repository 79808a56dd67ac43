"""`hint` and `completions`, from usage lines."""

from __future__ import annotations

import pytest

from client.hints.completion import completions, hint

EXPIRY = "EX seconds | PX milliseconds | KEEPTTL"
KILL = "<ip:port | [ID id] [TYPE type] [SKIPME yes/no]>"
CLIENT = f"GETNAME | ID | KILL {KILL} | LIST [TYPE type | ID id [id ...]] | REPLY <ON | OFF | SKIP>"

USAGES = {
    usage.split()[0]: usage
    for usage in [
        "AUTH [username] password",
        "BLMPOP timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
        f"CLIENT <{CLIENT}>",
        "COMMAND [COUNT | DOCS [command-name ...] | GETKEYS command [arg ...]]",
        "CONFIG <GET pattern [pattern ...] | RESETSTAT | SET parameter value [parameter value ...]>",
        "DBSIZE",
        "DEL key [key ...]",
        "GET key",
        "HELLO [protover [AUTH username password] [SETNAME clientname]]",
        "HELP [command]",
        "MSET key value [key value ...]",
        "PING [message]",
        f"SET key value [NX | XX] [GET] [{EXPIRY}]",
        "SLOWLOG <GET [count] | HELP | LEN | RESET>",
        "XADD key [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> field value [field value ...]",
        "TAG <name value ...> [QUIETLY]",
        "ZADD key [NX | XX] [CH] score member [score member ...]",
    ]
}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # with and without a blank after the last argument
        ("GET", " key"),
        ("GET ", "key"),
        ("GET\t", "key"),
        ("GET  ", "key"),
        ("SET k", f" value [NX | XX] [GET] [{EXPIRY}]"),
        ("SET k ", f"value [NX | XX] [GET] [{EXPIRY}]"),
        ("  SET   k\t", f"value [NX | XX] [GET] [{EXPIRY}]"),
        # no command, or an unknown one
        ("", ""),
        ("   ", ""),
        ("SE", ""),
        ("SETX k ", ""),
        ("'' ", ""),
        # names in any case
        ("get ", "key"),
        ("gEt ", "key"),
        ('"get" ', "key"),
        # no arguments, or all given
        ("DBSIZE", ""),
        ("DBSIZE ", ""),
        ("GET k", ""),
        ("GET k ", ""),
        ("SET k v KEEPTTL NX GET ", ""),
        # too many arguments
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
        # an argument that looks like an option
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
        # options before a positional argument may not follow it
        ("ZADD z ", "[NX | XX] [CH] score member [score member ...]"),
        ("ZADD z CH ", "[NX | XX] score member [score member ...]"),
        ("ZADD z 1 ", "member [score member ...]"),
        ("ZADD z 1 CH ", "[score member ...]"),
        # subcommands
        ("CLIENT", f" <{CLIENT}>"),
        ("CLIENT ", f"<{CLIENT}>"),
        ("client id ", ""),
        ("CLIENT LI", ""),
        ("CLIENT NONE ", ""),
        ("CLIENT KILL", f" {KILL}"),
        ("client kill ", KILL),
        ("CLIENT KILL 127.0.0.1:50000 ", ""),
        ("CLIENT KILL ID ", "id [TYPE type] [SKIPME yes/no]"),
        ("CLIENT KILL TYPE normal ", "[ID id] [SKIPME yes/no]"),
        ("CLIENT LIST ", "[TYPE type | ID id [id ...]]"),
        ("CLIENT LIST ID 1 ", "[id ...]"),
        ("CLIENT REPLY ", "<ON | OFF | SKIP>"),
        ("CLIENT REPLY OFF ", ""),
        ("CONFIG GET ", "pattern [pattern ...]"),
        ("CONFIG SET p ", "value [parameter value ...]"),
        ("CONFIG RESETSTAT ", ""),
        ("SLOWLOG GET ", "[count]"),
        ("SLOWLOG LEN ", ""),
        ("COMMAND ", "[COUNT | DOCS [command-name ...] | GETKEYS command [arg ...]]"),
        ("COMMAND DOCS ", "[command-name ...]"),
        ("COMMAND GETKEYS MGET a ", "[arg ...]"),
        ("COMMAND OTHER ", ""),
        # any script, and bytes that are not UTF-8
        ("SET ключ ", f"value [NX | XX] [GET] [{EXPIRY}]"),
        ("SET \udcff ", f"value [NX | XX] [GET] [{EXPIRY}]"),
        ("ключ ", ""),
    ],
)
def test_the_hint_is_what_may_follow(line: str, expected: str) -> None:
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
def test_a_malformed_usage_line_is_tolerated(usage: str, line: str, expected: str) -> None:
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
        # arguments that are the name of a command
        ("HELP sl", ["slowlog"]),
        ("help\tSL", ["SLOWLOG"]),
        ("HELP SET S", []),
        # keywords and subcommands
        ("CLIENT ", ["GETNAME", "ID", "KILL", "LIST", "REPLY"]),
        ("CLIENT KI", ["KILL"]),
        ("client ki", ["kill"]),
        ("CLIENT KILL ", ["ID", "SKIPME", "TYPE"]),
        ("CLIENT KILL ID 1 T", ["TYPE"]),
        ("CLIENT REPLY O", ["OFF", "ON"]),
        ("CLIENT ID I", []),
        ("COMMAND GETKEYS SLOW", ["SLOWLOG"]),
        ("COMMAND DOCS slowlog H", ["HELLO", "HELP"]),
        ("CLIENT l", ["list"]),
        ("CLIENT LIST ", ["ID", "TYPE"]),
        ("SET k v ", ["EX", "GET", "KEEPTTL", "NX", "PX", "XX"]),
        ("SET k v G", ["GET"]),
        ("SET k v EX 1 ", ["GET", "NX", "XX"]),
        ("HELLO 3 s", ["setname"]),
        ("XADD s MAXLEN ", ["=", "~"]),
        # arguments without completions
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
def test_completions_of_the_last_argument(before: str, expected: list[str]) -> None:
    assert completions(USAGES, before) == expected
