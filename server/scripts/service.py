"""The scripts of a server: which are known, which one runs, and for how long.

Scripts run in threads of their own (`DEFERRED`), with the keyspace lock. So the threads that serve connections never
wait for the end of a script, except for the lock, and the engine lets them give up (`Engine.limit_waits`): after
``busy-reply-threshold`` every request is refused (`refuse_if_busy`), except SCRIPT KILL and SHUTDOWN NOSAVE. Until a
script is slow, it costs other requests nothing: the first thread that notices, of those that wait and the script
itself, makes `Inspection.needed` true.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from common import REDIS_VERSION
from common.errors import (
    NO_SCRIPT,
    NO_SCRIPT_RUNS,
    OUT_OF_MEMORY,
    SCRIPT_BUSY,
    WRITING_SCRIPT,
    CommandError,
    log_failing,
    lua_failed,
    script_failed,
    script_not_compiled,
    script_too_long,
    scripts_unavailable,
)
from common.extras import explain_import_error
from server.clients.inspection import Inspection
from server.engines.base import Persistence
from server.engines.memory_limit import try_to_make_room
from server.keyspace.store import Store
from server.scripts.cache import MAX_QUICK_SIZE, MAX_SCRIPT_SIZE, Script, ScriptCache, Source, digest_of
from server.scripts.header import Header, parse_header
from server.scripts.outcome import Outcome, ScriptError
from server.scripts.run import Caller, ScriptRun

if TYPE_CHECKING:
    from server.scripts.interpreter import Interpreter

FEATURE = "script"
"""The name under which a slow script makes sessions look at every request."""


def are_available() -> bool:
    """Return whether the extra is installed, without importing it."""
    return find_spec("lupa") is not None


class Scripts:
    """Compiles and runs the scripts of one server.

    The methods that say so need the keyspace lock, which guards the Lua state and the cache. Any thread may call the
    others.
    """

    def __init__(self, inspection: Inspection) -> None:
        self.threshold = 5.0
        """Seconds after which other requests are refused (``busy-reply-threshold``)."""
        self._inspection = inspection
        self._cache = ScriptCache()
        self._interpreter: Interpreter | None = None
        self.running: ScriptRun | None = None
        """The script that runs at present."""
        self._state = threading.Lock()  # guards `running`, so that the end of a script and a kill do not overlap
        self._is_noted = False  # whether sessions look at every request because of the script that runs
        self._is_stopping = False

    def prepare(self, text: bytes) -> Source:
        """Return a script that is compiled fast with the keyspace lock: a long one is compiled here. Without the lock.

        Raises `CommandError`.
        """
        if len(text) > MAX_SCRIPT_SIZE:
            raise CommandError(script_too_long(MAX_SCRIPT_SIZE))
        digest = digest_of(text)
        source = self._cache.find_source(digest)
        if source is None:
            _, to_bytecode = _import_lua()
            header = parse_header(text)
            code = header.body
            if len(text) > MAX_QUICK_SIZE:
                try:
                    code = to_bytecode(code)
                except ScriptError as problem:
                    raise CommandError(script_not_compiled(problem.text)) from None
            source = Source(digest, header, code, len(text))
        return source

    # ---------------------------------------------------------------- with the keyspace lock

    def exist(self, digests: Sequence[bytes]) -> list[bool]:
        """Return for each SHA-1 whether its script is known."""
        return [digest.lower() in self._cache for digest in digests]

    def flush(self) -> None:
        """Remove all scripts, and the Lua state with what they have left there."""
        self._cache.clear()
        self._interpreter = None

    def find(self, digest: bytes) -> Script:
        """Return a known script. Raises `CommandError`."""
        self._require_interpreter()
        script = self._cache.get(digest.lower())
        if script is None:
            raise CommandError(NO_SCRIPT)
        return script

    def run(
        self,
        script: Script,
        keys: Sequence[bytes],
        argv: Sequence[bytes],
        caller: Caller,
        store: Store,
        *,
        reads_only: bool,
    ) -> Outcome:
        """Run a script. Raises `CommandError`."""
        run = self._new_run(script.source.header, caller, store, reads_only=reads_only)
        with self._state:
            self.running = run
            run.killed = self._is_stopping
            self._is_noted = False
        try:
            return self._require_interpreter().run(script.function, keys, argv, run)
        except ScriptError as problem:
            if problem.place is None:
                raise CommandError(lua_failed(script.source.digest, problem.text)) from None
            raise CommandError(script_failed(problem.text, script.source.digest, problem.place)) from None
        finally:
            with self._state:
                self.running = None
                if self._is_noted:
                    self._inspection.set(FEATURE, used=False)

    def compiled(self, source: Source) -> Script:
        """Compile a script that `prepare` has returned, and keep it. Raises `CommandError`."""
        interpreter = self._require_interpreter()
        script = self._cache.get(source.digest)
        if script is None:
            try:
                function = interpreter.compile(source.code, is_bytecode=source.is_bytecode)
            except ScriptError as problem:
                raise CommandError(script_not_compiled(problem.text)) from None
            script = Script(source, function)
            self._cache.add(script)
            if interpreter.needs_memory():
                self._cache.evict_half()
        return script

    def _require_interpreter(self) -> Interpreter:
        """Return the Lua state, which the first script makes. Raises `CommandError` without the extra."""
        if self._interpreter is None:
            interpreter, _ = _import_lua()
            self._interpreter = interpreter(REDIS_VERSION)
        return self._interpreter

    def _new_run(self, header: Header, caller: Caller, store: Store, *, reads_only: bool) -> ScriptRun:
        """Check whether a script may run, as Redis does (`scriptPrepareForRun`). Raises `CommandError`."""
        is_out_of_memory = not try_to_make_room(store)
        may_write = not header.has(b"no-writes")
        if header.flags is not None:  # otherwise each of its commands is checked
            if may_write and reads_only:
                raise CommandError(WRITING_SCRIPT)
            persistence = caller.context.engine.persistence
            if may_write and persistence is not None and persistence.problem is not None:
                raise CommandError(log_failing(persistence.problem))
            if may_write and is_out_of_memory and not header.has(b"allow-oom"):
                raise CommandError(OUT_OF_MEMORY)
        return ScriptRun(
            caller,
            store,
            self._note_if_busy,
            reads_only=reads_only or not may_write,
            is_out_of_memory=is_out_of_memory and not header.has(b"allow-oom"),
        )

    # ---------------------------------------------------------------- for any thread

    @property
    def is_busy(self) -> bool:
        """Whether a script has run for so long that other requests are refused."""
        run = self.running
        return run is not None and time.monotonic() - run.started >= self.threshold

    def refuse_if_busy(self) -> None:
        """Raise `CommandError` if a script is slow."""
        if self._note_if_busy():
            raise CommandError(SCRIPT_BUSY)

    def _note_if_busy(self) -> bool:
        """Make sessions look at every request if a script is slow. Return whether it is."""
        if not self.is_busy:
            return False
        with self._state:
            if self.is_busy:  # it may have ended meanwhile, and another one may have begun
                self._is_noted = True
                self._inspection.set(FEATURE, used=True)
                return True
        return False

    def kill(self) -> None:
        """End the script that runs, unless it has written. Raises `CommandError`."""
        with self._state:
            if self.running is None:
                raise CommandError(NO_SCRIPT_RUNS)
            self.running.kill()

    def stop(self, persistence: Persistence | None) -> None:
        """End the script that runs, and all later ones, because the server stops. Nothing of it is logged."""
        with self._state:
            self._is_stopping = True
            if self.running is not None:
                self.running.kill(always=True)
                if persistence is not None:
                    persistence.discard_script()


def _import_lua() -> tuple[type[Interpreter], Callable[[bytes], bytes]]:
    """Return what needs Lua: `Interpreter` and `to_bytecode`. Raises `CommandError` without the extra."""
    try:
        from server.scripts.interpreter import Interpreter, to_bytecode  # noqa: PLC0415  # an optional dependency
    except ImportError as problem:
        reason = explain_import_error("a script", "scripts", problem)
        raise CommandError(scripts_unavailable(str(reason))) from None
    return Interpreter, to_bytecode
