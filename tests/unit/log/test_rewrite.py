"""Rewriting: a snapshot and a new log replace the old files, while clients change keys."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from common.errors import LOG_REWRITE_IN_PROGRESS, LOG_SAVE_IN_PROGRESS, CommandError
from server.engines.log.rewrite import SLICE_KEYS, RewriteFailed, rewrite
from tests.harness.clock import Clock
from tests.harness.locks import WatchedLock, counted_work
from tests.harness.logs import LoggedServer
from tests.harness.sessions import ClientSession, send_line
from tests.harness.waiting import TIMEOUT, wait_until

KEYS = 3 * SLICE_KEYS


def filled(**options: object) -> LoggedServer:
    server = LoggedServer(**options)  # type: ignore[arg-type]
    session = server.connect()
    session.feed(b"".join(b"SET key:%d value:%d\n" % (number, number) for number in range(KEYS)))
    server.log.commit()
    return server


def test_a_rewrite_leaves_one_snapshot_and_an_empty_log_with_the_same_keys_in_the_same_order() -> None:
    server = filled()
    server.run("DEL key:5", "SET key:5 again", "SET e 1 PXAT 3000000000000")
    server.rewrite()
    assert set(server.disk.files) == {"00000002.base", "00000002.log"}
    assert len(server.file("00000002.log")) < 200
    assert server.restart().items() == server.items()


def test_keys_that_are_set_together_are_in_the_snapshot() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    server.run_without_commit("MSET n 2 a 2 m 2")
    server.rewrite()
    assert server.restart().items() == server.items() == [(b"a", b"2", None), (b"n", b"2", None), (b"m", b"2", None)]


def test_changes_during_a_rewrite_are_kept_in_the_right_order() -> None:
    server = filled()
    steps = rewrite(server.log)
    next(steps)
    first, last = "key:0", f"key:{KEYS - 1}"  # one is in the snapshot already, the other one is not
    server.run(f"APPEND {first} x", f"APPEND {last} x", f"SETRANGE {last} 0 XY")
    server.run("DEL key:1", "SET key:1 again", f"DEL key:{KEYS - 2}", f"SET key:{KEYS - 2} again", "SET new 1")
    next(steps)
    server.run(f"RENAME {first} renamed", f"PEXPIRE {last} 100000", "INCR counter", "DEL key:2")
    for _ in steps:
        server.run("INCR counter")
    assert server.restart().items() == server.items()


def test_a_flushall_during_a_rewrite_is_kept() -> None:
    server = filled()
    steps = rewrite(server.log)
    next(steps)
    server.run("FLUSHALL", "SET a 1")
    assert list(steps) is not None
    assert server.restart().items() == [(b"a", b"1", None)]


def test_a_crash_before_the_snapshot_is_complete_leaves_the_old_files_and_the_new_log() -> None:
    server = filled()
    steps = rewrite(server.log)
    next(steps)
    server.run("SET new 1")
    restarted = server.restart()
    assert restarted.items() == server.items()
    restarted.run("SET newer 2")
    assert restarted.restart().items() == restarted.items()
    assert "tmp-00000002.base" not in restarted.disk.files


def test_a_rewrite_that_fails_changes_nothing_and_can_be_repeated() -> None:
    server = filled()
    steps = rewrite(server.log)
    next(steps)
    left = ["create"]

    def fail(what: str) -> None:
        if what == "sync" and left:
            left.clear()
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    server.disk.on_call = fail
    with pytest.raises(RewriteFailed):
        list(steps)
    server.service.tick()
    server.run("SET new 1")
    server.rewrite()
    assert server.restart().items() == server.items()


def test_the_lock_is_held_for_one_slice_at_a_time() -> None:
    server = filled()
    lock = WatchedLock()
    server.log.lock = lock  # type: ignore[assignment]
    steps = rewrite(server.log)
    held = []
    with counted_work(lock) as work:
        for _ in steps:
            held.append(work.calls_under_lock)
            work.calls_under_lock = 0
    # A look-up of the value and of the expiry, and the queue's two operations, per key.
    assert max(held) < 8 * SLICE_KEYS


# ---------------------------------------------------------------- when


def test_the_log_is_rewritten_when_it_has_doubled_and_exceeds_the_minimum() -> None:
    server = filled()
    server.service.rewrite_min_size = 3 * len(server.file("00000001.log"))
    server.service.tick()
    assert set(server.disk.files) == {"00000001.log"}
    server.service.rewrite_min_size = 1000
    server.service.tick()
    wait_until(lambda: "00000001.log" not in server.disk.files, "the log is rewritten")
    server.service.tick()
    assert set(server.disk.files) == {"00000002.base", "00000002.log"}, "not again: it has not doubled"


def test_removed_keys_are_forgotten_without_a_rewrite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.engines.log.key_order.MIN_STALE_KEYS", 10)
    server = LoggedServer()
    server.run(*(line for number in range(20) for line in (f"SET key:{number} 1", f"DEL key:{number}")))
    assert server.log.recorders.needs_visit
    server.service.tick()
    assert not server.log.recorders.needs_visit
    assert set(server.disk.files) == {"00000001.log"}


# ---------------------------------------------------------------- commands


def test_save_returns_when_the_snapshot_is_complete(clock: Clock) -> None:
    server = filled()
    assert server.run("SAVE") == ["OK"]
    assert "00000002.base" in server.disk.files
    assert abs(int(server.run("LASTSAVE")[0]) - server.service.last_save) == 0


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("BGSAVE", "Background saving started"),
        ("BGSAVE SCHEDULE", "Background saving started"),
        ("BGREWRITEAOF", "Background append only file rewriting started"),
    ],
)
def test_commands_begin_a_rewrite_in_the_background(command: str, reply: str) -> None:
    server = filled()
    assert server.run(command) == [reply]
    wait_until(lambda: "00000002.base" in server.disk.files, "the snapshot is complete")
    wait_until(lambda: "aof_rewrite_in_progress:0" in server.run("INFO persistence")[0], "the rewrite is complete")


def test_one_rewrite_at_a_time() -> None:
    server = filled()
    may_go_on = threading.Event()

    def wait(_: str) -> None:
        assert may_go_on.wait(TIMEOUT)

    server.disk.on_call = wait
    server.service.begin_rewrite()
    info = server.run("INFO persistence")[0].split("\n")
    assert {"aof_rewrite_in_progress:1", "rdb_bgsave_in_progress:1"} <= set(info)
    assert "aof_current_rewrite_time_sec:-1" not in info
    for begin, error in (
        (server.service.save, LOG_SAVE_IN_PROGRESS),
        (server.service.begin_save, LOG_SAVE_IN_PROGRESS),
        (server.service.begin_rewrite, LOG_REWRITE_IN_PROGRESS),
    ):
        with pytest.raises(CommandError) as raised:
            begin()
        assert raised.value.reply == error
    may_go_on.set()
    wait_until(lambda: "00000002.base" in server.disk.files, "the snapshot is complete")


def test_after_a_rewrite_for_which_there_was_no_thread_another_one_can_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    server = LoggedServer()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError):
            server.service.begin_rewrite()
    server.service.save()


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_save_that_fails_is_an_error() -> None:
    server = filled()

    def fail(what: str) -> None:
        if what == "create":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    server.disk.on_call = fail
    assert server.run("SAVE") == ["(error) ERR the snapshot could not be written, the server's log has the details"]
    assert "aof_last_bgrewrite_status:err" in server.run("INFO persistence")[0]


def test_shutdown_save_writes_a_snapshot_first_and_goes_on_if_that_fails() -> None:
    server = filled()
    stopped: list[bool] = []
    server.context.shut_down = lambda: stopped.append(True)
    server.disk.on_call = lambda what: _refuse() if what == "create" else None
    assert server.run("SHUTDOWN SAVE")[0].startswith("(error) ERR the snapshot")
    assert not stopped
    assert server.run("SHUTDOWN SAVE FORCE") == [""]
    assert stopped
    server.disk.on_call = lambda _: None
    assert server.run("SHUTDOWN SAVE") == [""]
    assert any(name.endswith(".base") for name in server.disk.files)


def _refuse() -> None:
    raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def test_without_a_log_the_commands_say_how_to_get_one(session: ClientSession) -> None:
    for command in ("SAVE", "BGSAVE", "BGREWRITEAOF"):
        assert send_line(session, command) == "(error) ERR this server has no log; start it with --data"
    assert int(send_line(session, "LASTSAVE")) > 0
    assert {"loading:0", "aof_enabled:0"} <= set(send_line(session, "INFO persistence").splitlines())
