"""Read the files of a directory in the order in which they rebuild the keyspace, and find what is wrong with them.

Nothing is changed here. A start, a repair and ``--check`` do with the findings what they must.

    snapshot            every batch must be undamaged, because it was synced before it got its name
    log, log ...        each continues the chain of the file before it; the last one may end in a torn tail

A torn tail is what a crash leaves of writes that were not synced. It may extend over several logs: if one ends early,
the batches of the next one do not follow. Damage before something that was synced is corruption. A log that continues
nothing and has nothing synced was begun by a rewrite that failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from server.engines.log.disk import Disk, File
from server.engines.log.names import (
    FORMAT,
    Names,
    SnapshotEnd,
    log_name,
    read_header,
    read_snapshot_end,
    snapshot_name,
)
from server.engines.log.reader import BatchReader, has_undamaged_header, is_corrupt, survivors
from server.engines.log.records import NotARecord
from server.engines.log.trailer import NO_CHAIN, Chain

_NO_RECORD = "a batch is undamaged, and has a request that is no record"


class Corruption(Exception):
    """A file is damaged, or missing, and not because of an unfinished write."""

    def __init__(self, name: str, offset: int, what: str) -> None:
        super().__init__(f"{name}, byte {offset:,}: {what}")
        self.name = name
        self.offset = offset
        self.what = what


@dataclass
class Part:
    """A file that was read: its name, its size, and where its undamaged part ends."""

    name: str
    size: int
    end: int = 0
    batches: int = 0
    synced: int = 0
    """The highest synced offset in its trailers."""
    is_log: bool = False


@dataclass
class Findings:
    """What the files contain."""

    parts: list[Part] = field(default_factory=list)
    """The files that were read, in order."""
    snapshot: int = 0
    """The number of the snapshot; 0 if the first log begins with an empty keyspace."""
    log: int = 0
    """The number of the last log; 0 if there is none."""
    chain: Chain = NO_CHAIN
    """The last undamaged batch."""
    torn: Part | None = None
    """The log that ends in a torn tail, which is the last one then."""
    unusable: list[str] = field(default_factory=list)
    """Logs that continue nothing. Nothing in them was synced."""
    obsolete: list[str] = field(default_factory=list)
    """Files that a later snapshot has replaced, or that were never completed."""

    @property
    def torn_bytes(self) -> int:
        """The size of the torn tail."""
        return self.torn.size - self.torn.end if self.torn else 0


Consume = Callable[[bytes], None]
"""Gets the undamaged data of a file, in order. Raises `NotARecord`."""


class Walk:
    """One reading of a directory."""

    def __init__(self, disk: Disk, consume: Consume, *, salvage: bool = False) -> None:
        self._disk = disk
        self._consume = consume
        self._salvages = salvage
        self.names = Names.of(disk.names())
        self.findings = Findings()
        self._follows_any = False  # the end of the snapshot is lost, and with it the place of the first log
        self.damage: list[Corruption] = []
        """What was passed over, if the walk salvages what is left."""

    def run(self) -> Findings:
        """Read everything. Raises `Corruption` for the first damage, unless the walk salvages."""
        findings, names = self.findings, self.names
        findings.snapshot = max(names.snapshots, default=0)
        findings.obsolete = [
            *names.temporary,
            *(snapshot_name(each) for each in names.snapshots if each < findings.snapshot),
            *(log_name(each) for each in names.logs if each < findings.snapshot),
        ]
        end = self._read_snapshot(findings.snapshot) if findings.snapshot else SnapshotEnd(NO_CHAIN, 0)
        if end is None:  # only if the walk salvages
            self._follows_any = True
            end = SnapshotEnd(NO_CHAIN, 0)
        findings.chain = end.chain
        self._read_logs()
        if findings.chain.sequence < end.needs:
            what = f"it ends with batch {findings.chain.sequence}, and the snapshot needs batch {end.needs}"
            self._report(log_name(findings.log), 0, what)
        return findings

    def _report(self, name: str, offset: int, what: str) -> None:
        problem = Corruption(name, offset, what)
        if not self._salvages:
            raise problem
        self.damage.append(problem)

    @contextmanager
    def _open(self, name: str) -> Iterator[File]:
        file = self._disk.open(name)
        try:
            yield file
        finally:
            file.close()

    def _numbers_of_logs(self) -> list[int]:
        return [each for each in self.names.logs if each >= max(self.names.snapshots, default=0)]

    # ---------------------------------------------------------------- the snapshot

    def _read_snapshot(self, number: int) -> SnapshotEnd | None:
        name = snapshot_name(number)
        with self._open(name) as file:
            reader, last = self._begin(file, name, b"snapshot", number), b""
            if reader is not None:
                last = self._consume_all(reader, name)
            offset = 0 if reader is None else reader.end
            end = read_snapshot_end(last)
            if reader is not None and reader.is_complete and end is not None:
                return end
            self._report(name, offset, "the snapshot is damaged" if offset < file.size() else "the snapshot has no end")
            # The keys of a snapshot do not depend on one another, so what is left of them is worth having.
            for each in survivors(file, offset):
                try:
                    self._consume(each.data)
                except NotARecord as problem:
                    self._report(name, offset, f"{_NO_RECORD}: {problem}")
                last = each.data
            return read_snapshot_end(last)

    # ---------------------------------------------------------------- the logs

    def _read_logs(self) -> None:
        numbers, findings = self._numbers_of_logs(), self.findings
        first = max(findings.snapshot, 1)
        if first not in numbers and (numbers or findings.snapshot):
            self._report(log_name(first), 0, "the file is missing")
        for number in numbers:
            # After a torn tail nothing can follow.
            is_read = False
            if findings.torn is None:
                with self._open(log_name(number)) as file:
                    is_read = self._read_log(file, number)
            if not is_read:
                findings.unusable.append(log_name(number))

    def _read_log(self, file: File, number: int) -> bool:
        """Read a log, if it continues the files before it. Return whether it does."""
        name, findings = log_name(number), self.findings
        reader = self._begin(file, name, b"log", number)
        if reader is None or (reader.chain != findings.chain and not self._follows_any):
            # A log that was begun and not used, or the log before lost its end. Nothing in it was synced then.
            what = "its header is damaged" if reader is None else "it does not continue the file before it"
            if is_corrupt(file, 0) or number == max(findings.snapshot, 1):
                self._report(name, 0, what)
            return False
        self._follows_any = False
        self._consume_all(reader, name)
        findings.log, findings.chain = number, reader.chain
        if not reader.is_complete and findings.torn is None:
            if self._is_corrupt(file, reader.end, number):
                self._report(name, reader.end, f"batch {reader.chain.sequence + 1} is damaged")
            findings.torn = findings.parts[-1]
        return True

    def _is_corrupt(self, file: File, offset: int, number: int) -> bool:
        """Return whether something after this place was synced, in this log or in a later one."""
        if is_corrupt(file, offset):
            return True
        for later in self._numbers_of_logs():
            if later > number:
                with self._open(log_name(later)) as other:
                    if is_corrupt(other, 0):
                        return True
        return False

    # ---------------------------------------------------------------- any file

    def _begin(self, file: File, name: str, kind: bytes, number: int) -> BatchReader | None:
        header = read_header(file)
        if header is None or (header.kind, header.number) != (kind, number):
            return None
        if header.format != FORMAT:
            raise Corruption(name, 0, f"its format is {header.format}, and this version of kvline reads {FORMAT}")
        return BatchReader(file, header.chain) if has_undamaged_header(file, header) else None

    def _consume_all(self, reader: BatchReader, name: str) -> bytes:
        """Consume the undamaged batches. Return the last ones."""
        part = Part(name, reader.size, is_log=name.endswith(".log"))
        before, last = reader.chain.sequence, b""
        self.findings.parts.append(part)
        for last in reader:  # returned
            try:
                self._consume(last)
            except NotARecord as problem:
                self._report(name, part.end, f"{_NO_RECORD}: {problem}")
                if part.is_log:  # later changes depend on it
                    self.findings.torn = part
                    break
            part.end, part.batches = reader.end, reader.chain.sequence - before
            part.synced = reader.synced
        return last
