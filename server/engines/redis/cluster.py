"""A backing Redis Cluster. redis-py knows which node has which slot, and follows MOVED and ASK; commands without keys
are run on every node that has keys, and their replies put together here.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException, RedisError, SlotNotCoveredError
from redis.retry import Retry

from common.codec import Args
from common.errors import (
    CROSS_SLOT,
    INVALID_CURSOR,
    BackendUnavailable,
    CommandError,
    backend_timed_out,
    backend_unavailable,
)
from common.replies import OK, Reply, SimpleString
from server.args.integers import parse_cursor
from server.engines.redis.connection import Node, Pool, RequestQueue, close_pool, explained, watch_pool
from server.engines.redis.reply_parser import StatusText
from server.engines.redis.time_limit import seconds_left, within
from server.engines.redis.url import Address
from server.registry import Command, CommandTable

NODE_BITS = 14
"""How much of a SCAN's cursor tells the node: a cluster has 2**14 slots, so no more nodes than that."""

REFRESH_LIMIT = 5.0
"""Seconds for asking the cluster anew who has what, after a request has failed."""

FAILURES = (RedisError, RedisClusterException, CommandError)


class _Client(RedisCluster):
    """redis-py's client, with replies as they came, and with our own table's word on where a command's keys stand."""

    commands: CommandTable

    def get_redis_connection(self, node: Any) -> Any:
        """Return the client of one node, without what would make other values of its replies.

        Only of COMMAND's, which redis-py asks for itself and no session forwards.
        """
        client: Any = super().get_redis_connection(node)
        if len(client.response_callbacks) > 1:
            client.response_callbacks = {"COMMAND": client.response_callbacks["COMMAND"]}
        return client

    def determine_slot(self, *args: Any) -> int:
        """Return the slot of a command's keys. Raises `CommandError` where they have no slot in common."""
        command = self.commands.find(args[0].encode())
        assert command is not None, "only commands of the table are sent"
        return self.common_slot(command.keys.of([args[0], *args[1:]]))

    def common_slot(self, keys: Sequence[bytes]) -> int:
        """Return the slot that all these keys have. Raises `CommandError` where there is none."""
        slots: set[int] = {self.keyslot(key) for key in keys}
        if len(slots) != 1:
            raise CommandError(CROSS_SLOT)
        return slots.pop()


