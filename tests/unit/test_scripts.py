"""Scripts in one process: the sandbox against hostile scripts, bounds, busy servers, and what other features see.

What scripts return is compared with Redis in tests/differential/test_scripts.py.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

pytest.importorskip("lupa", reason="the extra scripts is not installed")

from common.errors import SCRIPT_BUSY, CommandError
from common.limits import MIB
from common.replies import DEFERRED, OK, ErrorReply, Reply
from common.resp_client import ReplyDecoder, encode_request
from common.resp_requests import MIN_BATCH
from server.app import Server
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.scripts import cache, interpreter
from server.scripts.cache import MAX_QUICK_SIZE, MAX_SCRIPT_SIZE, digest_of
from server.session.context import ServerContext
from server.settings import Settings
from tests.harness.processes import Peer
from tests.harness.sessions import (
    ClientSession,
    connect,
    execute,
    execute_line,
    new_session,
    send_line,
    send_lines,
    transport_of,
)
from tests.harness.waiting import TIMEOUT, wait_until


def run(session: ClientSession, script: str, *args: bytes) -> Reply:
    """Run a script without keys."""
    return execute(session, b"EVAL", script.encode(), b"0", *args)


def error(session: ClientSession, script: str, *args: bytes) -> str:
    reply = run(session, script, *args)
    assert isinstance(reply, ErrorReply), reply
    return reply.text.decode()


# ---------------------------------------------------------------- the sandbox


@pytest.mark.parametrize(
    "name", ["python", "io", "os", "debug", "require", "package", "dofile", "loadfile", "getfenv", "newproxy", "print"]
)
def test_a_script_has_no_such_global(session: ClientSession, name: str) -> None:
    expected = f"ERR user_script:1: Script attempted to access nonexistent global variable '{name}'"
    assert error(session, f"return {name}").startswith(expected)
    assert error(session, f"return _G['{name}']").startswith(expected)
    assert error(session, f"return loadstring('return {name}')()").startswith("ERR [string")
    assert run(session, f"return rawget(_G, '{name}')") is None


WALK = """
local seen, found = {}, {}
local function walk(value, path)
  local kind = type(value)
  if kind == "userdata" and path ~= "_G.cjson.null" then found[#found + 1] = path end
  if kind == "thread" then found[#found + 1] = path end
  if kind ~= "table" or seen[value] then return end
  seen[value] = true
  for key, item in pairs(value) do
    walk(key, path .. ".key")
    walk(item, path .. "." .. tostring(key))
  end
  local metatable = getmetatable(value)
  if metatable then walk(metatable, path .. ".metatable") end
end
walk(_G, "_G")
walk(getmetatable(""), "string")
return found
"""


def test_nothing_that_a_script_can_reach_is_a_python_object(session: ClientSession) -> None:
    assert run(session, WALK) == []


@pytest.mark.parametrize(
    "script",
    [
        "return pcall(redis.call, setmetatable({}, {__tostring = function() return 'GET' end}))",
        "return type(({pcall(redis.call)})[2])",
        "local _, problem = pcall(redis.call, 'INCR', {}) return type(problem)",
        "local _, problem = xpcall(function() redis.call('NOSUCH') end, function(e) return type(e) end) return problem",
        "return type(({coroutine.resume(coroutine.create(function() redis.call('NOSUCH') end))})[2])",
        "return type(redis.pcall('GET'))",
    ],
)
def test_errors_are_values_of_lua(session: ClientSession, script: str) -> None:
    reply = run(session, script)
    assert reply in (None, [None], b"string", b"table")


def test_what_a_script_changes_is_gone_with_it(session: ClientSession) -> None:
    changes = """
        rawset(KEYS, 'x', 1)
        table.insert(string, 'x')
        pcall(function() getmetatable('').__index.x = 1 end)
        pcall(function() getmetatable('').y = 1 end)
        pcall(rawset, getmetatable(_G), '__index', function() return 1 end)
        pcall(setmetatable, redis, nil)
    """
    run(session, changes)
    assert run(session, "return {#string, rawget(KEYS, 'x') or 0, ('').x == nil and 1 or 0}") == [0, 0, 1]
    assert "nonexistent" in error(session, "return zzz")


@pytest.mark.parametrize("code", ["string.dump(function() return 1 end)", "'\\27Lua'"])
def test_precompiled_code_is_not_loaded(session: ClientSession, code: str) -> None:
    assert run(session, f"return ({{loadstring({code})}})[2]") == b"precompiled code is not allowed"
    assert run(session, f"local c = {code} return ({{load(function() local r = c c = nil return r end)}})[2]") == (
        b"precompiled code is not allowed"
    )
    reply = execute(session, b"EVAL", b"\x1bLua", b"0")
    assert isinstance(reply, ErrorReply)


# ---------------------------------------------------------------- bounds


@pytest.mark.parametrize(
    "script",
    [
        "return string.rep('x', 2 ^ 29)",
        "local t = {} while true do t[#t + 1] = string.rep('x', 1000000) .. #t end",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do pcall(function() t[#t + 1] = string.rep('x', 100000) .. #t end) end",
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "local t = {} while true do t[#t + 1] = redis.call('ECHO', string.rep('x', 100000)) .. #t end",
        "local t = {} while true do t[#t + 1] = redis.call('MGET', 'k', 'k', 'k') end",
        "return cjson.encode(string.rep('x', 2 ^ 23)):rep(2 ^ 10)",
    ],
)
def test_a_script_that_needs_too_much_memory_fails(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(interpreter, "MAX_SCRIPT_MEMORY", 4 * 1024 * 1024)
    monkeypatch.setattr(interpreter, "MIN_GARBAGE", 1024 * 1024)
    if "while true do pcall" in script:  # a loop that goes on after each failure
        session.context.scripts.threshold = 0
        threading.Thread(target=kill_when_it_runs, args=(session.context,)).start()
    assert "not enough memory" in (text := error(session, script)) or "Script killed" in text
    assert run(session, "return #string.rep('x', 1000000)") == 1_000_000


def kill_when_it_runs(context: ServerContext) -> None:
    wait_until(lambda: context.scripts.is_busy, "the script runs")
    context.scripts.kill()


def test_a_large_reply_of_a_command_is_an_error_of_the_script(
    session: ClientSession, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreter, "MAX_SCRIPT_MEMORY", 4 * 1024 * 1024)
    store.set(b"k", bytes(5 * 1024 * 1024))
    for call in ("redis.call('GET', 'k')", "redis.call('MGET', 'k')", "redis.pcall('GET', 'k')"):
        assert "not enough memory" in error(session, f"return #{call}")
    assert run(session, "return redis.call('STRLEN', 'k')") == 5 * 1024 * 1024


@pytest.mark.parametrize(
    "script",
    [
        "local function f() return 1 + f() end return f()",
        "local function f() return pcall(f) end return tostring(f())",
        "local function f() return coroutine.wrap(f)() end return f()",
        "local t = {} t[1] = t return t",
        "local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x",
        "return string.gsub('x', 'x', function() return cjson.decode(string.rep('[', 2000)) end)",
        "local t = {} for i = 1, 10000 do t = {t} end return cjson.encode(t)",
        "local t = {} for i = 1, 10000 do t = {t} end return #cmsgpack.pack(t)",
    ],
)
def test_deep_recursion_ends_with_a_reply(session: ClientSession, script: str) -> None:
    assert not isinstance(run(session, script), list)
    assert run(session, "return 1") == 1


def test_an_array_that_is_nested_too_deeply_is_an_error(session: ClientSession) -> None:
    assert run(session, "local t = {} for i = 1, 60 do t = {t} end return t")
    assert "reached lua stack limit" in error(session, "local t = {} for i = 1, 70 do t = {t} end return t")


@pytest.mark.parametrize("text", ["", "abc", "12345678901234567890", "9" * 5000])
def test_a_big_number_need_not_be_a_number(session: ClientSession, text: str) -> None:
    assert run(session, f"return {{big_number='{text}'}}") == text.encode()


def test_a_script_has_a_bound_on_what_it_writes(session: ClientSession, store: Store) -> None:
    session.context.limits = session.context.limits.__class__(max_request=10_000)
    script = "for i = 1, 1000 do redis.call('SET', i, 'x') end"
    assert error(session, script).startswith("ERR the script has written more than 10000 bytes script: ")
    assert 10 < len(store) < 100


def test_thousands_of_keys_and_arguments_are_passed(session: ClientSession) -> None:
    many = [b"%d" % number for number in range(9000)]
    reply = execute(session, b"EVAL", b"return {#KEYS, #ARGV, KEYS[3000], ARGV[6000]}", b"3000", *many)
    assert reply == [3000, 6000, b"2999", b"8999"]


def test_the_least_recently_used_script_is_evicted(session: ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_SCRIPTS", 2)
    digests = [execute(session, b"SCRIPT", b"LOAD", b"return %d" % number) for number in range(2)]
    assert execute(session, b"EVALSHA", bytes(digests[0]), b"0") == 0  # type: ignore[arg-type]
    run(session, "return 'third'")
    assert execute(session, b"SCRIPT", b"EXISTS", *digests) == [1, 0]  # type: ignore[arg-type]


MANY_FUNCTIONS = b"local t = {} " + b"t[1] = function() end " * 2000 + b"return %d"
"""A script that takes far more memory than its text."""


def test_scripts_are_evicted_that_take_much_memory_when_they_are_compiled(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreter, "MAX_SCRIPT_MEMORY", 4 * MIB)
    monkeypatch.setattr(interpreter, "MAX_COMPILED_MEMORY", 2 * MIB)
    monkeypatch.setattr(interpreter, "MIN_GARBAGE", MIB // 4)
    digests = [execute(session, b"SCRIPT", b"LOAD", MANY_FUNCTIONS % number) for number in range(20)]
    known = execute(session, b"SCRIPT", b"EXISTS", *digests)  # type: ignore[arg-type]
    assert isinstance(known, list)
    assert known[0] == 0
    assert known[-1] == 1
    assert 4 < known.count(1) < 16
    assert run(session, "return #string.rep('x', 100000)") == 100_000


def test_a_script_does_not_collect_the_garbage_because_many_others_are_known(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreter, "MIN_GARBAGE", MIB // 4)
    collections: list[int] = []
    collect = interpreter.Interpreter._collect

    def counted(self: interpreter.Interpreter) -> None:
        collections.append(1)
        collect(self)

    monkeypatch.setattr(interpreter.Interpreter, "_collect", counted)
    for number in range(5):
        execute(session, b"SCRIPT", b"LOAD", MANY_FUNCTIONS % number)
    for _ in range(5):
        run(session, "return 1")
    assert len(collections) == 1
    run(session, "return string.rep('x', 1000000)")
    assert len(collections) == 2


# ---------------------------------------------------------------- slow scripts


@contextmanager
def connected(server: Server) -> Iterator[Peer]:
    peer = Peer(server.port)
    try:
        yield peer
    finally:
        peer.close()


def ask(peer: Peer, line: str) -> str:
    """Send a line of text, and return the line of its reply."""
    return peer.ask(line.encode()).decode()


@contextmanager
def running(server: Server, script: str) -> Iterator[Peer]:
    """Run a script that does not end by itself, and wait until it is slow."""
    with connected(server) as peer:
        peer.send(b"EVAL %b 0\r\n" % b'"'.join((b"", script.encode(), b"")))
        wait_until(lambda: server.context.scripts.is_busy, "the script is slow")
        yield peer


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(Settings(ports=(0,), busy_reply_threshold=1)) as started:
        yield started


BUSY = "(error) BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."

ENDLESS = [
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "while true do xpcall(function() while true do end end, function() while true do end end) end",
    "coroutine.wrap(function() while true do end end)()",
    "while true do pcall(coroutine.wrap(function() while true do end end)) end",
    "local function f() return f() end f()",
    "for i = 1, 1e300 do redis.call('GET', 'k') end",
    "string.gsub(string.rep('x', 1000), '.', function() while true do end end)",
    "loadstring('while true do end')()",
    "table.sort({3, 1, 2}, function() while true do end end)",
    "return setmetatable({}, {__index = function() while true do end end}).x",
]


@pytest.mark.parametrize("script", ENDLESS)
def test_script_kill_ends_an_endless_script(server: Server, script: str) -> None:
    with running(server, script) as peer, connected(server) as other:
        assert ask(other, "GET k") == BUSY
        assert ask(other, "SCRIPT KILL") == "OK"
        assert "Script killed by user with SCRIPT KILL" in peer.line().decode()
        assert ask(other, "SCRIPT KILL") == "(error) NOTBUSY No scripts in execution right now."
        assert ask(other, "SET k v") == "OK"
        assert not server.context.inspection.needed


class Killer:
    """An observer that kills the script that sets a key."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def observer_of(self, store: Store) -> Killer:
        return self

    def on_set(self, *_: object) -> None:
        assert self._context.scripts.running is not None
        self._context.scripts.running.kill(always=True)


@pytest.mark.parametrize("call", ["redis.call(%s)", "pcall(redis.call, %s)", "coroutine.wrap(redis.call)(%s)"])
def test_a_script_that_is_killed_executes_no_more_commands(session: ClientSession, store: Store, call: str) -> None:
    """Its instructions are counted, and many slow commands could be executed before the next check."""
    session.context.engine.observe_keys(Killer(session.context), lambda: None)  # type: ignore[arg-type]
    text = error(session, " ".join(call % f"'SET', '{key}', 1" for key in "abc"))
    assert text.startswith("ERR Script killed by user with SCRIPT KILL...")
    assert store.all_keys() == [b"a"]


def test_a_slow_script_makes_other_requests_fail(server: Server) -> None:
    with connected(server) as before, connected(server) as watching:
        ask(before, "MULTI")
        ask(before, "SET k v")
        ask(watching, "WATCH k")
        with running(server, "while true do end") as peer, connected(server) as other:
            for line in ("GET k", "PING", "EVAL 'return 1' 0", "SCRIPT EXISTS x", "INFO", "CONFIG GET *"):
                assert ask(other, line) == BUSY
            assert ask(before, "EXEC") == BUSY.replace("BUSY", "EXECABORT Transaction discarded because of:", 1)
            assert ask(watching, "UNWATCH") == "OK"
            assert ask(other, "SHUTDOWN") == BUSY
            assert ask(other, "MULTI") == "OK"
            ask(other, "DISCARD")
            assert ask(other, "SCRIPT KILL") == "OK"
            peer.line()
        assert ask(before, "GET k") == "(nil)"


def test_clients_that_watch_or_track_can_disconnect_while_a_script_is_slow(server: Server) -> None:
    with connected(server) as watching, connected(server) as tracking:
        assert ask(watching, "WATCH k") == "OK"
        tracking.send(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*3\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$2\r\nON\r\n")
        wait_until(lambda: server.context.tracking.figures.clients == 1, "the client tracks")
        with running(server, "while true do end") as peer, connected(server) as other:
            watching.close()
            tracking.close()
            assert ask(other, "PING") == BUSY
            assert ask(other, "SCRIPT KILL") == "OK"
            peer.line()
            assert ask(other, "SET k v") == "OK"


def test_a_script_that_has_written_is_not_killed(server: Server) -> None:
    with running(server, "redis.call('SET', 'k', 'v') while redis.call('GET', 'k') do end"), connected(server) as other:
        wait_until(lambda: "UNKILLABLE" in ask(other, "SCRIPT KILL"), "the script has written")
        assert ask(other, "GET k") == BUSY


def test_shutdown_nosave_stops_a_server_with_an_endless_script(server: Server) -> None:
    with running(server, "redis.call('SET', 'k', 'v') while true do end"), connected(server) as other:
        other.send(b"SHUTDOWN NOSAVE\r\n")
        assert other.rest() == b""
    wait_until(lambda: not any(thread.name == "shutdown" for thread in threading.enumerate()), "it has stopped")


# ---------------------------------------------------------------- requests that wait for a script that becomes slow


@contextmanager
def becoming_slow(
    session: ClientSession, at_refusal: Callable[[ServerContext], object] = lambda _: None
) -> Iterator[None]:
    """Run a script that does not end, and refuse each request that has to wait for it."""
    context = session.context

    def refuse() -> None:
        at_refusal(context)
        raise CommandError(SCRIPT_BUSY)

    context.engine.limit_waits(refuse)
    thread = threading.Thread(target=run, args=(connect(context), "while true do end"))
    thread.start()
    try:
        wait_until(lambda: context.scripts.running is not None, "the script runs")
        yield
    finally:
        end_script(context)
        thread.join(TIMEOUT)


def end_script(context: ServerContext) -> None:
    """End the script that runs, if any. Requests wait for that."""
    context.engine.limit_waits(lambda: None)
    with suppress(CommandError):
        context.scripts.kill()


def test_each_request_of_a_pipeline_is_refused_while_a_script_becomes_slow(session: ClientSession) -> None:
    pipeline = encode_request([b"GET", b"k"]) * MIN_BATCH
    with becoming_slow(session):
        assert ReplyDecoder().feed(session.feed(pipeline)) == [SCRIPT_BUSY] * MIN_BATCH
    assert ReplyDecoder().feed(session.feed(pipeline)) == [None] * MIN_BATCH


def test_a_request_that_may_be_short_is_refused_while_a_script_becomes_slow(session: ClientSession) -> None:
    with becoming_slow(session):
        assert session.session.try_execute([b"BITCOUNT", b"k"]) is DEFERRED
        assert session.session.execute_deferred() == SCRIPT_BUSY
    assert session.session.try_execute([b"BITCOUNT", b"k"]) == 0


def test_statistics_are_not_reset_while_a_script_becomes_slow(session: ClientSession) -> None:
    """The thread that executes CONFIG RESETSTAT may be the one that has to execute SCRIPT KILL."""
    send_line(session, "ECHO x")
    with becoming_slow(session):
        assert send_line(session, "CONFIG RESETSTAT") == BUSY
    assert "cmdstat_echo" in send_line(session, "INFO commandstats")


def test_a_setting_that_a_slow_script_does_not_allow_to_change_keeps_its_value(
    session: ClientSession, other: ClientSession
) -> None:
    name = "notify-keyspace-events"
    with becoming_slow(session):
        assert send_line(session, f"CONFIG SET maxclients 7 {name} KEA") == BUSY
    assert execute_line(session, f"CONFIG GET {name}") == [name.encode(), b""]
    assert execute_line(session, "CONFIG GET maxclients") == [b"maxclients", b"10000"]
    assert send_line(session, f"CONFIG SET {name} KEA") == "OK"
    other.feed(b"PSUBSCRIBE __keyevent*\n")
    other.stream.take_pushes()
    send_line(session, "SET k v")
    assert other.stream.take_pushes() == b"pmessage __keyevent* __keyevent@0__:set k\n"


def test_a_transaction_is_refused_if_a_slow_script_keeps_it_from_selecting_a_database(
    session: ClientSession, store: Store
) -> None:
    send_lines(session, "MULTI", "SELECT 5", "SET k v")
    with becoming_slow(session, end_script):
        assert send_line(session, "EXEC") == BUSY
    assert store.all_keys() == []


# ---------------------------------------------------------------- other features


def test_a_script_is_one_step_of_the_keyspace(session: ClientSession, other: ClientSession) -> None:
    send_line(other, "WATCH k")
    run(session, "redis.call('SET', 'k', 1) redis.call('DEL', 'k')")
    send_line(other, "MULTI")
    send_line(other, "PING")
    assert execute(other, b"EXEC") is None


@pytest.mark.parametrize("events", ["", "KEA"])
def test_a_script_of_a_transaction_runs_at_its_place(session: ClientSession, events: str) -> None:
    assert execute(session, b"CONFIG", b"SET", b"notify-keyspace-events", events.encode()) == OK
    send_lines(session, "MULTI", "SET k 1", "EVAL \"return redis.call('INCR', KEYS[1])\" 1 k", "GET k")
    assert execute(session, b"EXEC") == [OK, 2, b"2"]


def test_monitor_shows_the_script_and_then_its_commands(session: ClientSession, other: ClientSession) -> None:
    send_line(other, "MONITOR")
    send_line(session, "EVAL \"return redis.call('SET', KEYS[1], 'v')\" 1 k")
    lines = b"".join(transport_of(other).pushed).decode().splitlines()
    assert lines[-2].endswith("""[0 10.0.0.1:5000] "EVAL" "return redis.call('SET', KEYS[1], 'v')" "1" "k\"""")
    assert lines[-1].endswith("""[0 lua] "SET" "k" "v\"""")


def test_the_commands_of_a_script_are_counted(session: ClientSession) -> None:
    run(session, "redis.call('GET', 'k') redis.pcall('INCR', 'k') redis.call('SET', 'k', 'x') redis.pcall('INCR', 'k')")
    stats = session.client.stats.by_command
    counts = {command.name: (sum(stat.buckets), stat.failed) for command, stat in stats.items()}
    assert (counts[b"GET"], counts[b"INCR"], counts[b"EVAL"]) == ((1, 0), (2, 1), (1, 0))


def test_keyspace_notifications_name_the_commands_of_a_script(session: ClientSession, other: ClientSession) -> None:
    send_line(session, "CONFIG SET notify-keyspace-events KEA")
    send_line(other, "PSUBSCRIBE __keyevent*")
    send_line(session, "EVAL \"redis.call('SET', 'k', 1) redis.call('INCR', 'k') return redis.call('DEL', 'k')\" 0")
    pushed = b"".join(transport_of(other).pushed).decode().splitlines()
    assert [line.split()[2].rpartition(":")[2] for line in pushed[1:]] == ["set", "incrby", "del"]


def test_the_memory_limit_refuses_the_first_write_of_a_script(session: ClientSession) -> None:
    send_line(session, "SET k v")
    send_line(session, "CONFIG SET maxmemory 1")
    assert error(session, "return redis.call('SET', 'a', 1)").startswith("OOM command not allowed")
    assert run(session, "return redis.call('GET', 'k')") == b"v"
    # After a write it is too late to refuse, as in Redis.
    assert run(session, "redis.call('DEL', 'nokey') return redis.call('SET', 'a', 1)") == OK
    assert error(session, "#!lua\nreturn 1").startswith("OOM command not allowed")
    assert run(session, "#!lua flags=no-writes\nreturn 1") == 1
    assert run(session, "#!lua flags=allow-oom\nreturn redis.call('SET', 'b', 1)") == OK


def test_a_script_can_select_another_database_for_itself(session: ClientSession) -> None:
    assert run(session, "redis.call('SELECT', 3) return redis.call('SET', 'k', 'three')") == OK
    assert run(session, "return redis.call('GET', 'k')") is None
    send_line(session, "SELECT 3")
    assert send_line(session, "GET k") == "three"
    assert "DB index is out of range" in error(session, "return redis.call('SELECT', 99)")


def test_time_stands_still_in_a_script() -> None:
    session = new_session(EmbeddedEngine(Store()))  # with the clock of the system
    script = "redis.call('SET', 'k', 'v', 'PX', 1) for i = 1, 1000000 do end return redis.call('EXISTS', 'k')"
    assert run(session, script) == 1


@pytest.mark.parametrize("command", ["INFO", "CLIENT ID", "CONFIG GET x", "EVAL x 0", "SCRIPT KILL", "MULTI", "QUIT"])
def test_commands_that_are_not_for_scripts_are_refused(session: ClientSession, command: str) -> None:
    args = ", ".join(f"'{arg}'" for arg in command.split())
    assert error(session, f"return redis.call({args})").startswith("ERR This Redis command is not allowed from script")


def test_redis_log_writes_to_the_servers_log(session: ClientSession, caplog: pytest.LogCaptureFixture) -> None:
    run(session, "redis.log(redis.LOG_WARNING, 'from', 'Lua') redis.log(redis.LOG_WARNING, string.rep('x', 10000))")
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert lines == [("WARNING", "from Lua"), ("WARNING", "x" * 1024)]


def test_without_the_extra_the_error_says_what_to_install(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lupa", None)
    monkeypatch.delitem(sys.modules, "server.scripts.interpreter", raising=False)
    expected = "ERR scripts are not available: a script needs the extra 'scripts' ("
    assert error(session, "return 1").startswith(expected)
    assert send_line(session, "SCRIPT LOAD x").startswith(f"(error) {expected}")
    assert "scripts" in send_line(session, "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0")


def test_client_tracking_notes_what_a_script_reads(session: ClientSession, other: ClientSession) -> None:
    execute(session, b"HELLO", b"3")
    execute(session, b"CLIENT", b"TRACKING", b"ON")
    assert run(session, "redis.call('SET', 'own', 1) return redis.call('GET', 'k')") is None
    send_line(other, "SET own 2")
    assert transport_of(session).pushed == []
    send_line(other, "SET k 1")
    assert transport_of(session).pushed == [b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"]


def long_script(size: int) -> str:
    """Return a script of so many bytes that returns 1."""
    return "return 1".ljust(size, " ")


@pytest.mark.parametrize("size", [MAX_QUICK_SIZE, MAX_QUICK_SIZE + 1, MAX_SCRIPT_SIZE])
def test_a_script_of_any_size_up_to_the_bound_is_compiled_and_known(session: ClientSession, size: int) -> None:
    script = long_script(size)
    assert run(session, script) == 1
    assert execute(session, b"EVALSHA", digest_of(script.encode()), b"0") == 1
    assert run(session, script) == 1


def test_a_script_beyond_the_bound_is_refused(session: ClientSession) -> None:
    script = long_script(MAX_SCRIPT_SIZE + 1)
    assert error(session, script) == "ERR a script may have up to 262144 bytes"
    reply = execute(session, b"SCRIPT", b"LOAD", script.encode())
    assert isinstance(reply, ErrorReply)


def test_a_long_script_is_compiled_without_the_keyspace_lock_and_only_once(
    session: ClientSession, engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[bool] = []
    to_bytecode = interpreter.to_bytecode

    def note(text: bytes) -> bytes:
        taken = threading.Thread(target=lambda: compiled.append(engine.key_counts() is not None), daemon=True)
        taken.start()
        taken.join(TIMEOUT)
        return to_bytecode(text)

    monkeypatch.setattr(interpreter, "to_bytecode", note)
    for _ in range(2):
        assert run(session, long_script(MAX_QUICK_SIZE + 1)) == 1
    assert compiled == [True]


@pytest.mark.parametrize("padding", [0, MAX_QUICK_SIZE])
def test_errors_of_short_and_long_scripts_are_alike(session: ClientSession, padding: int) -> None:
    spaces = " " * padding
    assert "user_script:2: '=' expected near 'is'" in error(session, f"\nthis is{spaces} wrong")
    assert "user_script:2: boom" in error(session, f"{spaces}\nerror('boom')")
    assert "precompiled code is not allowed" in error(session, f"\x1bLua{spaces}")
    assert "ERR Unexpected engine" in error(session, f"#!js\n{spaces}return 1")
