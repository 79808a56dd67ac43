"""The command table: each command is one function and one decorator that describes it.

    group = CommandGroup("string")

    @group.reads("GET key", "Return the value of a key.", Flag.FAST)
    def get(store: Store, key: bytes) -> Reply:
        return store.get(key)

Everything else is derived. The usage line gives the name, and, if its second part is in capitals too (``CLIENT KILL
...``), makes the entry a subcommand. The function's parameters give the number of arguments. A parameter annotated
``int`` is converted, with Redis's error if the argument is not an integer. HELP, COMMAND INFO and DOCS, the checks of
MULTI, redaction in MONITOR and SLOWLOG, and the client's completion read the table.

The function of a keyspace command runs under the keyspace lock. A command that has much to do besides its access to the
keyspace runs in stages instead. Its function is a generator with one ``yield``, and gets no store:

    @group.reads_in_stages("KEYS pattern", "Return all keys that match a pattern.")
    def keys(pattern: bytes) -> Stages[Store, list[bytes]]:
        matches = matcher(pattern)                      # before the lock is taken
        found = yield Store.all_keys                    # the yielded function is called with the store, under the lock
        return [key for key in found if matches(key)]   # after it is released

A command that `CommandGroup.writes_in_several_steps` registers yields several times, and takes the lock for each step.
"""

from server.registry.command import (
    CONTROL,
    MAX_QUICK_ARGS,
    REDACTED,
    UNBOUNDED,
    ArityError,
    Command,
    Flag,
    Function,
    RejectedCommand,
    StagedCall,
    Stages,
)
from server.registry.group import CommandGroup
from server.registry.keys import (
    ADD,
    ALL_KEYS,
    CHANGE,
    EXAMINE,
    NO_KEYS,
    ONE_KEY,
    OVERWRITE,
    READ,
    REMOVE,
    SECOND_KEY,
    TAKE,
    UPDATE,
    KeyFlag,
    KeySpec,
)
from server.registry.table import CommandTable

__all__ = [
    "ADD",
    "ALL_KEYS",
    "CHANGE",
    "CONTROL",
    "EXAMINE",
    "MAX_QUICK_ARGS",
    "NO_KEYS",
    "ONE_KEY",
    "OVERWRITE",
    "READ",
    "REDACTED",
    "REMOVE",
    "SECOND_KEY",
    "TAKE",
    "UNBOUNDED",
    "UPDATE",
    "ArityError",
    "Command",
    "CommandGroup",
    "CommandTable",
    "Flag",
    "Function",
    "KeyFlag",
    "KeySpec",
    "RejectedCommand",
    "StagedCall",
    "Stages",
]
