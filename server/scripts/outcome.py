"""How the run of a script can end."""

from __future__ import annotations

from dataclasses import dataclass

from common.replies import Reply
from common.resp_client import ReplyDecoder


class ScriptError(Exception):
    """Raised for a script that cannot be compiled, or has failed.

    ``text`` is that of the error reply, with its code. ``place`` says where in which source, such as
    ``@user_script:1``. Without it, ``text`` is a message of Lua itself.
    """

    def __init__(self, text: bytes, place: bytes | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.place = place


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a script has returned: a string, or a reply that is encoded in RESP3."""

    value: bytes
    is_encoded: bool

    def reply(self) -> Reply:
        """Return the reply. To decode a large one takes long, so it is done without the keyspace lock."""
        return ReplyDecoder().feed(self.value)[0] if self.is_encoded else self.value
