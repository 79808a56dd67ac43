"""What a session decides about the output of its connection: which replies are sent, and in which form."""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

from common.codec import Encoder


class ReplyMode(Enum):
    """Which replies are sent, as CLIENT REPLY sets it."""

    ON = auto()
    OFF = auto()
    SKIP_NEXT = auto()
    """The reply to the next request is not sent."""

    SKIP_THIS = auto()
    """The request that is being executed is that next one."""


class OutputFormat(Protocol):
    """What a session asks of the stream around it."""

    def set_protocol_version(self, version: int) -> None:
        """Encode RESP replies in this version from now on."""
        ...

    @property
    def encoder(self) -> Encoder:
        """The encoder of the request that is being executed."""
        ...

    def set_authenticated(self, authenticated: bool) -> None:
        """Read the next requests within the bounds for clients that have, or have not, authenticated."""
        ...
