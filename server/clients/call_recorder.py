"""What is recorded of each call of a command: in the statistics, in the slow log, and for connections that monitor."""

from __future__ import annotations

import logging

from common.codec import Args
from common.errors import INTERNAL_ERROR, CommandError
from common.replies import ErrorReply, Reply
from server.clients.monitor import MonitorHub
from server.clients.registry import ClientInfo
from server.clients.slowlog import Slowlog
from server.registry import Command, Flag, RejectedCommand

logger = logging.getLogger(__name__)


class CallRecorder:
    """Records the calls of all clients of a server, each in the shard of its client (`server.clients.stats`)."""

    __slots__ = ("_monitors", "_slowlog")

    def __init__(self, slowlog: Slowlog, monitors: MonitorHub) -> None:
        self._slowlog = slowlog
        self._monitors = monitors

    def record(self, client: ClientInfo, command: Command, args: Args, reply: Reply, nanoseconds: int) -> None:
        """Count a call, list it in the slow log if it was slow, and send it to the connections that monitor."""
        stat = client.stats.by_command[command]
        stat.buckets[nanoseconds.bit_length()] += 1
        stat.nanoseconds += nanoseconds
        if reply is None:
            stat.nulls += 1
        if nanoseconds > self._slowlog.threshold:
            self.list_slow(client, command, args, nanoseconds)
        if self._monitors.has_subscribers:
            self.show(client, command, args)

    def list_slow(self, client: ClientInfo, command: Command, args: Args, nanoseconds: int) -> None:
        """List a call in the slow log, if its command may be listed."""
        if Flag.SKIP_SLOWLOG not in command.flags:
            self._slowlog.push(command.redacted(args), nanoseconds, client.address, client.name)

    def show(self, client: ClientInfo, command: Command, args: Args) -> None:
        """Send a request that was executed to the connections that monitor.

        After the execution, as in Redis: so the commands of a transaction come before its EXEC, and none is shown that
        was refused. Administrative commands are not shown.
        """
        if self._monitors.has_subscribers and not command.flags & (Flag.ADMIN | Flag.SKIP_MONITOR):
            self._monitors.publish(command.redacted(args), client)

    def record_failure(self, client: ClientInfo, command: Command, problem: Exception) -> ErrorReply:
        """Count that a command has raised an exception, and return the reply. One that is a bug is logged."""
        client.stats.by_command[command].failed += 1
        client.stats.errors += 1
        if isinstance(problem, CommandError):
            return problem.reply
        logger.error("a command failed unexpectedly", exc_info=problem)
        return INTERNAL_ERROR

    def record_refusal(self, client: ClientInfo, problem: CommandError) -> None:
        """Count a request that was neither executed nor queued."""
        client.stats.errors += 1
        if isinstance(problem, RejectedCommand):
            client.stats.by_command[problem.command].rejected += 1
