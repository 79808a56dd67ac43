"""The slots of a Redis Cluster: which slot a key has, and which node serves which slot."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterable

from common.errors import CROSS_SLOT, CommandError
from common.replies import ErrorReply, Reply
from server.engines.redis.url import NodeAddress

SLOT_COUNT = 2**14
"""Fixed by the Redis Cluster specification."""


class SlotTable:
    """Which node serves which slot. Read by all threads without a lock.

    `move` may be called by several threads at once. Each of its assignments is atomic. If two threads add a node, one
    node may be missing in ``nodes`` until the table is loaded again, which every MOVED requests.
    """

    def __init__(self, owners: list[NodeAddress | None]) -> None:
        self.owners = owners
        """For each slot the node that serves it, None if no node does."""

        # Sorted, because a SCAN cursor contains the index of a node and has to mean the same node in the next call.
        self.nodes = sorted({owner for owner in owners if owner is not None})
        """The nodes that serve a slot, in an order that does not depend on the order of the slots."""

    def move(self, slot: int, node: NodeAddress) -> None:
        """Assign a slot to a node, which may be new."""
        self.owners[slot] = node
        if node not in self.nodes:
            self.nodes = sorted([*self.nodes, node])  # a new list, because other threads may iterate over the old one


def key_slot(key: bytes) -> int:
    """Return the slot of a key: CRC16 of its hash tag, or of the whole key (Redis Cluster specification)."""
    # The tag is between the first { and the first } after it. An empty one does not count.
    start = key.find(b"{") + 1
    if start:
        end = key.find(b"}", start)
        if end > start:
            key = key[start:end]
    return crc_hqx(key, 0) % SLOT_COUNT  # CRC-16/XMODEM, as the specification demands


def common_slot(keys: Iterable[bytes]) -> int:
    """Return the slot that all these keys have. Raises `CommandError` if they have more than one."""
    slots = set(map(key_slot, keys))
    if len(slots) != 1:
        raise CommandError(CROSS_SLOT)
    return slots.pop()


def parse_cluster_slots(reply: Reply, asked: NodeAddress) -> SlotTable:
    """Read the reply to CLUSTER SLOTS. Raises ValueError if it is malformed.

    A node that does not know its own host leaves it empty. Then the host that was ``asked`` is meant.
    """
    owners: list[NodeAddress | None] = [None] * SLOT_COUNT
    if not isinstance(reply, list):
        raise ValueError("not an array")
    for entry in reply:
        match entry:
            # The first node is the master. Its id and metadata, and the replicas, follow. Reads never use a replica.
            case [int(first), int(last), [host, int(port), *_], *_] if 0 <= first <= last < SLOT_COUNT:
                # Redis sends "" for an unknown address, "?" for a missing host name, and null if its
                # cluster-preferred-endpoint-type is unknown-endpoint.
                name = host.decode() if isinstance(host, bytes) and host not in {b"", b"?"} else asked[0]
                owners[first : last + 1] = [_address(name, port)] * (last + 1 - first)
            case _:
                raise ValueError(f"not a range of slots: {entry!r}")
    return SlotTable(owners)


def parse_redirect(error: ErrorReply, sender: NodeAddress) -> tuple[int, NodeAddress]:
    """Return slot and node of a MOVED or ASK error. Raises ValueError if it is malformed.

    Their messages are data by the Redis Cluster specification: ``3999 127.0.0.1:6381``. An empty host means the host
    of the node that sent the error.
    """
    slot, _, address = error.message.partition(b" ")
    host, _, port = address.rpartition(b":")  # the last colon, because an IPv6 address has no brackets here
    if not (0 <= int(slot) < SLOT_COUNT):
        raise ValueError(f"no such slot: {slot!r}")
    return int(slot), _address(host.decode() or sender[0], int(port))


def _address(host: str, port: int) -> NodeAddress:
    """Return an address that a server sent. Raises ValueError if no node can have it."""
    # getaddrinfo takes a larger port modulo 2**16, so the connection would be to another port.
    if not 0 < port < 2**16 or not host.isprintable():
        raise ValueError(f"not an address of a node: {host!r}, port {port}")
    return host, port
