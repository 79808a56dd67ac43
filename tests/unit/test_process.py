"""Process-wide effects and platform probes, each with and without the part of the platform that it uses."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from server import process
from tests.harness.processes import ROOT
from tests.harness.waiting import TIMEOUT

MIB = 1024 * 1024

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def run(program: str) -> None:
    """Run a program in a process of its own: what it tests would change the process of the tests."""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=TIMEOUT, check=True)


# ---------------------------------------------------------------- memory


@on_linux
def test_resident_memory_grows_with_what_is_allocated() -> None:
    before = process.resident_bytes()
    ballast = b"x" * (64 * MIB)
    grown = process.resident_bytes() - before
    assert grown > 32 * MIB
    assert process.peak_resident_bytes() >= before + len(ballast) // 2


@on_linux
def test_the_peak_stays_when_memory_is_freed() -> None:
    ballast = b"x" * (64 * MIB)
    peak = process.peak_resident_bytes()
    del ballast
    assert process.peak_resident_bytes() >= peak - MIB
    assert process.peak_resident_bytes() >= process.resident_bytes()


@on_linux
def test_without_the_module_resource_the_kernel_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    peak = process.peak_resident_bytes()
    monkeypatch.setattr(process, "resource", None)
    assert abs(process.peak_resident_bytes() - peak) < 32 * MIB


def test_where_the_system_reports_nothing_memory_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "resource", None)
    monkeypatch.setattr(process, "_read", lambda _: (_ for _ in ()).throw(FileNotFoundError))
    assert (process.resident_bytes(), process.peak_resident_bytes()) == (0, 0)


@pytest.mark.parametrize(("platform", "peak"), [("linux", 5 * MIB), ("darwin", 5 * 1024)])
def test_without_proc_it_is_the_peak_in_the_units_of_the_platform(
    monkeypatch: pytest.MonkeyPatch, platform: str, peak: int
) -> None:
    usage = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda _: SimpleNamespace(ru_maxrss=5 * 1024))
    monkeypatch.setattr(process, "resource", usage)
    monkeypatch.setattr(process.sys, "platform", platform)
    monkeypatch.setattr(process, "_read", lambda _: (_ for _ in ()).throw(FileNotFoundError))
    assert process.resident_bytes() == peak


# ---------------------------------------------------------------- cores, files, threads


def test_a_sandbox_that_forbids_to_choose_a_core_does_not_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_pid: int, _cores: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(process, "has_gil", lambda: True)
    with caplog.at_level(logging.INFO):
        process.stay_on_one_core()
    assert caplog.messages == ["the threads may run on all cores: [Errno 1] Operation not permitted"]


@pytest.mark.parametrize("missing", ["sched_setaffinity", "sched_getaffinity", "gil"])
def test_a_core_is_chosen_only_where_that_is_possible_and_of_use(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    chosen: list[object] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: chosen.append(cores), raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    monkeypatch.setattr(process, "has_gil", lambda: missing != "gil")
    if missing != "gil":
        monkeypatch.delattr(os, missing)
    process.stay_on_one_core()
    assert chosen == []


def test_one_of_the_cores_that_the_process_may_use_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[set[int]] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: chosen.append(cores), raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    monkeypatch.setattr(process, "has_gil", lambda: True)
    process.stay_on_one_core()
    assert chosen in ([{3}], [{5}])


def test_a_limit_on_files_that_cannot_be_raised_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_which: int, _limits: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    limits = SimpleNamespace(RLIMIT_NOFILE=7, getrlimit=lambda _: (10, 20), setrlimit=refuse)
    monkeypatch.setattr(process, "resource", limits)
    process.raise_file_limit()
    monkeypatch.setattr(process, "resource", None)
    process.raise_file_limit()


def test_the_process_of_a_server_is_prepared_once_and_for_all_threads() -> None:
    run(
        "import logging, os, sys, threading\n"
        "from server import process\n"
        "process.prepare(log_level='warning', log_format='text', one_core=True, switch_soon=True)\n"
        "assert logging.getLogger().level == logging.WARNING\n"
        "assert threading.stack_size() == process.THREAD_STACK_SIZE\n"
        "assert abs(sys.getswitchinterval() - process.SWITCH_INTERVAL) < 1e-6\n"
        "cores = getattr(os, 'sched_getaffinity', lambda _: {0})(0)\n"
        "assert len(cores) == 1 or not process.has_gil()\n"
    )


def test_what_the_options_do_not_ask_for_stays() -> None:
    run(
        "import os, sys\n"
        "from server import process\n"
        "interval, cores = sys.getswitchinterval(), getattr(os, 'sched_getaffinity', id)(0)\n"
        "process.prepare(log_level='info', log_format='text', one_core=False, switch_soon=False)\n"
        "assert sys.getswitchinterval() == interval\n"
        "assert getattr(os, 'sched_getaffinity', id)(0) == cores\n"
    )


def test_objects_that_exist_at_the_start_are_not_examined_later() -> None:
    run("import gc\nfrom server import process\nprocess.freeze_heap()\nassert gc.get_freeze_count() > 1000\n")


def test_yielding_the_cpu_returns() -> None:
    process.yield_cpu()


# ---------------------------------------------------------------- signals

WITHOUT_SIGWAIT = "import signal; del signal.pthread_sigmask, signal.sigwait\n"

each_platform = pytest.mark.parametrize("platform", ["", WITHOUT_SIGWAIT], ids=["sigwait", "handler"])


@each_platform
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("disposition", ["SIG_DFL", "SIG_IGN"])
def test_a_signal_ends_the_wait(platform: str, name: str, disposition: str) -> None:
    run(
        f"{platform}import os, signal, threading\n"
        f"signal.signal(signal.{name}, signal.{disposition})\n"
        "from server.process import StopSignal\n"
        "stop = StopSignal()\n"
        "waiting = threading.Thread(target=threading.Event().wait, daemon=True)\n"
        "waiting.start()\n"
        f"os.kill(os.getpid(), signal.{name})\n"
        f"assert stop.wait(lambda: None) == '{name}'\n"
    )


@each_platform
@pytest.mark.parametrize("disposition", ["SIG_DFL", "SIG_IGN"])
def test_a_hangup_does_not_end_the_wait(platform: str, disposition: str) -> None:
    run(
        f"{platform}import os, signal\n"
        f"signal.signal(signal.SIGHUP, signal.{disposition})\n"
        "from server.process import StopSignal\n"
        "stop = StopSignal()\n"
        "hangups = []\n"
        "def count():\n"
        "    hangups.append(None)\n"
        "    os.kill(os.getpid(), signal.SIGHUP if len(hangups) < 3 else signal.SIGTERM)\n"
        "os.kill(os.getpid(), signal.SIGHUP)\n"
        "assert stop.wait(count) == 'SIGTERM'\n"
        "assert len(hangups) == 3\n"
    )


@each_platform
def test_a_thread_of_the_process_may_ask_for_the_stop(platform: str) -> None:
    run(
        f"{platform}import threading\n"
        "from server.process import StopSignal\n"
        "stop = StopSignal()\n"
        "threading.Thread(target=stop.request, args=('SHUTDOWN',)).start()\n"
        "assert stop.wait(lambda: None) == 'SHUTDOWN'\n"
    )
