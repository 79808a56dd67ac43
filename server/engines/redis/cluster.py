"""A backing Redis Cluster: routes commands by their keys' slot, and follows MOVED, ASK and failovers.

A command with keys is sent to the node that serves their slot. A command without keys that concerns the whole keyspace
is run on every node, and the replies are combined here.

The table of slots is loaded by CLUSTER SLOTS: at the first request, and again, in a background thread, after a MOVED
or after a node has failed. A dead node sends no MOVED, so without the second a failover would never be noticed.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from common.codec import Args
from common.errors import (
    INVALID_CURSOR,
    LOOKING_FOR_CLUSTER_NODES,
    NO_SLOTS_SERVED,
    TOO_MANY_REDIRECTS,
    CommandError,
    backend_timed_out,
    backend_unavailable,
    invalid_cluster_reply,
    nodes_failed,
    slot_not_served,
)
from common.replies import OK, ErrorReply, Reply
from server.args.integers import parse_cursor
from server.engines.redis.backend import Attempt
from server.engines.redis.compact import scan
from server.engines.redis.connection import BackendConnection, ConnectionSettings, with_asking
from server.engines.redis.node import Node
from server.engines.redis.replies import find_redirect, raise_for_error, unexpected_reply
from server.engines.redis.slots import SlotTable, common_slot, parse_cluster_slots, parse_redirect
from server.engines.redis.time_limit import seconds_left, time_limit
from server.engines.redis.url import NodeAddress
from server.registry import Command

NODE_BITS = 14
"""Bits of a SCAN cursor that hold the index of the node. A cluster has 2**14 slots, so not more nodes than that."""

REFRESH_TIMEOUT = 5.0
"""Seconds that a refresh of the slot table may take in the background."""

REFRESH_INTERVAL = 0.2
"""Minimum seconds between two refreshes, so that many requests that fail do not cause as many refreshes."""

MAX_REFRESH_CANDIDATES = 5
"""Nodes that one refresh asks at most. The next refresh asks others."""

MAX_REDIRECTS = 5
"""How often a request follows a redirection."""

TRYAGAIN_INTERVAL = 0.05
"""Seconds before a command with several keys is sent again while its slot migrates, as in redis-py."""


class Cluster:
    """A cluster with a pool of connections per node; see `server.engines.redis.backend.Backend`."""

    def __init__(self, settings: ConnectionSettings, seeds: Sequence[NodeAddress], max_connections: int) -> None:
        self._settings = settings
        self._seeds = seeds
        self._max_connections = max_connections
        self._slots: SlotTable | None = None
        self._nodes: dict[NodeAddress, Node] = {}
        self._lock = threading.Lock()  # guards _nodes and _closed; never held while anything waits
        self._closed = False
        self._loading = threading.Lock()  # held by the one thread that loads the slot table
        self._last_refresh = float("-inf")  # on the monotonic clock; written by the thread that holds _loading
        self._on_all_nodes: dict[bytes, Callable[[Args], Reply]] = {
            b"DBSIZE": self._sum,
            b"FLUSHALL": self._write_to_all,
            b"FLUSHDB": self._write_to_all,
            b"KEYS": self._concatenate,
            b"RANDOMKEY": self._random_key,
            b"SCAN": self._scan,
            b"SCRIPT|EXISTS": self._exist_on_all,
            b"SCRIPT|FLUSH": self._write_to_all,
            b"SCRIPT|KILL": self._kill_on_any,
            b"SCRIPT|LOAD": self._same_from_all,
        }

    def execute(self, command: Command, args: Args) -> Reply:
        """Run a command on the node that has its keys, or on all nodes. Raises `CommandError`."""
        keys = command.keys.of(args)
        if keys:
            return self._execute_on_owner(keys, args, writes=command.writes)
        return self._on_all_nodes.get(command.name, self._execute_on_any_node)(args)

    def check_keys(self, keys: Sequence[bytes]) -> None:
        """Raise `CommandError` if the keys do not have a common slot."""
        common_slot(keys)

    def route(self, keys: Sequence[bytes], attempt: Attempt) -> list[Reply]:
        """Call ``attempt`` with the node that serves the slot of these keys, and follow redirections.

        Without keys any node will do. Raises `CommandError` if the keys do not have a common slot, and if the
        redirections do not end.
        """
        if not keys:
            return attempt(self.nodes()[0], False)
        node, asking = self._node(self._owner(common_slot(keys))), False
        for _ in range(MAX_REDIRECTS + 1):
            replies = attempt(node, asking)
            redirect = find_redirect(replies)
            if redirect is None:
                return replies
            if redirect.code == b"TRYAGAIN":  # some of the keys have been migrated, so no node has all of them
                time.sleep(min(TRYAGAIN_INTERVAL, seconds_left()))
                continue
            slot, address = _parse_redirect(redirect, node)
            asking = redirect.code == b"ASK"
            # ASK is for this request only: the slot is migrating, and the old node has the keys that have not been
            # migrated yet. MOVED concerns all later requests too.
            if not asking:
                self._on_moved(slot, address)
            node = self._node(address)
        raise backend_unavailable(TOO_MANY_REDIRECTS)

    def nodes(self) -> list[Node]:
        """Return every node that serves a slot, in an order that stays the same while the cluster does."""
        nodes = self._slot_table().nodes
        if not nodes:
            raise backend_unavailable(NO_SLOTS_SERVED)
        return list(map(self._node, nodes))

    def allowed_in_multi(self, command: Command) -> bool:
        """Return whether a transaction, which runs on one node, may contain the command."""
        return command.name not in self._on_all_nodes

    def on_node_failure(self) -> None:
        """Load the slot table again, in a thread, because the request that failed has no time left for it."""
        # Before the first load, requests load the table themselves and report its failure to their clients.
        if self._slots is None or self._closed or time.monotonic() - self._last_refresh < REFRESH_INTERVAL:
            return
        # Acquired here and released by the new thread, which `threading.Lock` permits. So there is only one of them.
        if self._loading.acquire(blocking=False):
            self._last_refresh = time.monotonic()
            try:
                threading.Thread(target=self._refresh, name="cluster refresh", daemon=True).start()
            except RuntimeError:  # no more threads can be started at present
                self._loading.release()

    def close(self) -> None:
        """Close every connection."""
        # `_node` closes nodes that are added later.
        with self._lock:
            self._closed = True
            nodes = list(self._nodes.values())
        for node in nodes:  # without the lock, which is never held while sockets are closed
            node.close()

    # ---------------------------------------------------------------- commands with keys

    def _execute_on_owner(self, keys: Sequence[bytes], args: Args, *, writes: bool) -> Reply:
        def attempt(node: Node, asking: bool) -> list[Reply]:
            return node.send_all(with_asking([args], asking), writes=writes)[-1:]

        return raise_for_error(self.route(keys, attempt)[0])

    def _on_moved(self, slot: int, address: NodeAddress) -> None:
        """Note the new owner of a slot. Other slots have probably moved too, so load the table again."""
        # The one slot now, so that the next request goes there at once. The specification recommends the reload.
        self._slot_table().move(slot, address)
        self.on_node_failure()

    def _owner(self, slot: int) -> NodeAddress:
        """Return the node that serves a slot. A slot without a node may have been assigned meanwhile."""
        # Loaded by the request itself, because without an owner there is no node that could reply with MOVED.
        owner = self._slot_table().owners[slot]
        if owner is None:
            with self._exclusively():
                owner = self._load().owners[slot]
        if owner is None:
            raise backend_unavailable(slot_not_served(slot))
        return owner

    def _node(self, address: NodeAddress) -> Node:
        with self._lock:
            node = self._nodes.get(address)
            if node is None:
                # Creating a node opens no connection, so it does not wait with the lock held.
                node = self._nodes[address] = Node(self._settings.at(*address), self._max_connections)
                if self._closed:  # `close` did not see this node, and its connections would outlive the engine
                    node.close()
            return node

    # ---------------------------------------------------------------- the slot table

    def _slot_table(self) -> SlotTable:
        """Return the slot table. The first requests wait until one of them has loaded it."""
        # Read once without a lock: a refresh replaces the whole table by one assignment.
        slots = self._slots
        if slots is not None:
            return slots
        with self._exclusively():
            return self._slots if self._slots is not None else self._load()  # another thread may have loaded it

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Hold ``_loading``. Raises `CommandError` if another thread holds it for longer than `seconds_left`."""
        if not self._loading.acquire(timeout=seconds_left()):
            raise backend_timed_out(LOOKING_FOR_CLUSTER_NODES)
        try:
            yield
        finally:
            self._loading.release()

    def _refresh(self) -> None:
        try:
            # No client waits for this. If it fails, the old table stays, and the next failure of a request tries again.
            with suppress(CommandError), time_limit(REFRESH_TIMEOUT):
                self._load()
        finally:
            self._loading.release()

    def _load(self) -> SlotTable:
        """Load the slot table from the first node that replies. The caller holds ``_loading``."""
        candidates = self._candidates()
        problem = backend_timed_out(LOOKING_FOR_CLUSTER_NODES)
        for tried, address in enumerate(candidates):
            try:
                # A node that hangs must leave time to ask the others.
                with time_limit(seconds_left() / (len(candidates) - tried)):
                    slots = self._ask_for_slots(address)
            except CommandError as raised:
                problem = raised
                continue
            # The new table first, so that few requests take a node that is retired next. One that does still works,
            # because `_node` creates the node again.
            self._slots = slots
            self._retire_all_but(slots.nodes)
            return slots
        raise problem

    def _candidates(self) -> list[NodeAddress]:
        """Return nodes to ask for the slot table: known nodes and seeds in random order."""
        # The seeds too, because all nodes of the table may have been replaced. In random order, so that a node that
        # hangs does not delay every refresh.
        known = {*self._seeds, *(self._slots.nodes if self._slots is not None else ())}
        return random.sample(sorted(known), min(len(known), MAX_REFRESH_CANDIDATES))

    def _ask_for_slots(self, address: NodeAddress) -> SlotTable:
        # A connection of its own: a busy pool would delay the refresh, and a seed need not be a node that serves slots.
        connection = BackendConnection(self._settings.at(*address))
        try:
            connection.connect()
            # Deprecated in Redis 7 in favour of CLUSTER SHARDS, which Redis 6 does not have.
            (reply,) = connection.send_all([[b"CLUSTER", b"SLOTS"]])
        finally:
            connection.disconnect()
        if isinstance(reply, ErrorReply):  # such as "This instance has cluster support disabled"
            raise backend_unavailable(reply.text)
        try:
            return parse_cluster_slots(reply, address)
        except ValueError as problem:
            raise backend_unavailable(invalid_cluster_reply(str(problem))) from problem

    def _retire_all_but(self, addresses: Sequence[NodeAddress]) -> None:
        """Close the connections to nodes that serve no slot any more."""
        with self._lock:
            retired = [self._nodes.pop(address) for address in set(self._nodes).difference(addresses)]
        for node in retired:
            node.retire()

    # ---------------------------------------------------------------- commands without keys

    def _execute_on_any_node(self, args: Args) -> Reply:
        return self.nodes()[0].execute(args)

    def _write_to_all(self, args: Args) -> Reply:
        """Run a write on every node, even if one of them fails. Raises `CommandError` afterwards if any has failed."""
        nodes = self.nodes()
        # FLUSHALL is not atomic over several nodes. If only some of them fail, the error says how many.
        failures: list[CommandError] = []
        for node in nodes:
            try:
                node.execute(args, writes=True)
            except CommandError as problem:
                failures.append(problem)
        if failures and len(failures) < len(nodes):
            raise backend_unavailable(nodes_failed(len(failures), len(nodes)))
        if failures:
            raise failures[0]
        return OK

    def _same_from_all(self, args: Args) -> Reply:
        """Run a command on every node, and return the last reply. Raises `CommandError` if one of them fails."""
        return [node.execute(args, writes=True) for node in self.nodes()][-1]

    def _exist_on_all(self, args: Args) -> Reply:
        """Return for each script whether all nodes know it."""
        replies = [node.execute(args) for node in self.nodes()]
        known = [reply for reply in replies if isinstance(reply, list)]
        return [int(all(each)) for each in zip(*known, strict=True)]

    def _kill_on_any(self, args: Args) -> Reply:
        """End the scripts that run on any node. Raises the error of the last node if none has ended one."""
        problem: CommandError | None = None
        is_killed = False
        for node in self.nodes():
            try:
                node.execute(args)
                is_killed = True
            except CommandError as raised:
                problem = raised
        if problem is not None and not is_killed:
            raise problem
        return OK

    def _sum(self, args: Args) -> Reply:
        # One node after the other. Any failure raises, because a sum over the other nodes would look like a right one.
        total = 0
        for node in self.nodes():
            count = node.execute(args)
            if not isinstance(count, int):
                raise unexpected_reply(count)
            total += count
        return total

    def _concatenate(self, args: Args) -> Reply:
        all_keys: list[Reply] = []
        for node in self.nodes():
            keys = node.execute(args)
            if not isinstance(keys, list):
                raise unexpected_reply(keys)
            all_keys += keys
        return all_keys

    def _random_key(self, args: Args) -> Reply:
        """Return a random key of a random node that has keys. Keys of small nodes are more likely than others."""
        nodes = self.nodes()
        random.shuffle(nodes)
        keys = (node.execute(args) for node in nodes)  # lazily: most often the first node has a key
        return next((key for key in keys if key is not None), None)

    def _scan(self, args: Args) -> Reply:
        """Iterate over one node after the other. The lowest bits of the cursor are the index of the node."""
        # The client keeps the state of the iteration, as with Redis, so nothing has to be stored here for it.
        node_cursor, index = divmod(parse_cursor(args[1]), 1 << NODE_BITS)
        nodes = self.nodes()
        if index >= len(nodes):  # a cursor of another cluster, or nodes have been removed
            raise CommandError(INVALID_CURSOR)
        next_cursor, keys = scan(nodes[index], [args[0], b"%d" % node_cursor, *args[2:]])
        if next_cursor != b"0":
            return [b"%d" % ((int(next_cursor) << NODE_BITS) + index), keys]
        # The node is complete. The cursor of the next one begins with 0. After the last node all of it is 0, the end.
        index += 1
        return [b"%d" % (index if index < len(nodes) else 0), keys]


def _parse_redirect(error: ErrorReply, sender: Node) -> tuple[int, NodeAddress]:
    try:
        return parse_redirect(error, sender.address)
    except ValueError as problem:
        raise backend_unavailable(invalid_cluster_reply(str(problem))) from problem
