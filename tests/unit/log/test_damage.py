"""Damaged files: an unfinished write is cut off with a warning, everything else stops the start."""

from __future__ import annotations

import random
from collections.abc import Iterator
from zlib import crc32

import pytest

from common.program import start_command
from server.engines.base import EngineStartError
from server.engines.log.names import make_header
from server.engines.log.start import check
from server.engines.log.trailer import Chain, make_trailer, trailers
from server.engines.log.walk import Corruption
from tests.harness.logs import LoggedServer
from tests.harness.simulated_disk import Inode, SimulatedDisk

LOG = "00000001.log"
SNAPSHOT, SECOND_LOG = "00000002.base", "00000002.log"


def disk_with(files: dict[str, bytes]) -> SimulatedDisk:
    disk = SimulatedDisk(random.Random(0))
    for name, data in files.items():
        disk.files[name] = Inode(bytearray(data), bytearray(data))
    disk.sync_directory()
    return disk


def files_of(server: LoggedServer) -> dict[str, bytes]:
    return {name: server.file(name) for name in server.disk.files}


def small_log(*, clean: bool) -> dict[str, bytes]:
    """Return the files of a server with a snapshot and a log, after a clean stop or a crash."""
    server = LoggedServer()
    server.run("SET a 1", 'SET "b b" "x y" PXAT 3000000000000')
    server.rewrite()
    server.run("APPEND a 2", 'SET c "\\xff\\n# 3 0 00000000\\n"', "MULTI", "INCR n", "DEL c", "EXEC", "SET d 4")
    if clean:
        server.service.stop()
    return files_of(server)


def flips(data: bytes) -> Iterator[bytes]:
    """Yield the data with each of its bits changed."""
    for at, byte in enumerate(data):
        for bit in range(8):
            yield data[:at] + bytes([byte ^ (1 << bit)]) + data[at + 1 :]


@pytest.mark.parametrize("name", [SNAPSHOT, SECOND_LOG])
@pytest.mark.parametrize("clean", [True, False], ids=["after a clean stop", "after a crash"])
def test_no_changed_bit_goes_unnoticed(name: str, clean: bool, caplog: pytest.LogCaptureFixture) -> None:
    files = small_log(clean=clean)
    expected = LoggedServer(disk_with(files)).items()
    states = {"refused": 0, "warned": 0}
    for damaged in flips(files[name]):
        caplog.clear()
        disk = disk_with({**files, name: damaged})
        try:
            items = LoggedServer(disk).items()
        except EngineStartError:
            states["refused"] += 1
            assert {each: bytes(inode.data) for each, inode in disk.files.items()} == {**files, name: damaged}
        else:
            states["warned"] += 1
            assert caplog.messages
            assert not clean or items == expected, "after a clean stop only the marks at the end can be cut off"
    assert states["refused"] > states["warned"]
    if name == SNAPSHOT:
        assert states["warned"] == 0


def test_a_torn_tail_is_cut_off_at_every_offset_of_the_last_batch(caplog: pytest.LogCaptureFixture) -> None:
    server = LoggedServer()
    server.run("SET a 1", "SET b 2")
    before, size = server.items(), len(server.file(LOG))
    server.run("MSET a 3 c 4")
    whole = server.file(LOG)
    for end in range(size + 1, len(whole)):
        caplog.clear()
        restarted = LoggedServer(disk_with({LOG: whole[:end]}))
        assert restarted.items() == before
        assert caplog.messages == [f"cut {end - size} bytes of an unfinished write from the end of {LOG}"]
        assert restarted.restart().items() == before
    assert LoggedServer(disk_with({LOG: whole})).items() != before


def test_damage_before_something_synced_stops_the_start_and_says_what_to_do() -> None:
    server = LoggedServer()
    server.run("SET a 1", "SET b 2", "SET c 3")
    data = server.file(LOG)
    at = data.index(b"SET b")
    with pytest.raises(EngineStartError) as raised:
        LoggedServer(disk_with({LOG: data.replace(b"SET b 2", b"SET b 9")}))
    assert str(raised.value) == f"data/{LOG} is damaged at byte {at}: batch 5 is damaged"
    check, repair = (line.strip() for line in raised.value.advice if line.startswith(" "))
    assert check == f"{start_command('server')} --check data"
    assert repair == f"{start_command('server')} --data data --repair"


