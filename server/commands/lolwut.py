"""LOLWUT: a command without use, except that tests of Redis clients call it."""

from __future__ import annotations

from common import REDIS_VERSION, __version__
from common.replies import Lines, Reply
from server.args.integers import parse_integer
from server.registry import CommandGroup, Flag
from server.session.session import Session

group = CommandGroup("server")


@group.control(
    "LOLWUT [VERSION version] [arg ...]",
    "Print the versions of Redis and of kvline.",
    Flag.READONLY | Flag.FAST,
    since="5.0.0",
    complexity="",
)
def lolwut(session: Session, *args: bytes) -> Reply:
    # As in Redis, only the number is checked. Redis draws a picture with some numbers.
    if len(args) > 1 and args[0].upper() == b"VERSION":
        parse_integer(args[1])
    return Lines([f"Redis ver. {REDIS_VERSION}, kvline {__version__}".encode()], terminated=True)
