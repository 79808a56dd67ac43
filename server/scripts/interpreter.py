"""The Lua state that all scripts of a server share. Only one thread at a time uses it: the one with the keyspace lock.

Lua's allocator fails when a script takes more than `MAX_SCRIPT_MEMORY`. Lua code handles that: it is an error of the
script. But Python must not pass a value to Lua then, because an error of Lua that leaves a Python function would leave
Python in an undefined state. So the limit is in effect only while Lua code runs, and a function that Lua calls returns
a value only if there is certainly room for it (`Interpreter.has_room`).
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Sequence
from pkgutil import get_data
from typing import Any, NoReturn, Protocol

from lupa import lua51

from common.codec import Args
from common.limits import MIB
from common.replies import ErrorReply, Reply, SimpleString
from common.resp_replies import ReplyEncoder
from server.scripts.cache import digest_of
from server.scripts.outcome import Outcome, ScriptError

MAX_SCRIPT_MEMORY = 256 * MIB
"""Bytes that Lua may take: the values of the script that runs, and all compiled scripts."""

MAX_COMPILED_MEMORY = MAX_SCRIPT_MEMORY // 2
"""Bytes up to which scripts are kept after they have run, so that the next one has room."""

MIN_GARBAGE = 16 * MIB
"""Bytes that Lua takes after a script, besides what is in use, from which the garbage is collected at once."""

HEADROOM = MIB
"""Bytes that must be free besides the size of a value that is passed to Lua."""

MAX_ARGUMENTS_AT_ONCE = 1000
"""Arguments that are passed to Lua in one call. Its stack has room for 8000."""


def _read(name: str) -> bytes:
    """Return the source of a Lua file, which may be in a zip file."""
    # Not importlib.resources: its import would make the first script 10 ms later.
    source = get_data(__package__, f"lua/{name}.lua")
    assert source is not None, "the loader of a package on a disk or in a zip file has its data"
    return source


# This module is imported when the first script runs.
_SANDBOX = _read("sandbox")
_PARTS = {name: _read(name) for name in ("resp", "random", "libraries", "bit", "cjson", "cmsgpack", "struct")}
"""What `sandbox.lua` loads, by name."""
_TO_BYTECODE = _read("to_bytecode")

STATUS, ERROR, ENCODED, NO_MEMORY, KILLED = 1, 2, 3, 4, 5
"""What is returned to Lua beside a value that it cannot recognise by its type."""


class Host(Protocol):
    """What a script asks the server while it runs. No method raises."""

    killed: bool
    """Whether the script must end, and may execute no more commands."""

    def call(self, args: Args) -> Reply:
        """Execute a command, and return its reply. An error is an `ErrorReply`."""
        ...

    def is_killed(self) -> bool:
        """Return whether the script must end. Called regularly."""
        ...

    def log(self, level: int, text: bytes) -> None:
        """Write a line to the server's log."""
        ...


