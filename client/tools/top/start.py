"""Start the view, if there is a terminal and the optional dependency."""

from __future__ import annotations

import os
import sys

from client.conversation import Conversation
from client.tools import ToolFailed
from common.extras import explain_import_error

REPLY_TIMEOUT = 5.0
"""Seconds after which a server that does not reply counts as lost."""


def show_top(conversation: Conversation, interval: float, *, colours: bool) -> int:
    """Show the view until it is closed. Return the exit status.

    Raises `ToolFailed` without a terminal, `common.extras.MissingExtra`, and as `Conversation`.
    """
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ToolFailed("--top needs a terminal; --stat prints lines")
    try:
        from client.tools.top.app import Top  # noqa: PLC0415  # an optional dependency, which takes 0.5 s to import
    except ImportError as problem:
        raise explain_import_error("--top", "top", problem) from None
    # With a timeout of its own, and without another connection beside it.
    own = conversation.another(REPLY_TIMEOUT)
    conversation.disconnect()
    if not colours:
        os.environ["NO_COLOR"] = "1"  # which Textual reads
    return Top(own, interval).run(mouse=False) or 0
