"""What is done about the memory limit before a command: keys are evicted, the command is refused, its keys are noted.

The engine calls these functions under the keyspace lock, at the beginning of a step. How memory is counted, and which
key is evicted, is in `server.keyspace.memory`.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.codec import Args
from common.errors import OUT_OF_MEMORY, CommandError, exec_aborted_by
from server.engines.base import CallContext, TransactionPart
from server.engines.time_slice import stop_after
from server.keyspace.databases import Databases
from server.keyspace.memory import DatabaseMemory, MemoryLimit
from server.keyspace.store import Store
from server.registry import ONE_KEY, Command

EVICT_SLICE = 500_000
"""Nanoseconds for which a command, or the cycle, evicts keys at most (Redis: maxmemory-eviction-tenacity 10)."""


def before_command(memory: DatabaseMemory, store: Store, command: Command, args: Args, call: CallContext) -> None:
    """Evict keys, as far as a command needs it, and note which keys it uses. Raises `CommandError`."""
    limit = memory.limit
    if limit.used > limit.maximum and command.grows:
        make_room(store)
    if limit.tracks_use and (not call.no_touch or _always_touches(command)):
        if limit.notes_changes and command.grows and command.by_columns is not None and len(args) == command.min_args:
            return  # SET, INCR and DECR change their key
        keys = command.used_keys
        memory.use(args[1:2] if keys is ONE_KEY else keys.of(args))


def before_batch(
    memory: DatabaseMemory,
    store: Store,
    command: Command,
    columns: Sequence[Sequence[bytes]],
    call: CallContext,
    is_by_columns: bool,
) -> bool:
    """Evict keys, as far as a batch needs it, and note which keys it uses. Return whether it can be executed as one.

    It cannot if the limit may be reached by one of its calls, and the next one would have to be refused.
    """
    limit = memory.limit
    is_noted = limit.notes_changes and is_by_columns  # by the store if it changes its keys, else by `after_reads`
    if limit.tracks_use and not is_noted and (not call.no_touch or _always_touches(command)):
        if command.used_keys is ONE_KEY:
            memory.use(columns[0])
        else:
            for keys in command.used_keys.of([(), *columns]):
                memory.use(keys)
    if limit.used < limit.ample or not command.grows or limit.has_room_for(columns):
        return True
    return limit.can_evict(len(columns[0])) and try_to_make_room(store)


def after_reads(memory: DatabaseMemory, keys: Sequence[bytes], found: Sequence[object], call: CallContext) -> None:
    """Note which keys a batch by columns has read, if `before_batch` has not. ``found`` has None for a missing key."""
    if memory.limit.notes_changes and not call.no_touch:
        if all(found) and not memory.policy.is_volatile:
            memory.policy.change(keys)  # keys that exist take half of the time, and an empty value only loses that
        else:
            memory.use(keys)


def before_transaction(
    limit: MemoryLimit, stores: Databases, parts: Sequence[TransactionPart], call: CallContext
) -> None:
    """Do the same for a transaction. It is refused as a whole, as in Redis 7, and none of its commands alone."""
    try:
        if limit.is_exceeded and any(command.grows for _, queue in parts for command, _ in queue):
            make_room(stores[parts[0][0]])
    except CommandError as problem:
        raise CommandError(exec_aborted_by(problem.reply)) from None
    if not limit.tracks_use:
        return
    for index, queue in parts:
        for command, args in queue:
            note_use(stores[index], command, args, call)


def note_use(store: Store, command: Command, args: Args, call: CallContext) -> None:
    """Note which keys a command uses, if the policy tracks that."""
    memory = store.memory
    if memory is not None and memory.limit.tracks_use and (not call.no_touch or _always_touches(command)):
        memory.use(command.used_keys.of(args))


def make_room(store: Store) -> None:
    """Evict keys if the limit is exceeded. Raises `CommandError` if none can be evicted."""
    if not try_to_make_room(store):
        raise CommandError(OUT_OF_MEMORY)


def try_to_make_room(store: Store) -> bool:
    """Evict keys if the limit is exceeded. Return false if none can be evicted."""
    memory = store.memory
    if memory is None or not memory.limit.is_exceeded:
        return True
    return memory.limit.make_room(store.now(), stop_after(EVICT_SLICE))


def _always_touches(command: Command) -> bool:
    """Return whether a command counts as a use of its keys although the client has sent CLIENT NO-TOUCH."""
    return command.name == b"TOUCH"