class Interpreter:
    """Compiles and runs scripts. `redis_version` is what scripts see as ``redis.REDIS_VERSION``."""

    def __init__(self, redis_version: str) -> None:
        self._runtime = _new_runtime()
        self._host: Host | None = None
        self._in_use = 0  # bytes that Lua took after the last collection
        major, minor, patch = map(int, redis_version.split("."))
        parts = {part.encode(): self._runtime.compile(source, name=b"=kvline") for part, source in _PARTS.items()}
        self._run, self._add_arguments, self._compile = self._runtime.execute(
            _SANDBOX,
            self._call,
            self._set_memory_limit,
            self._is_killed,
            self._guarded(digest_of),
            self._log,
            self._runtime.table_from(parts),
            self._guarded(_pack_float),
            _unpack_float,
            redis_version.encode(),
            major << 16 | minor << 8 | patch,
            int.from_bytes(os.urandom(4)),
            name=b"=kvline",
        )

    def compile(self, code: bytes, *, is_bytecode: bool = False) -> Any:
        """Return the function of a script or of its bytecode. Raises `ScriptError` with the text of Lua.

        Lua checks no bytecode: pass only what `to_bytecode` has returned.
        """
        try:
            compiled, problem = self._compile(code, is_bytecode)
        except lua51.LuaError as failure:
            raise ScriptError(_text_of(failure)) from None
        finally:
            self._runtime.set_max_memory(0)
        if compiled is None:
            raise ScriptError(problem)
        return compiled

    def run(self, function: Any, keys: Sequence[bytes], argv: Sequence[bytes], host: Host) -> Outcome:
        """Run a compiled script, and return what its reply is made of. Raises `ScriptError`."""
        self._host = host
        try:
            arguments = [*keys, *argv]
            for at in range(0, len(arguments), MAX_ARGUMENTS_AT_ONCE):
                self._add_arguments(*arguments[at : at + MAX_ARGUMENTS_AT_ONCE])
            kind, value, *place = self._run(function, len(keys))
        except lua51.LuaError as problem:  # outside of what the sandbox catches: killed, or no memory, at its end
            raise ScriptError(_text_of(problem)) from None
        finally:
            self._host = None
            self._runtime.set_max_memory(0)
            if self._runtime.get_memory_used() > self._in_use + MIN_GARBAGE:
                self._collect()
        if kind in (b"error", b"failure"):
            raise ScriptError(value, b"%b:%d" % tuple(place) if all(place) and place else None)
        return Outcome(value, is_encoded=kind == b"resp")

    def needs_memory(self) -> bool:
        """Collect the garbage if there is much. Return whether scripts must be evicted, so that the next have room."""
        if self._runtime.get_memory_used() <= max(MAX_COMPILED_MEMORY, self._in_use + MIN_GARBAGE):
            return False
        self._collect()
        return self._in_use > MAX_COMPILED_MEMORY

    def _collect(self) -> None:
        self._runtime.gccollect()
        self._in_use = self._runtime.get_memory_used()

    # ---------------------------------------------------------------- what Lua calls; nothing here may raise

    def has_room(self, size: int) -> bool:
        """Return whether Lua can certainly take a value of this size."""
        free: int = MAX_SCRIPT_MEMORY - self._runtime.get_memory_used()
        return size + HEADROOM < free

    def _guarded(self, function: Callable[..., bytes]) -> Callable[..., bytes | None]:
        """Return a function that does the same, and returns None without memory for the result or after an error."""

        def guarded(*args: Any) -> bytes | None:
            try:
                result = function(*args)
                return result if self.has_room(len(result)) else None
            except Exception:
                return None

        return guarded

    def _call(self, version: int, *args: bytes) -> Any:
        """Execute a command. Return its reply, or the reply and how it is to be read."""
        try:
            assert self._host is not None
            if self._host.killed:  # a loop of slow commands has few instructions, so its hook is seldom called
                return None, KILLED
            reply = self._host.call(list(args))
            if reply is None or type(reply) is int:
                return reply
            if isinstance(reply, bytes):
                return reply if self.has_room(len(reply)) else (None, NO_MEMORY)
            if isinstance(reply, SimpleString):
                text, kind = reply.text, STATUS
            elif isinstance(reply, ErrorReply):
                text, kind = reply.text, ERROR
            else:
                text, kind = self._encoded(reply, version), ENCODED
        except Exception:
            return None, NO_MEMORY
        return (text, kind) if self.has_room(len(text)) else (None, NO_MEMORY)

    def _encoded(self, reply: Reply, version: int) -> bytes:
        """Encode a reply in the version of RESP that the script has chosen."""
        encoder = ReplyEncoder()
        encoder.use(version)
        pieces: list[bytes] = []
        size = 0
        for piece in encoder.stream(reply):
            pieces.append(piece)
            size += len(piece)
            if not self.has_room(size):
                raise MemoryError
        return b"".join(pieces)

    def _set_memory_limit(self, is_on: bool) -> None:
        self._runtime.set_max_memory(MAX_SCRIPT_MEMORY if is_on else 0)

    def _is_killed(self) -> bool:
        return self._host is not None and self._host.is_killed()

    def _log(self, level: int, text: bytes) -> None:
        if self._host is not None:
            self._host.log(level, text)


def to_bytecode(text: bytes) -> bytes:
    """Compile a script in a Lua state of its own, without the keyspace lock. Raises `ScriptError` with the text of Lua.

    The time of Lua's compiler can be quadratic (a long chain of ``or``), and nothing can interrupt it.
    """
    runtime = _new_runtime()
    dump = runtime.execute(_TO_BYTECODE, name=b"=kvline")
    runtime.set_max_memory(MAX_SCRIPT_MEMORY)
    try:
        bytecode, problem = dump(text)
    except lua51.LuaError as failure:
        raise ScriptError(_text_of(failure)) from None
    if bytecode is None:
        raise ScriptError(problem)
    compiled: bytes = bytecode
    return compiled


def _new_runtime() -> Any:
    """Return a Lua state that cannot reach Python objects, except for the functions that are passed to it."""
    return lua51.LuaRuntime(
        encoding=None,
        register_eval=False,
        register_builtins=False,
        unpack_returned_tuples=True,
        attribute_filter=_refuse_attribute,
        max_memory=0,
    )


def _text_of(problem: lua51.LuaError) -> bytes:
    """Return the text of an error that Lua has not caught. Without memory there is none."""
    return str(problem).encode(errors="replace") or b"not enough memory"


def _refuse_attribute(*_: object) -> NoReturn:
    raise AttributeError("not available in scripts")


def _pack_float(number: float, size: int, is_big_endian: bool) -> bytes:
    try:
        return struct.pack(_FLOATS[size, is_big_endian], number)
    except OverflowError:  # too large for a float: infinity, as the conversion in C
        return struct.pack(_FLOATS[size, is_big_endian], math.copysign(math.inf, number))


def _unpack_float(data: bytes, is_big_endian: bool) -> float:
    number: float = struct.unpack(_FLOATS[len(data), is_big_endian], data)[0]
    return number


_FLOATS = {(4, False): "<f", (4, True): ">f", (8, False): "<d", (8, True): ">d"}