class Cluster:
    """A cluster behind a pool a node; see `server.engines.redis.backend.Backend`."""

    def __init__(self, address: Address, connections: int, commands: CommandTable) -> None:
        self._address = address
        self._seeds = deque(address.nodes)
        self._connections = connections
        self._commands = commands
        self._present: _Client | None = None
        self._connecting = threading.Lock()  # held while the cluster is looked for, by one for all
        self._refreshing = threading.Lock()  # held by the thread that asks it anew
        self._watches: dict[str, Pool] = {}
        self._on_all_nodes: dict[bytes, Callable[[Args], Reply]] = {
            b"DBSIZE": self._sum,
            b"FLUSHALL": self._each,
            b"FLUSHDB": self._each,
            b"KEYS": self._concatenate,
            b"RANDOMKEY": self._some,
            b"SCAN": self._scan,
        }

    def ask(self, command: Command, args: Args) -> Reply:
        """Run a command as it is on the node that has its keys; one without keys where it belongs."""
        keys = command.keys.of(args)
        if not keys:
            try:
                return self._on_all_nodes.get(command.name, self._anywhere)(args)
            except BackendUnavailable:
                self.note_failure()
                raise
        with explained(writes=command.writes):
            client: Any = self._client()
            node = self._owner(client, keys)
            try:
                reply: Reply = client.execute_command(command.name.decode(), *args[1:], target_nodes=node)
            except RedisClusterException:  # a node has failed, and there was no time left to ask the others
                self.note_failure()
                raise
        return SimpleString(bytes(reply)) if isinstance(reply, StatusText) else reply

    def node_of(self, keys: Sequence[bytes]) -> Node:
        """Return the node that has these keys. Raises `CommandError` where no one node's slot has them all."""
        with explained(writes=False):
            client = self._client()
            return self._node(client, self._owner(client, keys) if keys else client.get_default_node())

    def nodes(self) -> list[Node]:
        """Return every node that has keys of its own, in an order that stays while the cluster does."""
        with explained(writes=False):
            client = self._client()
            return [self._node(client, each) for each in sorted(client.get_primaries(), key=lambda each: each.name)]

    def can_be_queued(self, command: Command) -> bool:
        """Tell whether the command may stand in a transaction, which one node runs."""
        return command.name not in self._on_all_nodes

    def note_failure(self) -> None:
        """Ask the cluster anew who has what, in a thread, for the request that failed has no time left."""
        if self._present is not None and self._refreshing.acquire(blocking=False):
            threading.Thread(target=self._refresh, name="cluster refresh", daemon=True).start()

    def note_moved(self, keys: Sequence[bytes]) -> None:
        """Let redis-py follow to where these keys are, by a command that harms nobody: it remembers the way."""
        with explained(writes=False):
            client: Any = self._client()
            client.execute_command("EXISTS", keys[0], target_nodes=self._owner(client, keys))

    def close(self) -> None:
        """Close every connection."""
        client = self._present
        if client is not None:
            for node in client.get_nodes():
                close_pool(client.get_redis_connection(node).connection_pool)
        for pool in list(self._watches.values()):
            close_pool(pool)

    # ---------------------------------------------------------------- redis-py

    def _client(self) -> _Client:
        """Return redis-py's client; look for the cluster first where that is still to be done."""
        client = self._present
        if client is not None:
            return client
        if not self._connecting.acquire(timeout=seconds_left()):
            raise backend_timed_out(b"looking for the cluster's nodes")
        try:
            if self._present is None:
                self._present = self._connect()
            return self._present
        finally:
            self._connecting.release()

    def _refresh(self) -> None:
        """Ask the nodes that are known; if none of them is there any more, begin anew with those of the URL."""
        client = self._present
        try:
            try:
                with within(REFRESH_LIMIT):
                    assert client is not None
                    client.nodes_manager.initialize()
            except FAILURES:
                with suppress(*FAILURES), within(REFRESH_LIMIT):
                    self._present = self._connect()
        finally:
            self._refreshing.release()

    def _owner(self, client: _Client, keys: Sequence[bytes]) -> Any:
        """Return redis-py's node for these keys; a slot that nobody had may have been given to one meanwhile."""
        slot = client.common_slot(keys)
        try:
            return client.nodes_manager.get_node_from_slot(slot)
        except SlotNotCoveredError:
            client.nodes_manager.initialize()
            return client.nodes_manager.get_node_from_slot(slot)

    def _connect(self) -> _Client:
        self._seeds.rotate(1)  # a node that hangs takes all the time there is, but not twice in a row
        host, port = self._seeds[0]
        client = _Client(
            url=f"redis://{f'[{host}]' if ':' in host else host}:{port}",  # only by a URL does it take a kind of pool
            startup_nodes=[ClusterNode(*each) for each in self._seeds],
            retry=Retry(NoBackoff(), 0),
            require_full_coverage=False,
            connection_pool_class=Pool,
            queue_class=RequestQueue,
            max_connections=self._connections,
            protocol=2,
            **self._address.settings,
        )
        client.commands = self._commands
        return client

    def _node(self, client: _Client, node: Any) -> Node:
        pool = client.get_redis_connection(node).connection_pool
        if node.name not in self._watches:
            self._watches.setdefault(node.name, watch_pool(pool))
        return Node(pool, self._watches[node.name])

    # ---------------------------------------------------------------- commands without keys

    def _anywhere(self, args: Args) -> Reply:
        return self.node_of(()).ask(args)

    def _on_each(self, args: Args) -> list[Any]:
        return [node.ask(args) for node in self.nodes()]

    def _each(self, args: Args) -> Reply:
        """Run a write on every node, also where one of them fails, which is told in the end."""
        nodes = self.nodes()
        failed: list[CommandError] = []
        for node in nodes:
            try:
                node.ask(args, writes=True)
            except CommandError as problem:
                failed.append(problem)
        if failed and len(failed) < len(nodes):
            raise backend_unavailable(b"%d of %d nodes failed, the others have done it" % (len(failed), len(nodes)))
        if failed:
            raise failed[0]
        return OK

    def _sum(self, args: Args) -> Reply:
        total: int = sum(self._on_each(args))
        return total

    def _concatenate(self, args: Args) -> Reply:
        return [key for keys in self._on_each(args) for key in keys]

    def _some(self, args: Args) -> Reply:
        """Return a key of some node; which is not to say that each key is as likely as any other."""
        nodes = self.nodes()
        random.shuffle(nodes)
        keys = (node.ask(args) for node in nodes)
        return next((key for key in keys if key is not None), None)

    def _scan(self, args: Args) -> Reply:
        """Go through one node after the other; the cursor tells the node in its lowest bits."""
        cursor, place = divmod(parse_cursor(args[1]), 1 << NODE_BITS)
        nodes = self.nodes()
        if place >= len(nodes):
            raise CommandError(INVALID_CURSOR)
        reply = nodes[place].ask([args[0], b"%d" % cursor, *args[2:]])
        assert isinstance(reply, list)
        their_cursor, keys = reply
        assert isinstance(their_cursor, bytes)
        if their_cursor != b"0":
            return [b"%d" % ((int(their_cursor) << NODE_BITS) + place), keys]
        place += 1
        return [b"%d" % (place if place < len(nodes) else 0), keys]
