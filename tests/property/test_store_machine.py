"""A few sessions on one store, held against a plain dict, operation by operation."""

from __future__ import annotations

import re

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from common.replies import OK, QUEUED, Block, Error, Reply
from common.requests import Words
from common.resp import ReplyDecoder, encode_request
from common.text import command_line, reply_lines
from server.engine import EmbeddedEngine
from server.session import Session
from server.store import Store
from tests.support import converse, new_session

NOT_AN_INTEGER = Error(b"ERR value is not an integer or out of range")
WOULD_OVERFLOW = Error(b"ERR increment or decrement would overflow")
SPELLING = re.compile(rb"0|-?[1-9][0-9]*")
FITTING = range(-(2**63), 2**63)

DIALECTS = ["text", "RESP2", "RESP3"]
"""One session speaks each."""

sessions = st.integers(0, len(DIALECTS) - 1)
keys = st.sampled_from([b"a", b"b", b"", b"odd\r\nkey", b"\xff"])
numbers = st.integers(-3, 3) | st.sampled_from([2**63 - 1, -(2**63) + 1, 2**62])
words_for_numbers = numbers.map(b"%d".__mod__) | st.sampled_from(
    [b"", b"+1", b"01", b" 1", b"1.0", b"-0", b"9" * 19, b"x"]
)
values = words_for_numbers | st.binary(max_size=5)


class Model:
    """What the store should do, done the plainest way."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}

    def run(self, words: Words) -> Reply:
        match words:
            case [b"SET", key, value]:
                self.values[key] = value
                return OK
            case [b"GET", key]:
                return self.values.get(key)
            case [b"DEL", *keys]:
                return sum(self.values.pop(key, None) is not None for key in keys)
            case [b"EXISTS", *keys]:
                return sum(key in self.values for key in keys)
            case [b"INCR" | b"DECR" as name, key]:
                return self.add(key, b"1", 1 if name == b"INCR" else -1)
            case [b"INCRBY" | b"DECRBY" as name, key, by]:
                return self.add(key, by, 1 if name == b"INCRBY" else -1)
            case [b"FLUSHALL"]:
                self.values.clear()
                return OK
            case [b"COMPACT"]:
                return Block([command_line([b"SET", *pair]) for pair in self.values.items()])
        raise AssertionError(f"the model knows no {words}")

    def add(self, key: bytes, by: bytes, sign: int) -> Reply:
        terms = [self.values.get(key, b"0"), by]
        if not all(SPELLING.fullmatch(term) and int(term) in FITTING for term in terms):
            return NOT_AN_INTEGER
        total = int(terms[0]) + sign * int(terms[1])
        if total not in FITTING:
            return WOULD_OVERFLOW
        self.values[key] = b"%d" % total
        return total


class Sessions(RuleBasedStateMachine):
    """Each rule sends one request by one session, and knows what must come back."""

    @initialize()
    def begin(self) -> None:
        self.store = Store()
        self.model = Model()
        engine = EmbeddedEngine(self.store)
        self.sessions: list[Session] = [new_session(engine) for _ in DIALECTS]
        converse(self.sessions[DIALECTS.index("RESP3")], b"HELLO 3\n")
        self.queues: list[list[Words] | None] = [None] * len(DIALECTS)
        self.spoiled = [False] * len(DIALECTS)

    def send(self, who: int, words: Words, expected: Reply) -> None:
        """Send a request in the session's own dialect, and compare its reply in that dialect's terms."""
        session, dialect = self.sessions[who], DIALECTS[who]
        if dialect == "text":
            answer = converse(session, command_line(words) + b"\n")
            assert answer == b"".join(line + b"\n" for line in reply_lines(expected)), words
        else:
            found = ReplyDecoder().feed(converse(session, encode_request(words)))
            assert repr(found) == repr([expected if dialect == "RESP3" else without_blocks(expected)]), words

    def run(self, who: int, *words: bytes) -> None:
        """Send a command that runs at once, or waits where a transaction is open."""
        queue = self.queues[who]
        if queue is None:
            self.send(who, [*words], self.model.run([*words]))
        else:
            queue.append([*words])
            self.send(who, [*words], QUEUED)

    @rule(who=sessions, key=keys, value=values)
    def set(self, who: int, key: bytes, value: bytes) -> None:
        self.run(who, b"SET", key, value)

    @rule(who=sessions, key=keys)
    def get(self, who: int, key: bytes) -> None:
        self.run(who, b"GET", key)

    @rule(who=sessions, some=st.lists(keys, min_size=1, max_size=3), name=st.sampled_from([b"DEL", b"EXISTS"]))
    def delete_or_count(self, who: int, some: list[bytes], name: bytes) -> None:
        self.run(who, name, *some)

    @rule(who=sessions, key=keys, name=st.sampled_from([b"INCR", b"DECR"]))
    def count_by_one(self, who: int, key: bytes, name: bytes) -> None:
        self.run(who, name, key)

    @rule(who=sessions, key=keys, by=words_for_numbers, name=st.sampled_from([b"INCRBY", b"DECRBY"]))
    def count_by(self, who: int, key: bytes, by: bytes, name: bytes) -> None:
        self.run(who, name, key, by)

    @rule(who=sessions)
    def flush(self, who: int) -> None:
        self.run(who, b"FLUSHALL")

    @rule(who=sessions)
    def compact(self, who: int) -> None:
        self.run(who, b"COMPACT")

    @rule(who=sessions)
    def send_what_cannot_run(self, who: int) -> None:
        self.spoiled[who] = self.queues[who] is not None
        self.send(who, [b"GET"], Error(b"ERR wrong number of arguments for 'get' command"))

    @rule(who=sessions)
    def multi(self, who: int) -> None:
        if self.queues[who] is not None:
            self.send(who, [b"MULTI"], Error(b"ERR MULTI calls can not be nested"))
        else:
            self.queues[who] = []
            self.send(who, [b"MULTI"], OK)

    @rule(who=sessions)
    def exec(self, who: int) -> None:
        queue, spoiled = self.queues[who], self.spoiled[who]
        self.queues[who], self.spoiled[who] = None, False
        if queue is None:
            self.send(who, [b"EXEC"], Error(b"ERR EXEC without MULTI"))
        elif spoiled:
            aborted = Error(b"EXECABORT Transaction discarded because of previous errors.")
            self.send(who, [b"EXEC"], aborted)
        else:
            self.send(who, [b"EXEC"], [self.model.run(words) for words in queue])

    @rule(who=sessions)
    def discard(self, who: int) -> None:
        refused = self.queues[who] is None
        self.queues[who], self.spoiled[who] = None, False
        self.send(who, [b"DISCARD"], Error(b"ERR DISCARD without MULTI") if refused else OK)

    @invariant()
    def the_store_is_sound_and_is_what_the_model_is(self) -> None:
        self.store.check()
        assert pairs(self.store) == list(self.model.values.items())


def without_blocks(reply: Reply) -> Reply:
    """Return what RESP2 keeps of the replies that occur here."""
    if isinstance(reply, Block):
        return b"\n".join(reply.lines)
    return list(map(without_blocks, reply)) if isinstance(reply, list) else reply


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=60, stateful_step_count=40)
