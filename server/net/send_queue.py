"""How much of what was sent a peer has not acknowledged yet."""

from __future__ import annotations

import sys
from contextlib import suppress

if sys.platform == "linux":
    import fcntl
    import termios

    def unacknowledged_size(fd: int) -> int:
        """Return the bytes in the send queue of a TCP socket, SIOCOUTQ of tcp(7). 0 if the system does not tell."""
        with suppress(OSError, ValueError):  # the socket is closed, or there is none
            return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        return 0

else:

    def unacknowledged_size(fd: int) -> int:
        """Return 0: the system does not tell."""
        return 0
