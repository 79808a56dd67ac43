"""One command from the command line, perhaps several times."""

from __future__ import annotations

import time

from client.conversation import ServerShutDown
from client.protocol import has_failed
from client.render.forms import print_replies

TYPE_CHECKING = False  # not from `typing`, as in `common.replies`
if TYPE_CHECKING:
    from typing import BinaryIO

    from client.conversation import Conversation
    from client.protocol import Received
    from client.render.forms import Renderer
    from common.codec import Args


def run_command(
    conversation: Conversation,
    args: Args,
    output: BinaryIO,
    render: Renderer,
    *,
    repeat: int = 1,
    interval: float = 0.0,
) -> int:
    """Run a command and print its replies. Return the exit status: 1 if a command failed, else 0.

    ``repeat`` 0 means without end. ``interval`` is the number of seconds between two runs. Raises as
    `Conversation.exchange`, except that a server that shuts down when asked to is a success.
    """
    failed = False

    def show(received: Received) -> None:
        nonlocal failed
        failed = failed or any(map(has_failed, received.replies))
        print_replies(render, received.replies, output)

    number = 0
    try:
        while (not repeat or number < repeat) and not conversation.protocol.closing:
            if number:
                time.sleep(interval)
            conversation.exchange(conversation.protocol.encode(args), show)
            number += 1
    except ServerShutDown:
        pass
    return int(failed)
