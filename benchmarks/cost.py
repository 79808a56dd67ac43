"""What a server's process spends: CPU time and wake-ups. On a busy machine they vary less than rates do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU time in nanoseconds, and how often a thread had to wait (``voluntary_ctxt_switches`` of proc(5))."""

    cpu: int
    waits: int

    def since(self, start: Cost) -> Cost:
        """Return what was spent since an earlier time."""
        return Cost(self.cpu - start.cpu, self.waits - start.waits)


def cost_of(pid: int) -> Cost:
    """Return what the threads of a process have spent. Threads that have ended do not count."""
    cpu = waits = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            cpu += int((task / "schedstat").read_text().split()[0])
            waits += int(
                re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.MULTILINE)[0]
            )
        except FileNotFoundError:  # the thread has ended
            continue
    return Cost(cpu, waits)
