"""How long a connection may wait for its client: the timeouts that depend on the state of the session."""

from __future__ import annotations

from math import inf
from time import perf_counter_ns

from server.session.session import Session


def seconds_left(session: Session) -> float:
    """Return the seconds after which the connection must be closed if the client stays silent; infinity if never.

    0 or less if the time is over. MONITOR and subscribers are exempt from the idle timeout, as in Redis
    (`clientsCronHandleTimeout`). Another thread may call this: it only reads.
    """
    return min(_seconds_to_idle(session), _seconds_to_authenticate(session))


def _seconds_to_idle(session: Session) -> float:
    idle_timeout = session.context.settings.idle_timeout
    if not idle_timeout:
        return inf
    if session.client.is_monitoring or any(session.client.subscriptions):
        return idle_timeout  # until the next look, because RESET may end it
    return idle_timeout - (perf_counter_ns() - session.client.active_at) / 10**9


def _seconds_to_authenticate(session: Session) -> float:
    if session.authenticated or not session.context.auth.required:
        return inf
    # Whatever the client sends meanwhile. Otherwise one that guesses could do so for ever on one connection.
    return session.context.settings.auth_timeout - (perf_counter_ns() - session.unauthenticated_since) / 10**9
