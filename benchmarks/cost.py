"""What a server's process spends: CPU time and wake-ups. On a busy machine they vary less than rates do."""

from __future__ import annotations

import os
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
    """Return what a process has spent. The waits are those of the threads that it has now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])  # user and system time, of ended threads too: proc(5)
    waits = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            status = (task / "status").read_text()
        except (FileNotFoundError, ProcessLookupError):  # the thread has ended
            continue
        waits += int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.MULTILINE)[0])
    return Cost(ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK"), waits)