def lines_of(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def test_a_batch_that_is_missing_repeated_or_moved_is_found() -> None:
    server = LoggedServer()
    server.run("SET a 1", "SET b 2", "SET c 3", "SET d 4", "SET e 5")
    lines = lines_of(server.file(LOG))
    first = next(at for at, line in enumerate(lines) if line.startswith(b"SET a"))
    batch = lines[first : first + 2]
    for changed in (
        lines[:first] + lines[first + 2 :],
        lines[:first] + batch + lines[first:],
        lines[:first] + lines[first + 2 : first + 4] + batch + lines[first + 4 :],
    ):
        with pytest.raises(EngineStartError, match="damaged"):
            LoggedServer(disk_with({LOG: b"".join(changed)}))


@pytest.mark.parametrize("missing", [SNAPSHOT, SECOND_LOG])
def test_a_missing_file_stops_the_start(missing: str) -> None:
    files = small_log(clean=True)
    del files[missing]
    with pytest.raises(EngineStartError):
        LoggedServer(disk_with(files))


def test_a_log_without_the_snapshot_that_it_continues_stops_the_start_although_nothing_in_it_is_synced() -> None:
    files = small_log(clean=False)
    assert b"# synced" not in files[SECOND_LOG]
    disk = disk_with({SECOND_LOG: files[SECOND_LOG]})
    with pytest.raises(EngineStartError, match=rf"{LOG} is damaged at byte 0: the file is missing"):
        LoggedServer(disk)
    assert set(disk.files) == {SECOND_LOG}


def test_a_log_that_ends_before_its_snapshot_is_found() -> None:
    files = small_log(clean=True)
    data = files[SECOND_LOG]
    header = b"".join(lines_of(data)[:1])
    with pytest.raises(EngineStartError):
        LoggedServer(disk_with({**files, SECOND_LOG: header}))


def test_a_file_of_a_later_format_is_refused() -> None:
    files = {LOG: small_log(clean=True)[SECOND_LOG].replace(b"00000002, format 1", b"00000001, format 2")}
    with pytest.raises(EngineStartError, match="its format is 2, and this version of kvline reads 1"):
        LoggedServer(disk_with(files))


def test_other_files_in_the_directory_are_left_alone() -> None:
    disk = disk_with({"notes.txt": b"x", "tmp-notes": b"x", "tmp-00000009.base": b"half"})
    LoggedServer(disk).restart().run("SET a 1")
    assert set(disk.files) == {"notes.txt", "tmp-notes", LOG}


# ---------------------------------------------------------------- repair


def test_repair_of_a_log_keeps_what_comes_before_the_damage_and_copies_of_the_files() -> None:
    server = LoggedServer()
    server.run("SET a 1", "SET b 2", "SET c 3", "SET d 4")
    damaged = server.file(LOG).replace(b"SET c 3", b"SET c 9")
    repaired = LoggedServer(disk_with({LOG: damaged}), repair=True)
    assert repaired.items() == [(b"a", b"1", None), (b"b", b"2", None)]
    assert repaired.file(f"damaged-1-{LOG}") == damaged
    repaired.run("SET e 5")
    assert repaired.restart().items() == [(b"a", b"1", None), (b"b", b"2", None), (b"e", b"5", None)]


def test_repair_of_a_snapshot_keeps_every_undamaged_batch_and_the_log() -> None:
    server = LoggedServer()
    server.run(*(f"SET key:{number} {number}" for number in range(1000)))
    server.rewrite()
    server.run("SET new 1")
    files = files_of(server)
    files[SNAPSHOT] = files[SNAPSHOT].replace(b"SET key:300 300", b"SET key:300 309")
    repaired = LoggedServer(disk_with(files), repair=True)
    keys = {key for key, _, _ in repaired.items()}
    assert {b"key:0", b"key:999", b"new"} <= keys
    assert b"key:300" not in keys
    assert 400 < len(keys) < 1000
    assert repaired.restart().items() == repaired.items()


def test_repair_keeps_copies_of_what_a_damaged_snapshot_has_replaced() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    before = server.file(LOG)
    server.rewrite()
    damaged = server.file(SNAPSHOT).replace(b"SET a 1", b"SET a 9")
    files = {LOG: before, SNAPSHOT: damaged, SECOND_LOG: server.file(SECOND_LOG)}
    repaired = LoggedServer(disk_with(files), repair=True)
    copies = {name: repaired.file(name) for name in repaired.disk.files if name.startswith("damaged-")}
    assert copies == {f"damaged-1-{name}": data for name, data in files.items()}


def with_batch(data: bytes, records: bytes) -> bytes:
    """Append an undamaged batch to a log."""
    last = list(trailers(data))[-1]
    trailer, _ = make_trailer(Chain(last[1], last[3]), crc32(records, last[3]), 0)
    return data + records + trailer


def test_repair_of_a_log_ends_before_a_request_that_is_no_record() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    log = with_batch(server.file(LOG), b"SELECT 1\nNOTHING\nSELECT 0\n")
    server.disk.files[LOG].data[:] = log
    chain = Chain(*list(trailers(log))[-1][1:4:2])
    second = with_batch(make_header_batch(2, chain), b"SET b 2\n")
    disk = disk_with({LOG: log, SECOND_LOG: second})
    with pytest.raises(EngineStartError, match="has a request that is no record"):
        LoggedServer(disk)
    repaired = LoggedServer(disk, repair=True)
    assert repaired.all_items() == {0: [(b"a", b"1", None)]}
    repaired.run("SET c 3")
    assert repaired.restart().all_items() == {0: [(b"a", b"1", None), (b"c", b"3", None)]}


def make_header_batch(number: int, chain: Chain) -> bytes:
    """Return the first batch of a log."""
    header = make_header(b"log", number, chain)
    trailer, _ = make_trailer(chain, crc32(header, chain.crc), 0)
    return header + trailer


def test_repair_passes_over_requests_of_a_snapshot_that_are_no_records() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    server.rewrite()
    snapshot = server.file(SNAPSHOT)
    header = next(trailers(snapshot))[0]
    data = with_batch(snapshot[:header].replace(b"kvline snapshot", b"kvline snapshop"), b"SET x 1\n")
    data = with_batch(with_batch(data, b"SELECT 1\nNOTHING\nSELECT 0\n"), b"SET b 2\n")
    disk = disk_with({SNAPSHOT: data, SECOND_LOG: server.file(SECOND_LOG)})
    repaired = LoggedServer(disk, repair=True)
    assert (b"b", b"2", None) in repaired.items()


def test_repair_of_undamaged_files_changes_nothing() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    restarted = server.restart(repair=True)
    assert restarted.items() == [(b"a", b"1", None)]
    assert list(restarted.disk.files) == [LOG]


# ---------------------------------------------------------------- check


def test_check_reads_everything_and_changes_nothing() -> None:
    files = small_log(clean=True)
    disk = disk_with(files)
    calls = disk.calls
    lines = list(check(disk))
    assert disk.calls == calls
    assert [line.split(":")[0] for line in lines[:2]] == [SNAPSHOT, SECOND_LOG]
    assert lines[-1] == "7 records"


def test_check_reports_a_torn_tail_and_finds_damage() -> None:
    files = small_log(clean=False)
    torn = list(check(disk_with({**files, SECOND_LOG: files[SECOND_LOG][:-3]})))
    assert any("bytes that are not complete" in line for line in torn)
    with pytest.raises(Corruption, match=r"00000002\.base, byte"):
        list(check(disk_with({**files, SNAPSHOT: files[SNAPSHOT].replace(b"SET a", b"SET A")})))


def test_check_of_a_directory_without_a_log_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match="there is no log"):
        list(check(disk_with({"lock": b"", "data": b"SET a 1\n"})))
