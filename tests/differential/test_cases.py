"""Cases that random tests seldom find. Each is a conversation that is sent to both servers."""

from __future__ import annotations

import pytest

from tests.differential.comparison import send_story
from tests.harness.resp_wire import Servers

PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])

STORIES = {
    "SET: deadlines and options": r"""
        SET k v EX 0
        SET k v EX -1
        SET k v EX 9223372036854775807
        SET k v EX 9223372036854775
        SET k v PX 9223372036854775807
        SET k v EXAT 0
        SET k v PXAT -5
        SET k v EXAT 9223372036854775807
        SET k v EX abc
        SET k v EX
        SET k v EX 10 PX 10
        SET k v EX 10 KEEPTTL
        SET k v KEEPTTL EX 10
        SET k v NX XX
        SET k v XX NX
        SET k v NX NX
        SET k v GET GET
        SET k v EX 10 EX 10
        SET k v KEEPTTL KEEPTTL
        SET k v NX EX abc
        SET k v FOO
        SET k v PERSIST
        SET k v EX 10 PERSIST
        SET k v EX 0 FOO
        SET k v EXAT 1
        GET k
        EXISTS k
        DBSIZE
        KEYS *
        SET k v
        SET k v NX GET EX 0
    """,
    "SETEX, PSETEX: deadlines": r"""
        SETEX k 0 v
        SETEX k -1 v
        SETEX k 9223372036854775807 v
        SETEX k 9223372036854775 v
        SETEX k x v
        PSETEX k 0 v
        PSETEX k 9223372036854775807 v
        PSETEX k 1.5 v
    """,
    "GETEX: deadlines and options": r"""
        GETEX k EX 0
        GETEX k EX -1
        GETEX k EX 9223372036854775807
        GETEX k PERSIST EX 10
        GETEX k EX 10 PERSIST
        GETEX k EX 10 PX 5
        GETEX k PERSIST PERSIST
        GETEX k NX
        GETEX k GET
        GETEX k KEEPTTL
        GETEX missing EX 0
        GETEX missing EX abc
        GETEX missing FOO
        GETEX missing EX
        GETEX k EXAT 1
        EXISTS k
        SET k v
    """,
    "EXPIRE and its kin: overflow and conditions": r"""
        SET k v
        EXPIRE k 9223372036854775807
        EXPIRE k -9223372036854775808
        EXPIRE k 9223372036854775
        EXPIRE k -9223372036854775
        PEXPIRE k 9223372036854775807
        PEXPIRE k -9223372036854775808
        EXISTS k
        SET k v
        EXPIREAT k 9223372036854775807
        EXPIREAT k -9223372036854775808
        PEXPIREAT k 9223372036854775807
        PEXPIRETIME k
        EXPIRETIME k
        SET k v
        PEXPIREAT k 9223372036854775300
        EXPIRETIME k
        TTL k
        SET k v
        EXPIRE k x
        EXPIRE missing x
        EXPIRE missing 9223372036854775807
        EXPIRE k 10 FOO
        EXPIRE missing 10 FOO
        EXPIRE k x FOO
        EXPIRE k 10 NX XX
        EXPIRE k 10 NX GT
        EXPIRE k 10 NX LT
        EXPIRE k 10 GT LT
        EXPIRE k 10 XX GT
        EXPIRE k 10 XX LT
        EXPIRE k 10 NX XX GT LT
        EXPIRE k 10 GT LT FOO
        EXPIRE k 10 NX NX
        EXPIRE k 10 XX XX
        EXPIREAT k 4102444800 LT
        EXPIREAT k 4102444800 LT
        EXPIREAT k 4102444801 GT
        EXPIREAT k 4102444801 GT
        EXPIRETIME k
        PEXPIREAT k 4102444801499 GT
        EXPIRETIME k
        PEXPIREAT k 4102444801500 GT
        EXPIRETIME k
        PEXPIRETIME k
        EXPIRE k -1 GT
        EXPIRE k -1 NX
        EXPIRE k -1 LT
        EXISTS k
        PERSIST k
        TTL k
        PTTL k
        TTL k k
        TTL
    """,
    "GETRANGE, SETRANGE, APPEND, STRLEN": r"""
        GETRANGE missing 0 -1
        SET k hello
        GETRANGE k 0 -1
        GETRANGE k -1 0
        GETRANGE k -100 100
        GETRANGE k 2 1
        GETRANGE k -1 -3
        GETRANGE k -3 -1
        GETRANGE k -100 -50
        GETRANGE k 5 10
        GETRANGE k -9223372036854775808 9223372036854775807
        GETRANGE k 9223372036854775807 -9223372036854775808
        GETRANGE k -9223372036854775808 -9223372036854775808
        GETRANGE k -5 -9223372036854775808
        GETRANGE k 0 -9223372036854775808
        GETRANGE k 0 -6
        GETRANGE k 0 -5
        GETRANGE k 0 x
        GETRANGE k x 0
        GETRANGE k x y
        GETRANGE missing x 0
        SUBSTR k 1 2
        SUBSTR k
        SETRANGE k -1 v
        SETRANGE k x v
        SETRANGE k 536870912 v
        SETRANGE k 9223372036854775807 v
        SETRANGE k 9223372036854775807 ""
        SETRANGE k 536870912 ""
        SETRANGE missing 536870912 ""
        SETRANGE missing 5 ""
        SETRANGE missing -5 ""
        EXISTS missing
        DEL k
        SET k hello
        SETRANGE k 7 x
        GET k
        SETRANGE k 0 J
        GET k
        SETRANGE k 8 ""
        SETRANGE n 3 x
        GET n
        APPEND n ""
        APPEND m ""
        GET m
        EXISTS m
        STRLEN m
        STRLEN missing
    """,
    "INCR and its kin: edges and spellings": r"""
        SET n 9223372036854775807
        INCR n
        INCRBY n 1
        DECRBY n -1
        DECRBY n -9223372036854775808
        INCRBY n -9223372036854775808
        INCRBY n -9223372036854775808
        DECRBY missing -9223372036854775808
        DECRBY n x
        INCRBY n " 1"
        INCRBY n "1 "
        INCRBY n +1
        INCRBY n 01
        INCRBY n -0
        INCRBY n 0
        INCRBY n ""
        INCRBY n 9223372036854775808
        SET n " 1"
        INCR n
        INCRBY n x
        SET n ""
        INCR n
        SET n -0
        INCR n
        SET n 00
        INCR n
        SET n 1.0
        DECR n
        SET n "1\x00"
        DECR n
        SET n 99999999999999999999999999999999999999999
        INCR n
    """,
    "INCRBYFLOAT: spellings": r"""
        INCRBYFLOAT f 0.1
        INCRBYFLOAT f 0.2
        INCRBYFLOAT f -0.3
        INCRBYFLOAT f -0
        SET f 3.0e3
        INCRBYFLOAT f 200
        INCRBYFLOAT f 5e-1
        INCRBYFLOAT f " 1"
        INCRBYFLOAT f "1 "
        INCRBYFLOAT f +1
        INCRBYFLOAT f 1.
        INCRBYFLOAT f .5
        INCRBYFLOAT f .
        INCRBYFLOAT f ""
        INCRBYFLOAT f nan
        INCRBYFLOAT f inf
        INCRBYFLOAT f -inf
        INCRBYFLOAT f infinity
        INCRBYFLOAT f INFINITY
        INCRBYFLOAT f infin
        INCRBYFLOAT f 1e
        INCRBYFLOAT f e5
        INCRBYFLOAT f 1e5
        INCRBYFLOAT f 1e0000000001
        INCRBYFLOAT f 1_0
        INCRBYFLOAT f 1e1_0
        INCRBYFLOAT f "1\x00"
        INCRBYFLOAT f ++1
        INCRBYFLOAT f "\n1"
        INCRBYFLOAT f 1,5
        INCRBYFLOAT f "(nan)"
        INCRBYFLOAT f "nan(1)"
    """,
    "INCRBYFLOAT: length": f"""
        INCRBYFLOAT f {"1".rjust(255, "0")}
        INCRBYFLOAT f {"1".rjust(5119, "0")}
        INCRBYFLOAT f {"1".rjust(5120, "0")}
        SET f {"1".rjust(5119, "0")}
        INCRBYFLOAT f 1
        SET f {"1".rjust(5120, "0")}
        INCRBYFLOAT f 1
        """,
    "LCS: size": r"""
        SETRANGE a 10999 ab
        SETRANGE b 10998 cab
        LCS a b LEN
        LCS a b IDX
        LCS b a IDX WITHMATCHLEN
        SETRANGE a 11583 x
        SETRANGE b 11583 y
        LCS a b IDX
        APPEND a z
        LCS a b LEN
        LCS b a LEN
        SETRANGE a 300000 x
        LCS a none IDX
        SET c aa
        LCS a c IDX
        LCS c a IDX
        """,
    "INCRBYFLOAT: hexadecimal": r"""
        SET f 1
        INCRBYFLOAT f 0x10
        DEL f
    """,
    "INCRBYFLOAT: hexadecimal exponent": r"""
        SET f 1
        INCRBYFLOAT f 0x1p3
        DEL f
    """,
    "INCRBYFLOAT: bits that a long double lacks": r"""
        SET f 1234567.1
        INCRBYFLOAT f 0
    """,
    "INCRBYFLOAT: integers that a long double lacks": r"""
        SET f 18446744073709551616
        INCRBYFLOAT f 1
    """,
    "INCRBYFLOAT: range": r"""
        SET f 0
        INCRBYFLOAT f 1.18e4932
        INCRBYFLOAT f 1.18e4932
        SET f 0
        INCRBYFLOAT f 1e400
        SET f 0
        INCRBYFLOAT f 1.19e4932
        INCRBYFLOAT f 1e4933
        INCRBYFLOAT f 1e99999
        INCRBYFLOAT f -1e99999
        INCRBYFLOAT f 1e-99999
        INCRBYFLOAT f 1e-4950
        INCRBYFLOAT f 1e-4951
        INCRBYFLOAT f 1e-4900
        INCRBYFLOAT f 1e-20
        INCRBYFLOAT f 1e-17
        INCRBYFLOAT f 5e-18
        INCRBYFLOAT f 4e-18
        SET f 0
        INCRBYFLOAT f -1e-18
        INCRBYFLOAT f -1e-17
        INCRBYFLOAT f 1e123456
        SET f 9223372036854775807
        INCRBYFLOAT f 1
        INCRBYFLOAT f 1e18
        SET f 0.5
        INCRBYFLOAT f 1e17
    """,
    "INCRBYFLOAT: values that are no finite number": r"""
        SET f inf
        INCRBYFLOAT f 1
        INCRBYFLOAT f -inf
        SET f nan
        INCRBYFLOAT f 1
        SET f " 1"
        INCRBYFLOAT f 1
        SET f ""
        INCRBYFLOAT f 1
        SET f inf
        INCRBYFLOAT f inf
        INCRBYFLOAT f 1
        SET f 1
        INCRBYFLOAT f x
        SET f x
        INCRBYFLOAT f 1
        INCRBYFLOAT f x
        EXISTS f
        INCRBYFLOAT new x
        EXISTS new
        SET f -0
        INCRBYFLOAT f 0
        SET f -0.0
        INCRBYFLOAT f -0
    """,
    "CLIENT PAUSE, CLIENT UNBLOCK, LOLWUT, MEMORY, ROLE": r"""
        CLIENT PAUSE
        CLIENT PAUSE x
        CLIENT PAUSE x FOO
        CLIENT PAUSE -1
        CLIENT PAUSE 0
        CLIENT PAUSE 0 write
        CLIENT UNPAUSE
        CLIENT UNPAUSE x
        CLIENT UNBLOCK
        CLIENT UNBLOCK x
        CLIENT UNBLOCK 123456
        CLIENT UNBLOCK 123456 timeout
        CLIENT UNBLOCK 123456 Error
        CLIENT UNBLOCK 123456 FOO
        CLIENT UNBLOCK x FOO
        LOLWUT VERSION x
        MEMORY STATS x
        MEMORY MALLOC-STATS x
        ROLE
        ROLE x
        MEMORY USAGE
    """,
    "refused in a transaction": r"""
        MULTI
        SHUTDOWN
        EXEC
        MULTI
        SAVE
        EXEC
        MULTI
        SET a 1
        EXEC x
        EXEC
        EXEC x
        MULTI
        PING a b
        SET a 1
        EXEC
        PING a b
        NOPE
        NOPE a b
    """,
    "COMMAND": r"""
        COMMAND FOO
        COMMAND COUNT x
        COMMAND GETKEYS
        COMMAND GETKEYS FOO
        COMMAND GETKEYS GET
        COMMAND GETKEYS GET a
        COMMAND GETKEYS GET a b
        COMMAND GETKEYS SET a b NX
        COMMAND GETKEYS MSET a b c d
        COMMAND GETKEYS MSET a b c
        COMMAND GETKEYS MSET a
        COMMAND GETKEYS MSETNX a b c d
        COMMAND GETKEYS PING
        COMMAND GETKEYS PING x y
        COMMAND GETKEYS DEL a b c
        COMMAND GETKEYS RENAME a b
        COMMAND GETKEYS COPY a b DB 0
        COMMAND GETKEYS LCS a b LEN
        COMMAND GETKEYS OBJECT ENCODING a
        COMMAND GETKEYSANDFLAGS
        COMMAND GETKEYSANDFLAGS PING x
        COMMAND GETKEYSANDFLAGS FOO x
        COMMAND GETKEYSANDFLAGS GET a b
        COMMAND GETKEYSANDFLAGS GET a
        COMMAND GETKEYSANDFLAGS SET a b
        COMMAND GETKEYSANDFLAGS SET a GET
        COMMAND GETKEYSANDFLAGS SET a b GET NX
        COMMAND GETKEYSANDFLAGS SETNX a b
        COMMAND GETKEYSANDFLAGS MSET a 1 b 2
        COMMAND GETKEYSANDFLAGS DEL a b
        COMMAND GETKEYSANDFLAGS RENAME a b
        COMMAND GETKEYSANDFLAGS COPY a b REPLACE
        COMMAND GETKEYSANDFLAGS LCS a b
        COMMAND GETKEYSANDFLAGS MEMORY USAGE a
        COMMAND GETKEYSANDFLAGS OBJECT ENCODING a
        COMMAND LIST FILTERBY ACLCAT nothing
        COMMAND LIST FILTERBY PATTERN slowlog|l*
        COMMAND GETKEYS OBJECT ENCODING
        COMMAND GETKEYS OBJECT FOO a
        COMMAND GETKEYS OBJECT HELP
        COMMAND GETKEYS MEMORY USAGE a
        COMMAND GETKEYS WATCH a b
        COMMAND GETKEYS KEYS a
        COMMAND GETKEYS SCAN 0
        COMMAND GETKEYS RANDOMKEY
        COMMAND GETKEYS CLIENT SETNAME x
        COMMAND GETKEYS COMMAND
        COMMAND LIST FOO
        COMMAND LIST FILTERBY
        COMMAND LIST FILTERBY PATTERN
        COMMAND LIST FILTERBY PATTERN xyz*
        COMMAND LIST FILTERBY PATTERN getr*
        COMMAND LIST FILTERBY ACLCAT foo
        COMMAND LIST FILTERBY MODULE foo
        COMMAND LIST FILTERBY FOO foo
        COMMAND INFO foo
        COMMAND INFO foo bar
        COMMAND DOCS foo
        COMMAND DOCS foo bar
        COMMAND HELP x
    """,
    "CLIENT": r"""
        CLIENT
        CLIENT FOO
        CLIENT foo bar
        CLIENT ID x
        CLIENT GETNAME x
        CLIENT SETNAME
        CLIENT SETNAME a b
        CLIENT SETNAME "a b"
        CLIENT SETNAME "a\nb"
        CLIENT SETNAME "é"
        CLIENT SETNAME ""
        CLIENT GETNAME
        CLIENT SETNAME x
        CLIENT GETNAME
        CLIENT SETNAME ""
        CLIENT GETNAME
        CLIENT INFO x
        CLIENT LIST FOO
        CLIENT LIST TYPE
        CLIENT LIST TYPE foo
        CLIENT LIST TYPE pubsub
        CLIENT LIST TYPE master
        CLIENT LIST TYPE slave
        CLIENT LIST TYPE replica
        CLIENT LIST TYPE normal x
        CLIENT LIST ID
        CLIENT LIST ID x
        CLIENT LIST ID 0
        CLIENT LIST ID 999999
        CLIENT LIST ID 999999 x
        CLIENT KILL
        CLIENT KILL foo
        CLIENT KILL 127.0.0.1:1
        CLIENT KILL ID
        CLIENT KILL ID x
        CLIENT KILL ID 0
        CLIENT KILL ID -5
        CLIENT KILL ID 99999
        CLIENT KILL ID 99999 SKIPME
        CLIENT KILL ID 99999 SKIPME maybe
        CLIENT KILL ID 99999 SKIPME no
        CLIENT KILL SKIPME yes FOO bar
        CLIENT KILL ADDR foo
        CLIENT KILL ADDR 1.2.3.4:5 LADDR 1.2.3.4:5
        CLIENT KILL TYPE foo
        CLIENT KILL TYPE pubsub
        CLIENT KILL TYPE master
        CLIENT KILL TYPE slave
        CLIENT KILL TYPE replica
        CLIENT KILL USER foo
        CLIENT KILL USER default ID 99999
        CLIENT KILL FOO bar
        CLIENT KILL FOO bar baz
        CLIENT REPLY
        CLIENT REPLY FOO
        CLIENT REPLY ON
        CLIENT REPLY ON ON
        CLIENT NO-EVICT
        CLIENT NO-EVICT FOO
        CLIENT NO-EVICT ON
        CLIENT NO-EVICT OFF
        CLIENT HELP x
    """,
    "CONFIG": r"""
        CONFIG
        CONFIG FOO
        CONFIG GET
        CONFIG SET
        CONFIG SET a
        CONFIG SET a b
        CONFIG SET maxmemory
        CONFIG SET maxmemory 1 appendonly
        CONFIG SET maxmemory x
        CONFIG SET maxmemory -1
        CONFIG SET maxmemory 1.5gb
        CONFIG SET maxmemory 10zb
        CONFIG SET maxmemory 1000GB
        CONFIG GET maxmemory
        CONFIG SET maxmemory 300k maxmemory 0
        CONFIG SET maxmemory 0
        CONFIG SET maxmemory-policy x
        CONFIG SET databases 5
        CONFIG SET port
        CONFIG SET slowlog-max-len x
        CONFIG SET slowlog-max-len -1
        CONFIG SET slowlog-log-slower-than x
        CONFIG SET slowlog-log-slower-than -2
        CONFIG SET slowlog-max-len 100 slowlog-max-len 100
        CONFIG SET slowlog-max-len 100 nosuch 1
        CONFIG RESETSTAT x
        CONFIG RESETSTAT
        CONFIG GET nosuch
        CONFIG GET databases
        CONFIG GET slowlog-max-len
        CONFIG GET appendonly
        CONFIG GET save
        CONFIG HELP x
        CONFIG GET maxmemory maxmemory
    """,
    "SLOWLOG": r"""
        SLOWLOG
        SLOWLOG FOO
        SLOWLOG GET x
        SLOWLOG GET -2
        SLOWLOG GET 1 2
        SLOWLOG GET 0
        SLOWLOG LEN x
        SLOWLOG RESET x
        SLOWLOG HELP x
    """,
    "MEMORY": r"""
        MEMORY
        MEMORY FOO
        MEMORY USAGE
        MEMORY USAGE k
        MEMORY USAGE k FOO
        MEMORY USAGE k SAMPLES
        MEMORY USAGE k SAMPLES x
        MEMORY USAGE k SAMPLES -1
        MEMORY HELP x
    """,
    "OBJECT": r"""
        OBJECT
        OBJECT FOO
        OBJECT FOO k
        OBJECT HELP x
        OBJECT ENCODING
        OBJECT ENCODING k
        OBJECT ENCODING k l
        OBJECT REFCOUNT k
        OBJECT FREQ k
        OBJECT IDLETIME k
        SET k v
        OBJECT FREQ k
        OBJECT REFCOUNT k
        OBJECT REFCOUNT
        OBJECT FREQ
        OBJECT IDLETIME
        OBJECT encoding k
        OBJECT ENCODING k
        SET k 9223372036854775807
        OBJECT ENCODING k
        SET k 9223372036854775808
        OBJECT ENCODING k
        SET k "-9223372036854775808"
        OBJECT ENCODING k
        SET k 01
        OBJECT ENCODING k
        SET k 12345678901234567890123456789012345678901234
        OBJECT ENCODING k
        SET k 123456789012345678901234567890123456789012345
        OBJECT ENCODING k
        SET k ""
        OBJECT ENCODING k
        SET k " 1"
        OBJECT ENCODING k
    """,
    "HELLO": r"""
        HELLO 1
        HELLO 4
        HELLO x
        HELLO 2.0
        HELLO ""
        HELLO 3 FOO
        HELLO 3 SETNAME
        HELLO 3 SETNAME "a b"
        CLIENT GETNAME
        CLIENT GETNAME
        HELLO 3 AUTH
        HELLO 3 AUTH a
        HELLO 3 AUTH a b
        HELLO 4 SETNAME x
        HELLO 4 FOO
        HELLO x FOO
        HELLO SETNAME x
        CLIENT GETNAME
    """,
    "AUTH: there is no password": r"""
        AUTH
        AUTH x
        AUTH x y
        AUTH default y
        AUTH x y z
    """,
    "SELECT, MOVE, COPY DB, SWAPDB, FLUSHDB": r"""
        SET a 1
        SET b 2 EX 1000
        MOVE a 1
        MOVE a 1
        MOVE a 0
        MOVE b 0
        MOVE b 16
        MOVE b -1
        MOVE b x
        MOVE b 99999999999
        MOVE b 1
        MOVE none 15
        EXISTS a b
        SELECT 1
        DBSIZE
        GET b
        SET c 3
        COPY b b
        COPY b b DB 1
        COPY b b DB 0
        COPY b b DB 0
        COPY b b DB 0 REPLACE
        COPY none b DB 0 REPLACE
        COPY b d DB 15
        COPY b d DB 16
        COPY b d DB -1
        COPY b d DB x
        COPY b d DB 99999999999
        COPY b d DB 0 DB 15
        SWAPDB 0 1
        DBSIZE
        SWAPDB 0 0
        SWAPDB 0 16
        SWAPDB -1 0
        SWAPDB x 0
        SWAPDB 0 x
        SWAPDB 0 99999999999
        SWAPDB 99999999999 x
        SWAPDB 0
        SWAPDB 0 1 2
        KEYS *
        1: DBSIZE
        1: RANDOMKEY
        FLUSHDB
        DBSIZE
        SELECT 0
        DBSIZE
        GET c
        RESET
        SELECT 15
        DBSIZE
        RESET
        DBSIZE
        FLUSHALL
        SELECT 15
        DBSIZE
    """,
    "SELECT in a transaction": r"""
        MULTI
        SET a 0
        SELECT 1
        SET a 1
        SELECT 16
        SELECT x
        GET a
        SELECT 15
        SWAPDB 1 15
        GET a
        MOVE a 0
        MOVE a 1
        SELECT
        EXEC
        MULTI
        SET a 0
        SELECT 1
        SET a 1
        SELECT 16
        SELECT x
        GET a
        SELECT 15
        SWAPDB 1 15
        GET a
        MOVE a 0
        MOVE a 1
        EXEC
        DBSIZE
        MULTI
        SELECT 0
        DISCARD
        DBSIZE
        WATCH a
        1: SELECT 15
        1: SET a changed
        MULTI
        SELECT 1
        GET a
        EXEC
        GET a
        CLIENT INFO x
    """,
    "WATCH in several databases": r"""
        SET a 1
        WATCH a
        SELECT 1
        1: SELECT 1
        1: SET a 2
        MULTI
        PING
        EXEC
        WATCH a b
        SELECT 15
        1: SELECT 0
        1: SET b 2
        MULTI
        PING
        EXEC
        SELECT 1
        WATCH a
        SELECT 0
        WATCH c
        1: SELECT 1
        1: DEL a
        MULTI
        PING
        EXEC
        WATCH none
        1: SWAPDB 0 1
        MULTI
        PING
        EXEC
        WATCH a
        1: SWAPDB 0 1
        MULTI
        PING
        EXEC
        SELECT 15
        WATCH a
        1: SWAPDB 0 1
        MULTI
        PING
        EXEC
        WATCH a
        1: SWAPDB 1 15
        MULTI
        PING
        EXEC
        WATCH a
        1: SWAPDB 15 15
        MULTI
        PING
        EXEC
        WATCH a
        1: FLUSHALL
        MULTI
        PING
        EXEC
    """,
    "SELECT, PING, ECHO": r"""
        SELECT
        SELECT 0
        SELECT 1
        SELECT -1
        SELECT x
        SELECT 99999999999
        SELECT 99999999999999999999
        SELECT 0 1
        SELECT 00
        PING
        PING x
        PING x y
        ECHO
        ECHO x
        ECHO x y
    """,
    "unknown commands": r"""
        FOO
        foo bar
        foo "a\r\nb" "c\x00d"
        foo "" ""
        "" a
        "a\nb" x
    """,
    "arguments that a command does not take": r"""
        RESET
        RESET x
        MULTI x
        EXEC
        DISCARD
        DISCARD x
        UNWATCH x
        UNWATCH
        WATCH
        FLUSHALL FOO
        FLUSHALL ASYNC SYNC
        FLUSHALL SYNC
        FLUSHALL sync
        FLUSHALL ASYNC
        FLUSHDB FOO
        FLUSHDB SYNC SYNC
        TIME x
        INFO nosuch
        INFO nosuch nosuch2
        DBSIZE x
        MONITOR x
    """,
    "SHUTDOWN that is refused": r"""
        SHUTDOWN FOO
        SHUTDOWN SAVE NOSAVE
        SHUTDOWN NOSAVE FOO
        SHUTDOWN ABORT
        SHUTDOWN NOW ABORT
    """,
    "transactions that are spoiled, and that are not": r"""
        MULTI
        MULTI
        SET k v
        EXEC
        MULTI
        WATCH k
        SET k v
        EXEC
        MULTI
        FOO
        EXEC
        MULTI
        GET
        SET k 5
        EXEC
        EXEC
        MULTI
        MSET a
        EXEC
        MULTI
        MSET a b c
        EXEC
        MULTI
        CLIENT FOO
        EXEC
        MULTI
        CLIENT SETNAME
        EXEC
        MULTI
        CLIENT
        EXEC
        MULTI
        OBJECT FOO
        EXEC
        MULTI
        OBJECT ENCODING
        EXEC
        MULTI
        COMMAND FOO
        EXEC
        MULTI
        DISCARD x
        EXEC
        MULTI
        EXEC
        MULTI
        MULTI x
        EXEC
        MULTI
        WATCH
        EXEC
        MULTI
        HELLO 3
        EXEC
        HELLO 2
        MULTI
        HELLO 9
        EXEC
        MULTI
        RESET
        EXEC
        MULTI
        UNWATCH
        EXEC
        MULTI
        CLIENT REPLY ON
        SELECT 0
        SELECT 5
        PING
        AUTH x
        EXEC
        MULTI
        SET k x
        INCR k
        GET k
        EXEC
        MULTI
        EXEC
        DISCARD
        MULTI
        DISCARD
    """,
    "what breaks a watch": r"""
        WATCH k
        MULTI
        1:SET k y
        EXEC
        GET k
        WATCH k
        1:SET k y
        MULTI
        EXEC
        WATCH k
        1:SET k y
        UNWATCH
        MULTI
        EXEC
        WATCH k
        1:SET k y
        MULTI
        DISCARD
        MULTI
        EXEC
        WATCH k
        1:EXPIRE k 100
        MULTI
        EXEC
        WATCH k
        1:PERSIST k
        MULTI
        EXEC
        WATCH k
        1:PERSIST k
        MULTI
        EXEC
        WATCH none
        1:DEL none
        MULTI
        EXEC
        WATCH none
        1:FLUSHALL
        MULTI
        EXEC
        SET k v
        WATCH k
        1:FLUSHALL
        MULTI
        EXEC
        SET k v
        WATCH k
        1:APPEND k ""
        MULTI
        EXEC
        WATCH k
        1:SETRANGE k 0 ""
        MULTI
        EXEC
        WATCH k
        1:SETRANGE k 0 v
        MULTI
        EXEC
        WATCH k
        1:RENAME k k
        MULTI
        EXEC
        WATCH k
        1:GETEX k
        MULTI
        EXEC
        WATCH k
        1:GETEX k PERSIST
        MULTI
        EXEC
        WATCH k
        1:GETEX k EX 100
        MULTI
        EXEC
        WATCH k
        1:TOUCH k
        MULTI
        EXEC
        WATCH k
        1:EXPIRE k 100 NX
        MULTI
        EXEC
        WATCH k
        1:EXPIRE k 0
        MULTI
        EXEC
        WATCH none
        1:EXPIRE none 0
        MULTI
        EXEC
        WATCH none
        1:SET none v EXAT 1
        MULTI
        EXEC
        WATCH none
        1:SET none v
        1:DEL none
        MULTI
        EXEC
        SET k v
        WATCH k
        1:INCRBY k x
        1:INCR k
        1:INCRBYFLOAT k 1
        MULTI
        EXEC
        WATCH k
        1:MSETNX k x y z
        MULTI
        EXEC
        WATCH y
        1:MSETNX k x y z
        1:SETNX k x
        1:RENAMENX k k
        1:COPY k k
        1:SET k v NX
        MULTI
        EXEC
        WATCH k
        SET k 1
        MULTI
        EXEC
        WATCH k
        SELECT 0
        1:COPY z k REPLACE
        MULTI
        EXEC
        WATCH k
        1:SET z q
        1:COPY z k REPLACE
        MULTI
        EXEC
        WATCH k k
        MULTI
        EXEC
        WATCH k
        FOO
        MULTI
        EXEC
        WATCH k
        MULTI
        1:SET k v
        FOO
        EXEC
        MULTI
        EXEC
        SET k v
        WATCH k
        1:DEL k
        1:SET k v
        MULTI
        EXEC
    """,
    "RENAME, COPY": r"""
        SET a v
        RENAME a a
        RENAME b b
        RENAME b a
        RENAME none none2
        RENAMENX none a
        RENAMENX a a
        RENAMENX none none
        EXPIREAT a 4102444800
        RENAME a b
        EXPIRETIME b
        COPY b c
        EXPIRETIME c
        SET d v
        COPY d c REPLACE
        EXPIRETIME c
        COPY d d
        COPY none none
        COPY none d DB 0
        COPY a b DB
        COPY a b DB x
        COPY a b DB 1
        COPY a b DB -1
        COPY a b DB 0 DB 0
        COPY a b REPLACE REPLACE
        COPY a b FOO
        COPY b b DB 0
        COPY b b DB 1
        COPY b b FOO
        COPY d d REPLACE
        COPY none none DB x
        COPY a b DB 99999999999
    """,
    "what keeps a deadline": r"""
        SET b 2
        SET e 1 KEEPTTL
        SET b 2 KEEPTTL
        EXPIRETIME b
        GETSET b 3
        EXPIRETIME b
        SET e 1 EXAT 4102444800
        INCR e
        APPEND e 5
        SETRANGE e 0 9
        INCRBYFLOAT e 1.5
        EXPIRETIME e
        SETNX e 1
        EXPIRETIME e
        MSET e 1
        EXPIRETIME e
        SET e 1 PXAT 4102444800500 GET
        EXPIRETIME e
        SET e 1 PXAT 4102444800500 XX NX
        SET e 1 PXAT 4102444800500 XX GET
        SET e 1 GET NX EXAT 5
    """,
    "GETDEL, MSET, MSETNX, DEL": r"""
        SET e 1
        GETDEL e
        GETDEL e
        GETDEL
        MSET a
        MSET a b c
        MSETNX a
        MSETNX a b c
        MSET
        MSETNX
        MSET a 1 a 2
        GET a
        MSETNX n 1 n 2
        GET n
        MSETNX a 1 q 2
        GET q
        MGET
        MGET a none n
        DEL
        DEL a a n
        UNLINK x y
        EXISTS e e e
        TYPE none
        TYPE
    """,
    "SCAN, KEYS, RANDOMKEY": r"""
        SCAN
        SCAN x
        SCAN -1
        SCAN +0
        SCAN " 0"
        SCAN "0 "
        SCAN ""
        SCAN 0x0
        SCAN 00
        SCAN 18446744073709551616
        SCAN 18446744073709551615
        SCAN 99999999999999999999999
        SCAN 0 COUNT 0
        SCAN 0 COUNT -1
        SCAN 0 COUNT x
        SCAN 0 COUNT 9223372036854775807
        SCAN 0 COUNT 99999999999999999999
        SCAN 0 COUNT
        SCAN 0 MATCH
        SCAN 0 TYPE
        SCAN 0 FOO
        SCAN 0 FOO bar
        SCAN x FOO bar
        SCAN 0 MATCH a MATCH b
        SCAN 0 COUNT 1 COUNT 1000
        SCAN 0 TYPE hash
        SCAN 0 TYPE foo
        SCAN 0 COUNT 0 FOO bar
        SCAN 0 COUNT
        KEYS
        KEYS a b
        RANDOMKEY x
        RANDOMKEY
        SET a 1
        RANDOMKEY
        SCAN 0 TYPE STRING
        SCAN 0 TYPE string MATCH a
        SCAN 0 TYPE string MATCH b
    """,
    "LCS": r"""
        LCS a b
        SET a ohmytext
        SET b mynewtext
        LCS a b
        LCS a b LEN
        LCS a b IDX
        LCS a b IDX LEN
        LCS a b LEN IDX
        LCS a b IDX MINMATCHLEN 4
        LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN
        LCS a b IDX MINMATCHLEN -4 WITHMATCHLEN
        LCS a b WITHMATCHLEN
        LCS a b MINMATCHLEN 5
        LCS a b MINMATCHLEN
        LCS a b MINMATCHLEN x
        LCS a b FOO
        LCS a
        LCS a none
        LCS a none IDX
        LCS none a LEN
        LCS a b LEN LEN
        LCS a b IDX IDX WITHMATCHLEN WITHMATCHLEN
        LCS a b LEN IDX FOO
        LCS a b LEN MINMATCHLEN x IDX
        LCS a a
        LCS a a IDX WITHMATCHLEN
        LCS a b IDX
        LCS none none IDX
    """,
    "globs": r"""
        MSET a 1 b 1 ab 1 abc 1 a*c 1 "a?c" 1 a[c 1 a]c 1 "a\\c" 1 a-c 1 ^ 1 - 1 ] 1 [ 1 "\xff" 1 "a\nb" 1 aXbXc 1 !a 1
        MSET "\\" 1 "a\\" 1
        KEYS "*"
        KEYS "?"
        KEYS "??"
        KEYS "a*"
        KEYS "*c"
        KEYS "a*c"
        KEYS "a\\*c"
        KEYS "a\\?c"
        KEYS "a[*]c"
        KEYS "a[?]c"
        KEYS "a[[]c"
        KEYS "a[]]c"
        KEYS "a[\\]]c"
        KEYS "a[^b]c"
        KEYS "a[!b]c"
        KEYS "a[^]c"
        KEYS "a[]c"
        KEYS "[a-c]"
        KEYS "[c-a]"
        KEYS "[^a-c]"
        KEYS "[a-"
        KEYS "[a"
        KEYS "["
        KEYS "[]"
        KEYS "[^]"
        KEYS "[^"
        KEYS "[\\"
        KEYS "[a\\"
        KEYS "\\"
        KEYS "a\\"
        KEYS "\\a"
        KEYS "\\\\"
        KEYS "a\\\\c"
        KEYS "*\\"
        KEYS "[-]"
        KEYS "[a-]"
        KEYS "[-a]"
        KEYS "[^-]"
        KEYS "[a-]c]"
        KEYS "[a-\\]]"
        KEYS "[\\a-c]"
        KEYS "[a-b-c]"
        KEYS "[^^]"
        KEYS "**"
        KEYS "***a***"
        KEYS "*?"
        KEYS "?*"
        KEYS "*X*X*"
        KEYS "a*b*c*d"
        KEYS "[\x80-\xff]"
        KEYS "[\xff]"
        KEYS "a?b"
        KEYS "a\nb"
        KEYS "!a"
        KEYS "[]]"
        KEYS "[[]"
        KEYS "[[-]]"
        KEYS "[*]"
        KEYS "*[^c]"
        KEYS ""
        KEYS "[a^]"
        KEYS "[]-a]"
        KEYS "[a]]"
        KEYS "[a-c]*[a-c]"
    """,
}


@PROTOCOLS
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_both_servers_reply_the_same(servers: Servers, story: str, protocol: int) -> None:
    send_story(servers, story, protocol)
