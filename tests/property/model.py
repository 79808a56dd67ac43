"""A model of the databases. Each is a dict of values, a dict of expiries, a count of changes by key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from common.codec import Args
from common.replies import OK, ErrorReply, Lines, Reply
from common.text import format_command
from tests.harness.clock import Clock

NOT_AN_INTEGER = ErrorReply.from_text(b"ERR value is not an integer or out of range")
WOULD_OVERFLOW = ErrorReply.from_text(b"ERR increment or decrement would overflow")
NO_SUCH_KEY = ErrorReply.from_text(b"ERR no such key")
SAME_OBJECT = ErrorReply.from_text(b"ERR source and destination objects are the same")
SPELLING = re.compile(rb"0|-?[1-9][0-9]*")
FITTING = range(-(2**63), 2**63)


OUT_OF_RANGE = ErrorReply.from_text(b"ERR DB index is out of range")


class Databases:
    """Several models, and the commands that concern more than one of them."""

    def __init__(self, clock: Clock, count: int) -> None:
        self.models = [Model(clock) for _ in range(count)]

    def run(self, selected: int, args: Args) -> tuple[Reply, int]:
        """Run a command in the selected database. Return the reply, and the database that is selected then."""
        for model in self.models:
            model.remove_expired()
        model = self.models[selected]
        match args:
            case [b"SELECT", index]:
                return (OK, int(index)) if int(index) < len(self.models) else (OUT_OF_RANGE, selected)
            case [b"MOVE", key, index]:
                return model.move(key, self.models[int(index)]), selected
            case [b"COPY", key, new_key, b"DB", index] if int(index) != selected:
                return model.copy(key, self.models[int(index)], new_key), selected
            case [b"COPY", key, new_key, b"DB", _]:
                return model.run([b"COPY", key, new_key]), selected
            case [b"SWAPDB", first, second]:
                if first != second:
                    self.models[int(first)].swap(self.models[int(second)])
                return OK, selected
            case [b"FLUSHALL"]:
                for each in self.models:
                    each.run(args)
                return OK, selected
            case [b"COMPACT"]:
                return Lines(list(self.rebuild())), selected
        return model.run(args), selected

    def rebuild(self) -> Iterator[bytes]:
        """Return the lines of COMPACT."""
        last = 0
        for index, model in enumerate(self.models):
            if model.values:
                if last != index:
                    yield b"SELECT %d" % index
                last = index
                yield from (format_command(model.rebuild(*item)) for item in model.items())
        if last:
            yield b"SELECT 0"

    def items(self) -> dict[int, list[tuple[bytes, bytes, int | None]]]:
        return {index: items for index, model in enumerate(self.models) if (items := model.items())}


class Model:
    """Every command first removes whatever has expired."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.values: dict[bytes, bytes] = {}
        self.deadlines: dict[bytes, int] = {}
        self.versions: dict[bytes, int] = {}

    # ---------------------------------------------------------------- the parts

    def remove_expired(self) -> None:
        for key, deadline in list(self.deadlines.items()):
            if deadline <= self.clock.now:
                self.remove(key)

    def versions_of(self, keys: Iterable[bytes]) -> dict[bytes, int]:
        self.remove_expired()
        return {key: self.versions.get(key, 0) for key in keys}

    def items(self) -> list[tuple[bytes, bytes, int | None]]:
        self.remove_expired()
        return [(key, value, self.deadlines.get(key)) for key, value in self.values.items()]

    def changed(self, key: bytes) -> None:
        self.versions[key] = self.versions.get(key, 0) + 1

    def put(self, key: bytes, value: bytes, deadline: int | None) -> None:
        self.values[key] = value
        self.deadlines.pop(key, None)
        if deadline is not None:
            self.deadlines[key] = deadline
        self.changed(key)

    def remove(self, key: bytes) -> bool:
        if key not in self.values:
            return False
        del self.values[key]
        self.deadlines.pop(key, None)
        self.changed(key)
        return True

    def swap(self, other: Model) -> None:
        for key in self.values.keys() | other.values.keys():
            self.changed(key)
            other.changed(key)
        self.values, other.values = other.values, self.values
        self.deadlines, other.deadlines = other.deadlines, self.deadlines

    def copy(self, key: bytes, other: Model, new_key: bytes) -> int:
        if key not in self.values or new_key in other.values:
            return 0
        other.put(new_key, self.values[key], self.deadlines.get(key))
        return 1

    def move(self, key: bytes, other: Model) -> Reply:
        if other is self:
            return SAME_OBJECT
        return int(bool(self.copy(key, other, key)) and self.remove(key))

    # ---------------------------------------------------------------- the commands

    def run(self, args: Args) -> Reply:
        self.remove_expired()
        match args:
            case [b"SET", key, value, *options]:
                return self.set(key, value, options)
            case [b"GET", key]:
                return self.values.get(key)
            case [b"DEL", *keys]:
                return sum(map(self.remove, keys))
            case [b"EXISTS", *keys]:
                return sum(key in self.values for key in keys)
            case [b"INCR" | b"DECR" as name, key]:
                return self.add(key, b"1", 1 if name == b"INCR" else -1)
            case [b"INCRBY" | b"DECRBY" as name, key, by]:
                return self.add(key, by, 1 if name == b"INCRBY" else -1)
            case [b"FLUSHALL" | b"FLUSHDB"]:
                return OK if all(list(map(self.remove, list(self.values)))) else None
            case [b"DBSIZE"]:
                return len(self.values)
            case [b"RENAME" | b"RENAMENX" | b"COPY" as name, key, new_key]:
                return self.rename_or_copy(name, key, new_key)
        return self.run_on_deadlines(args)

    def run_on_deadlines(self, args: Args) -> Reply:
        name, key, *rest = args
        deadline = self.deadlines.get(key)
        if name in (b"PTTL", b"PEXPIRETIME") and key not in self.values:
            return -2
        match name:
            case b"PEXPIRE":
                return int(key in self.values and self.expire(key, self.clock.now + int(rest[0]), rest[1:]))
            case b"PERSIST":
                if deadline is not None:
                    del self.deadlines[key]
                    self.changed(key)
                return int(deadline is not None)
            case b"PTTL":
                return -1 if deadline is None else deadline - self.clock.now
            case b"PEXPIRETIME":
                return -1 if deadline is None else deadline
        raise AssertionError(f"the model knows no {args}")

    @staticmethod
    def rebuild(key: bytes, value: bytes, deadline: int | None) -> Args:
        return [b"SET", key, value, *([] if deadline is None else [b"PXAT", b"%d" % deadline])]

    def set(self, key: bytes, value: bytes, options: Sequence[bytes]) -> Reply:
        before = self.values.get(key)
        done = not (b"NX" in options and before is not None) and not (b"XX" in options and before is None)
        if done:
            deadline = self.deadlines.get(key) if b"KEEPTTL" in options else None
            for unit, milliseconds in ((b"EX", 1000), (b"PX", 1)):
                if unit in options:
                    deadline = self.clock.now + milliseconds * int(options[-1])
            self.put(key, value, deadline)
        return before if b"GET" in options else OK if done else None

    def add(self, key: bytes, by: bytes, sign: int) -> Reply:
        terms = [self.values.get(key, b"0"), by]
        if not all(SPELLING.fullmatch(term) and int(term) in FITTING for term in terms):
            return NOT_AN_INTEGER
        total = int(terms[0]) + sign * int(terms[1])
        if total not in FITTING:
            return WOULD_OVERFLOW
        self.put(key, b"%d" % total, self.deadlines.get(key))
        return total

    def expire(self, key: bytes, moment: int, conditions: Sequence[bytes]) -> bool:
        present = self.deadlines.get(key)
        match list(conditions):
            case [b"NX"]:
                wanted = present is None
            case [b"XX"]:
                wanted = present is not None
            case [b"GT"]:
                wanted = present is not None and moment > present
            case [b"LT"]:
                wanted = present is None or moment < present
            case _:
                wanted = True
        if wanted:
            self.deadlines[key] = moment
            self.changed(key)
        return wanted

    def rename_or_copy(self, name: bytes, key: bytes, new_key: bytes) -> Reply:
        if name == b"COPY" and key == new_key:
            return SAME_OBJECT
        if key not in self.values:
            return 0 if name == b"COPY" else NO_SUCH_KEY
        if name != b"RENAME" and new_key in self.values:
            return 0
        value, deadline = self.values[key], self.deadlines.get(key)
        if key != new_key:
            if name != b"COPY":
                self.remove(key)
            self.put(new_key, value, deadline)
        return OK if name == b"RENAME" else 1
