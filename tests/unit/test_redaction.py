"""Redaction: MONITOR and SLOWLOG do not show the arguments of commands that contain passwords."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.commands import COMMANDS
from server.registry import REDACTED, Flag
from tests.harness.sessions import ClientSession, execute, execute_line, send_line, transport_of
from tests.unit.test_commands import ENTRIES

EVERY_SECRET = pytest.mark.parametrize(
    ("args", "hidden"),
    [
        ([b"AUTH", b"hunter2"], 1),
        ([b"auth", b"default", b"hunter2"], 2),
        ([b"HELLO", b"3", b"AUTH", b"default", b"hunter2"], 4),
        ([b"hello", b"2", b"SETNAME", b"name", b"AUTH", b"default", b"hunter2"], 6),
    ],
    ids=["AUTH", "AUTH with a name", "HELLO", "HELLO with a name"],
)


@EVERY_SECRET
def test_monitor_redacts_the_arguments_of_auth_and_hello(
    session: ClientSession, other: ClientSession, args: list[bytes], hidden: int
) -> None:
    send_line(session, "MONITOR")
    execute(other, *args)
    (line,) = transport_of(session).pushed
    assert b"hunter2" not in line
    assert line.endswith(b'] "%b"%b\n' % (args[0], b' "(redacted)"' * hidden))


@EVERY_SECRET
def test_slowlog_redacts_the_arguments_of_auth_and_hello(
    session: ClientSession, other: ClientSession, args: list[bytes], hidden: int
) -> None:
    execute_line(session, "CONFIG SET slowlog-log-slower-than 0")
    execute(other, *args)
    (entry, *_) = session.context.slowlog.entries()
    assert entry.args == [args[0], *[REDACTED] * hidden]


def test_a_queued_command_is_redacted_too(session: ClientSession, other: ClientSession) -> None:
    execute_line(session, "CONFIG SET slowlog-log-slower-than 0")
    send_line(session, "MONITOR")
    for line in ("MULTI", "AUTH hunter2", "EXEC"):
        send_line(other, line)
    assert b"hunter2" not in b"".join(transport_of(session).pushed)
    assert not any(b"hunter2" in entry.args for entry in session.context.slowlog.entries())
    assert [b"AUTH", REDACTED] in [entry.args for entry in session.context.slowlog.entries()]


def test_other_commands_are_shown_with_their_arguments(session: ClientSession, other: ClientSession) -> None:
    send_line(session, "MONITOR")
    send_line(other, "SET password hunter2")
    (line,) = transport_of(session).pushed
    assert line.endswith(b'"SET" "password" "hunter2"\n')


@pytest.mark.parametrize("line", ["FLY hunter2", "AUTH", "AUTH a b c d", "CLIENT FLY hunter2", "GET"])
def test_monitor_does_not_show_unknown_commands_and_wrong_arity(
    session: ClientSession, other: ClientSession, line: str
) -> None:
    send_line(session, "MONITOR")
    send_line(other, line)
    if line != "AUTH a b c d":  # its arity is checked by the command itself
        assert transport_of(session).pushed == []
    assert b"hunter2" not in b"".join(transport_of(session).pushed)


def test_these_commands_are_sensitive() -> None:
    names = [each.name for each in ENTRIES if Flag.SENSITIVE in each.flags]
    assert names == [b"AUTH", b"CONFIG|SET", b"HELLO", b"MIGRATE"]
    auth = COMMANDS.resolve([b"AUTH", b"x"])
    assert auth.redacted([b"AUTH", b"x"]) == [b"AUTH", REDACTED]


def test_a_sensitive_subcommand_keeps_its_name() -> None:
    command = replace(COMMANDS.resolve([b"CLIENT", b"SETNAME", b"x"]), flags=Flag.SENSITIVE)
    assert command.redacted([b"CLIENT", b"SETNAME", b"x"]) == [b"CLIENT", b"SETNAME", REDACTED]


@pytest.mark.parametrize(
    "args",
    [
        [b"CONFIG", b"SET", b"requirepass", b"hunter2"],
        [b"config", b"set", b"RequirePass", b"hunter2"],
        [b"CONFIG", b"SET", b"maxclients", b"100", b"requirepass", b"hunter2"],
        [b"CONFIG", b"SET", b"requirepass", b"hunter2", b"maxclients", b"x"],
        [b"CONFIG", b"SET", b"maxclients", b"requirepass", b"hunter2"],
    ],
    ids=lambda args: b" ".join(args).decode(),
)
def test_a_password_that_config_set_changes_is_redacted_and_other_parameters_are_shown(
    session: ClientSession, other: ClientSession, args: list[bytes]
) -> None:
    execute_line(session, "CONFIG SET slowlog-log-slower-than 0")
    send_line(session, "MONITOR")
    execute(other, *args)
    shown = [REDACTED if arg == b"hunter2" else arg for arg in args]
    assert list(transport_of(session).pushed) == []  # administrative commands are not shown
    assert shown in [entry.args for entry in session.context.slowlog.entries()]
