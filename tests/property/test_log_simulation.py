"""The durable log under simulation: whatever fails, and whenever the machine stops, nothing acknowledged is lost.

``KVLINE_SIMULATION_SEED=7`` runs one seed of every test, which repeats a failure that names it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

import pytest

from server.engines.log import reader as reader_module
from server.engines.log.files import LogFiles
from server.engines.log.log import ALWAYS, EVERYSEC, DurableLog
from server.engines.log.recorder import DatabaseRecorder, Entries
from tests.harness.log_simulation import Faults, LostData, Simulation
from tests.harness.profiles import examples
from tests.harness.simulated_disk import SimulatedDisk

CRASH_POINTS = examples(900)
"""Of each test. There are twelve of them, so that the suite has at least 10,800."""

ROUNDS = 20
MAX_SEEDS = 1000

FAULTS = {
    "no faults": Faults(),
    "failing syncs": Faults(sync=0.1),
    "failing writes": Faults(append=0.05),
    "full disk": Faults(full=0.05),
    "failing calls of the directory": Faults(other=0.15),
    "all faults": Faults(sync=0.05, append=0.03, full=0.03, other=0.05),
}


@pytest.fixture(autouse=True)
def one_key_per_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients change keys between the slices of a rewrite, although there are few keys."""
    monkeypatch.setattr("server.engines.log.rewrite.SLICE_KEYS", 1)


@pytest.fixture
def without_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check only what is left after failures. That takes a fiftieth of the time, so many seeds can be tried."""
    monkeypatch.setattr(Simulation, "_check_crash", lambda *_: None)


def seeds() -> Iterator[int]:
    chosen = os.environ.get("KVLINE_SIMULATION_SEED")
    return iter([int(chosen)] if chosen else range(MAX_SEEDS))


@pytest.mark.parametrize("level", [ALWAYS, EVERYSEC])
@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_after_a_crash_at_any_call_of_the_disk_a_prefix_with_everything_acknowledged_is_replayed(
    level: str, faults: Faults
) -> None:
    crash_points = 0
    for seed in seeds():
        simulation = Simulation(seed, level, faults)
        simulation.run(ROUNDS)
        crash_points += simulation.crash_points
        if crash_points >= CRASH_POINTS:
            return
    assert "KVLINE_SIMULATION_SEED" in os.environ, f"only {crash_points} crash points"


# ---------------------------------------------------------------- tests of the test


def first_lost_data(
    new: Callable[[int], Simulation], seeds: Iterable[int] = range(MAX_SEEDS), rounds: int = ROUNDS
) -> tuple[int, str] | None:
    """Return the first seed with which a simulation finds the bug, and what it reports."""
    for seed in seeds:
        try:
            new(seed).run(rounds)
        except LostData as problem:
            return seed, str(problem)
    return None


def finds_lost_data(new: Callable[[int], Simulation], rounds: int = ROUNDS) -> bool:
    return first_lost_data(new, rounds=rounds) is not None


def test_a_seed_repeats_what_it_has_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogFiles, "sync", lambda files: None)
    found = first_lost_data(Simulation)
    assert found is not None
    seed, report = found
    assert report.startswith(f"KVLINE_SIMULATION_SEED={seed}: ")
    assert first_lost_data(Simulation, [seed]) == (seed, report)


def test_the_simulation_finds_a_reply_before_the_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogFiles, "sync", lambda files: None)
    assert finds_lost_data(Simulation)


def test_the_simulation_finds_a_missing_sync_of_the_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedDisk, "sync_directory", lambda disk: None)
    assert finds_lost_data(Simulation)


def test_the_simulation_finds_trailers_that_are_not_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "is_undamaged", lambda *_: True)
    assert finds_lost_data(Simulation)


def test_the_simulation_finds_a_file_that_is_used_after_a_failed_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogFiles, "is_trusted", property(lambda _: True, lambda *_: None), raising=False)
    monkeypatch.setattr(Simulation, "step_rewrite", lambda _: None)  # it would begin the log anew
    assert finds_lost_data(lambda seed: Simulation(seed, EVERYSEC, Faults(sync=0.3)))


def test_the_simulation_finds_changes_that_are_not_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.engines.log.pending.Pending.roll_back", lambda pending, store: None)
    assert finds_lost_data(lambda seed: Simulation(seed, ALWAYS, Faults(append=0.1)))


def test_the_simulation_finds_keys_that_expire_during_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.keyspace.store.Store.begin_step", lambda store, now=None: setattr(store, "_now", None))
    assert finds_lost_data(Simulation)


def test_the_simulation_finds_a_snapshot_that_does_not_need_the_log_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DurableLog, "flush", lambda log: 0)
    assert finds_lost_data(lambda seed: Simulation(seed, EVERYSEC))


@pytest.mark.usefixtures("without_crashes")
def test_the_simulation_finds_expiries_that_are_not_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.engines.log.recorder.undo_expired", lambda *_: None)
    assert finds_lost_data(lambda seed: Simulation(seed, ALWAYS, Faults(append=0.3)), 3 * ROUNDS)


def test_the_simulation_finds_a_batch_that_does_not_end_in_database_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.engines.log.pending.Pending.complete_records", lambda pending: pending.records)
    assert finds_lost_data(Simulation)


def test_the_simulation_finds_a_snapshot_of_databases_that_are_swapped_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def visit(recorder: DatabaseRecorder, count: int) -> tuple[int, Entries]:
        return recorder.index, recorder.store.entries(recorder.order.visit(count))

    monkeypatch.setattr(DatabaseRecorder, "visit", visit)
    assert finds_lost_data(Simulation)


@pytest.mark.usefixtures("without_crashes")
def test_the_simulation_finds_a_swap_that_is_not_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.engines.log.recorder.undo_swap", lambda *_: None)
    assert finds_lost_data(lambda seed: Simulation(seed, ALWAYS, Faults(append=0.3)), 3 * ROUNDS)
