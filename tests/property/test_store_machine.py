"""A few sessions on some databases, held against plain dicts, operation by operation, while time goes on."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from common.codec import Args
from common.replies import NULL_ARRAY, OK, QUEUED, ErrorReply, Lines, Reply
from common.resp_client import ReplyDecoder, encode_request
from common.text import ENDING_IN_LF, format_command
from server.engines.embedded import EmbeddedEngine
from server.engines.log.engine import DurableEngine, LogSettings
from server.engines.log.rewrite import rewrite
from server.keyspace.observers import Entry, Removal
from tests.harness.clock import Clock
from tests.harness.logs import all_items, items_after_sending, new_disk
from tests.harness.profiles import examples
from tests.harness.sessions import ClientSession, encode, feed, new_session
from tests.harness.stores import Recorder, Recorders, new_store
from tests.property.model import Databases, Model

DIALECTS = ["text", "RESP2", "RESP3"]
"""One session speaks each."""

sessions = st.integers(0, len(DIALECTS) - 1)
keys = st.sampled_from([b"a", b"", b"odd\r\n\xff"])
DATABASES = 3
databases = st.sampled_from([b"0", b"1", b"2"])
numbers = st.integers(-3, 3) | st.sampled_from([2**63 - 1, -(2**63) + 1, 2**62])
words_for_numbers = numbers.map(b"%d".__mod__) | st.sampled_from(
    [b"", b"+1", b"01", b" 1", b"1.0", b"-0", b"9" * 19, b"x"]
)
times = st.integers(1, 3000)
SET_OPTIONS = [
    [],
    [b"PX", b"time"],
    [b"EX", b"time"],
    [b"NX", b"GET", b"PX", b"time"],
    [b"XX", b"KEEPTTL"],
    [b"GET", b"KEEPTTL"],
]
ACTIONS = [
    [],  # time goes on
    [b"GET", b"key"],
    [b"SET", b"key", b"1"],
    [b"SET", b"key", b"1", b"XX", b"KEEPTTL"],
    [b"DEL", b"key"],
    [b"RENAME", b"key", b"new key"],
    [b"RENAMENX", b"new key", b"key"],
    [b"COPY", b"new key", b"key"],
    [b"PERSIST", b"key"],
    [b"PEXPIRE", b"key", b"1000"],
    [b"MOVE", b"key", b"1"],
    [b"SWAPDB", b"0", b"1"],
    [b"SWAPDB", b"1", b"2"],
    [b"FLUSHDB"],
    [b"FLUSHALL"],
]
"""What may happen to a key that is watched, and to another."""

values = words_for_numbers | st.binary(max_size=5)


class Sessions(RuleBasedStateMachine):
    """Each rule sends one request by one session, and knows what must come back."""

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.model = Databases(self.clock, DATABASES)
        self.start()

    def start(self) -> None:
        """Make a store, an engine and sessions."""
        self.store = new_store(self.clock)
        self.engine = engine = self.new_engine()
        self.observer = Recorders()
        self.store.databases.observe(self.observer)
        self.selected = [0] * len(DIALECTS)
        self.sessions: list[ClientSession] = [new_session(engine) for _ in DIALECTS]
        feed(self.sessions[DIALECTS.index("RESP3")], b"HELLO 3\n")
        self.queues: list[list[Args] | None] = [None] * len(DIALECTS)
        self.spoiled = [False] * len(DIALECTS)
        # Each key with its database, and its version at that time.
        self.watched: list[dict[tuple[int, bytes], int]] = [{} for _ in DIALECTS]

    def new_engine(self) -> EmbeddedEngine:
        return EmbeddedEngine(self.store, databases=DATABASES)

    def versions_of(self, watched: Iterable[tuple[int, bytes]]) -> dict[tuple[int, bytes], int]:
        return {(index, key): self.model.models[index].versions_of([key])[key] for index, key in watched}

    def expected(self, number: int, args: Args) -> Reply:
        """Run a command in the model, in the database that the session has selected. Return its reply."""
        reply, self.selected[number] = self.model.run(self.selected[number], args)
        return reply

    def send(self, number: int, args: Args, expected: Reply) -> None:
        """Send a request in the session's own protocol, and compare its reply in that protocol's terms."""
        session, dialect = self.sessions[number], DIALECTS[number]
        if dialect == "text":
            answer = feed(session, format_command(args) + b"\n")
            assert answer == encode(ENDING_IN_LF, expected), args
        else:
            found = ReplyDecoder().feed(feed(session, encode_request(args)))
            assert repr(found) == repr([expected if dialect == "RESP3" else without_blocks(expected)]), args

    def run(self, number: int, *args: bytes) -> None:
        """Send a command that runs at once, or waits where a transaction is open."""
        queue = self.queues[number]
        if queue is None:
            self.send(number, [*args], self.expected(number, [*args]))
        else:
            queue.append([*args])
            self.send(number, [*args], QUEUED)

    @rule(number=sessions, key=keys, value=values)
    def set(self, number: int, key: bytes, value: bytes) -> None:
        self.run(number, b"SET", key, value)

    @rule(number=sessions, key=keys, value=values, time=times, options=st.sampled_from(SET_OPTIONS))
    def set_with_options(self, number: int, key: bytes, value: bytes, time: int, options: list[bytes]) -> None:
        self.run(number, b"SET", key, value, *(b"%d" % time if each == b"time" else each for each in options))

    @rule(number=sessions, key=keys)
    def get(self, number: int, key: bytes) -> None:
        self.run(number, b"GET", key)

    @rule(number=sessions, key=keys, time=times, condition=st.sampled_from([b"", b"NX", b"XX", b"GT", b"LT"]))
    def expire(self, number: int, key: bytes, time: int, condition: bytes) -> None:
        self.run(number, b"PEXPIRE", key, b"%d" % time, *filter(None, [condition]))

    @rule(number=sessions, key=keys, name=st.sampled_from([b"PERSIST", b"PTTL", b"PEXPIRETIME"]))
    def persist_or_read_expiry(self, number: int, key: bytes, name: bytes) -> None:
        self.run(number, name, key)

    @rule(number=sessions, key=keys, new_key=keys, name=st.sampled_from([b"RENAME", b"RENAMENX", b"COPY"]))
    def rename_or_copy(self, number: int, key: bytes, new_key: bytes, name: bytes) -> None:
        self.run(number, name, key, new_key)

    @rule(number=sessions, index=databases | st.just(b"3"))
    def select(self, number: int, index: bytes) -> None:
        self.run(number, b"SELECT", index)

    @rule(number=sessions, key=keys, index=databases)
    def move(self, number: int, key: bytes, index: bytes) -> None:
        self.run(number, b"MOVE", key, index)

    @rule(number=sessions, key=keys, new_key=keys, index=databases)
    def copy_to_database(self, number: int, key: bytes, new_key: bytes, index: bytes) -> None:
        self.run(number, b"COPY", key, new_key, b"DB", index)

    @rule(number=sessions, first=databases, second=databases)
    def swap(self, number: int, first: bytes, second: bytes) -> None:
        self.run(number, b"SWAPDB", first, second)

    @rule(number=sessions)
    def count_all(self, number: int) -> None:
        self.run(number, b"DBSIZE")

    @rule(milliseconds=st.integers(1, 2500))
    def let_time_pass(self, milliseconds: int) -> None:
        self.clock.forward(milliseconds)

    @rule()
    def sweep(self) -> None:
        assert self.engine.expire_slice()
        for index, observer in self.observer.by_index.items():
            model = self.model.models[index]
            model.remove_expired()
            left_over = observer.values.keys() - model.values.keys()
            this_second = self.clock() // 1000
            seconds = {expires_at // 1000 for key in left_over if (expires_at := observer.expiries[key]) is not None}
            assert seconds <= {this_second}, "expired keys are removed although no client accesses them"

    @rule(number=sessions, some=st.lists(keys, min_size=1, max_size=3), name=st.sampled_from([b"DEL", b"EXISTS"]))
    def delete_or_count(self, number: int, some: list[bytes], name: bytes) -> None:
        self.run(number, name, *some)

    @rule(number=sessions, key=keys, name=st.sampled_from([b"INCR", b"DECR"]))
    def count_by_one(self, number: int, key: bytes, name: bytes) -> None:
        self.run(number, name, key)

    @rule(number=sessions, key=keys, by=words_for_numbers, name=st.sampled_from([b"INCRBY", b"DECRBY"]))
    def count_by(self, number: int, key: bytes, by: bytes, name: bytes) -> None:
        self.run(number, name, key, by)

    @rule(number=sessions, name=st.sampled_from([b"FLUSHALL", b"FLUSHDB"]))
    def flush(self, number: int, name: bytes) -> None:
        self.run(number, name)

    @rule(number=sessions)
    def compact(self, number: int) -> None:
        self.run(number, b"COMPACT")

    @rule(number=sessions)
    def send_what_cannot_run(self, number: int) -> None:
        self.spoiled[number] = self.queues[number] is not None
        self.send(number, [b"GET"], ErrorReply.from_text(b"ERR wrong number of arguments for 'get' command"))

    @rule(number=sessions)
    def multi(self, number: int) -> None:
        if self.queues[number] is not None:
            self.send(number, [b"MULTI"], ErrorReply.from_text(b"ERR MULTI calls can not be nested"))
        else:
            self.queues[number] = []
            self.send(number, [b"MULTI"], OK)

    @rule(number=sessions, some=st.lists(keys, min_size=1, max_size=2))
    def watch(self, number: int, some: list[bytes]) -> None:
        if self.queues[number] is not None:
            self.send(number, [b"WATCH", *some], ErrorReply.from_text(b"ERR WATCH inside MULTI is not allowed"))
        else:
            self.send(number, [b"WATCH", *some], OK)
            watched = [(self.selected[number], key) for key in some]
            self.watched[number] = self.versions_of(watched) | self.watched[number]

    @rule(number=sessions, other=sessions, key=keys, new_key=keys, action=st.sampled_from(ACTIONS), wait=times)
    def watch_and_transact(
        self, number: int, other: int, key: bytes, new_key: bytes, action: list[bytes], wait: int
    ) -> None:
        """Do in a row what chance seldom brings together."""
        if not action:
            self.run(other, b"SET", key, b"1", b"PX", b"%d" % wait)  # it expires where the wait is an even one
        self.watch(number, [key])
        if action:
            named = {b"key": key, b"new key": new_key}
            self.run(other, *(named.get(each, each) for each in action))
        else:
            self.clock.forward(wait - wait % 2)
        if self.queues[number] is None:
            self.multi(number)
        self.run(number, b"INCR", new_key)
        self.exec(number)

    @rule(number=sessions)
    def unwatch(self, number: int) -> None:
        if self.queues[number] is None:
            self.watched[number] = {}
            self.send(number, [b"UNWATCH"], OK)

    @rule(number=sessions)
    def exec(self, number: int) -> None:
        queue, spoiled = self.queues[number], self.spoiled[number]
        self.queues[number], self.spoiled[number] = None, False
        watched = {} if queue is None else self.watched[number]
        if queue is not None:
            self.watched[number] = {}
        if queue is None:
            self.send(number, [b"EXEC"], ErrorReply.from_text(b"ERR EXEC without MULTI"))
        elif spoiled:
            aborted = ErrorReply.from_text(b"EXECABORT Transaction discarded because of previous errors.")
            self.send(number, [b"EXEC"], aborted)
        elif self.versions_of(watched) != watched:
            self.send(number, [b"EXEC"], NULL_ARRAY if DIALECTS[number] == "text" else None)
        else:
            self.send(number, [b"EXEC"], [self.expected(number, args) for args in queue])

    @rule(number=sessions)
    def discard(self, number: int) -> None:
        refused = self.queues[number] is None
        if not refused:
            self.watched[number] = {}
        self.queues[number], self.spoiled[number] = None, False
        self.send(number, [b"DISCARD"], ErrorReply.from_text(b"ERR DISCARD without MULTI") if refused else OK)

    @invariant()
    def the_store_is_sound_and_holds_no_more_than_the_model_ever_did(self) -> None:
        for store in self.store.databases:
            store.check()
        assert [each.client.watched_keys for each in self.sessions] == list(map(len, self.watched))

    def teardown(self) -> None:
        if hasattr(self, "sessions"):
            self.store.begin_step()
            assert {each.index: items for each in self.store.all() if (items := each.items())} == self.model.items()
            for session in self.sessions:
                session.close()


class LoggedSessions(Sessions):
    """The same with a durable log, and servers that are killed and started again."""

    @initialize()
    def begin(self) -> None:
        self.disk = new_disk()
        super().begin()

    def new_engine(self) -> EmbeddedEngine:
        settings = LogSettings("simulated", lambda: self.disk)
        engine = DurableEngine(self.store, settings, databases=DATABASES)
        self.log = engine.open().log
        return engine

    @rule(rewrite_first=st.booleans())
    def restart(self, rewrite_first: bool) -> None:
        self.log.commit()
        if rewrite_first:
            assert list(rewrite(self.log)) is not None
        assert items_after_sending(self.disk) == all_items(self.store)
        for session in self.sessions:
            session.close()
        self.start()


OOM = ErrorReply.from_text(b"OOM command not allowed when used memory > 'maxmemory'.")
GROWING = {b"SET", b"COPY", b"INCR", b"DECR", b"INCRBY", b"DECRBY"}

ROOM = 2 * 160 + 50
"""Bytes for two keys, of three."""


class LimitedSessions(Sessions):
    """The same with a memory limit. Keys are evicted before each request, so that the model knows which ones."""

    @initialize(policy=st.sampled_from(["noeviction", "allkeys-random", "allkeys-lru", "allkeys-lfu", "volatile-ttl"]))
    def begin(self, policy: str) -> None:  # type: ignore[override]
        self.policy = policy
        super().begin()

    def new_engine(self) -> EmbeddedEngine:
        engine = super().new_engine()
        engine.limit_memory(ROOM, self.policy)
        self.store.databases.observe(Evictions(self.model))
        return engine

    def is_exceeded(self) -> bool:
        """Evict what can be evicted. Return whether the limit is exceeded then."""
        assert self.store.memory is not None
        while not self.engine.evict_slice():
            pass
        return self.store.memory.limit.is_exceeded

    def run(self, number: int, *args: bytes) -> None:
        if not self.is_exceeded():
            super().run(number, *args)
        elif self.queues[number] is not None:
            self.spoiled[number] = True
            self.send(number, [*args], OOM)
        elif args[0] in GROWING:
            self.send(number, [*args], OOM)
        else:
            super().run(number, *args)

    @rule(number=sessions)
    def exec(self, number: int) -> None:
        queue = self.queues[number]
        grows = any(args[0] in GROWING for args in queue or ())
        if not self.is_exceeded() or queue is None or self.spoiled[number] or not grows:
            super().exec(number)
        else:
            self.queues[number], self.watched[number] = None, {}
            aborted = b"EXECABORT Transaction discarded because of: " + OOM.text
            self.send(number, [b"EXEC"], ErrorReply.from_text(aborted))


class Evictions(Recorders):
    """Removes from the model what is evicted."""

    def __init__(self, model: Databases) -> None:
        super().__init__()
        self._model = model

    def new_recorder(self, index: int) -> Recorder:
        return EvictionRecorder(self._model.models[index])


class EvictionRecorder(Recorder):
    """Removes from the model of a database what is evicted."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model

    def on_remove(self, key: bytes, cause: Removal, before: Entry) -> None:
        super().on_remove(key, cause, before)
        if cause is Removal.EVICTED:
            self._model.remove(key)


def without_blocks(reply: Reply) -> Reply:
    """Return what RESP2 keeps of the replies that occur here."""
    if isinstance(reply, Lines):
        return b"\n".join(reply.lines)
    return list(map(without_blocks, reply)) if isinstance(reply, list) else reply


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=examples(150), stateful_step_count=50)

TestLimitedSessions = LimitedSessions.TestCase
TestLimitedSessions.settings = settings(max_examples=examples(75), stateful_step_count=50)

TestLoggedSessions = LoggedSessions.TestCase
TestLoggedSessions.settings = settings(max_examples=examples(50), stateful_step_count=50)
