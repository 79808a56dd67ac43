"""Fixtures for every test, and what the test run needs of its process."""

from __future__ import annotations

import gc
import signal
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from server.commands import COMMANDS
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.net.io_thread import IOThread
from server.process import is_compiled
from server.session.context import ServerContext
from tests.harness.clock import Clock
from tests.harness.optional_packages import SkipMissingPackages
from tests.harness.sessions import ClientSession, connect
from tests.harness.stores import check_stores, new_store

with suppress(ModuleNotFoundError):  # without hypothesis, the tests that import it are skipped
    from tests.harness import profiles  # loads the profile, also for tests that do not import it

pytest_plugins = ["pytester"]  # pytest accepts it in the topmost conftest only

COMPILED = pytest.mark.skip(reason="it replaces or counts parts of modules, and they are compiled here")

SCHEDULERS = ["0", "1", "2"]
"""The values of ``--io-threads`` with which tests of connections run."""

LONGEST_FIRST = ["packaging", "stress", "integration", "property", "clients", "differential", "docs", "fuzz"]
"""The folders in the order in which a run begins them. The others follow."""

FOLDERS = {
    "unit",
    "property",
    "tcp",
    "http",
    "proxy",
    "client",
    "durability",
    "differential",
    "clients",
    "stress",
    "packaging",
    "docs",
    "fuzz",
}
"""Folders of tests that are markers too."""


def pytest_configure(config: pytest.Config) -> None:
    """Skip what is not installed, and let SIGINT interrupt the processes that tests start.

    A shell that starts a job in the background ignores SIGINT in it, and every child process inherits that. Then
    neither the server nor the client could be stopped by Ctrl-C.
    """
    config.pluginmanager.register(SkipMissingPackages())
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the garbage collector never examine what the collection of tests makes, which exists until the end.

    It took a quarter of the collection's time, and each `gc.collect` of a test took longer than the test.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test with its folder: ``-m unit``, ``-m "not proxy"``. Skip what a compiled build cannot do.

    Begin with the folders whose modules take long. The processes of a parallel run then end at about the same time.
    """
    folders = {path: path.relative_to(Path(__file__).parent).parts[:-1] for path in {item.path for item in items}}
    items.sort(key=lambda item: _rank(folders[item.path]))  # a stable sort, so a folder keeps its order
    for item in items:
        for folder in FOLDERS.intersection(folders[item.path]):
            item.add_marker(folder)
        if is_compiled() and item.get_closest_marker("uncompiled"):
            item.add_marker(COMPILED)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with the mark ``every_scheduler`` with a thread per connection, with one I/O thread, and with two."""
    if "scheduler" in metafunc.fixturenames and metafunc.definition.get_closest_marker("every_scheduler"):
        ids = [f"io-threads={count}" for count in SCHEDULERS]
        metafunc.parametrize("scheduler", SCHEDULERS, indirect=True, scope="session", ids=ids)


def _rank(folders: tuple[str, ...]) -> int:
    return LONGEST_FIRST.index(folders[0]) if folders[0] in LONGEST_FIRST else len(LONGEST_FIRST)


@pytest.fixture(scope="session")
def scheduler(request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables of the environment that choose what serves the connections of a server: none, for the default."""
    count = getattr(request, "param", None)
    return {} if count is None else {"KVLINE_IO_THREADS": count}


@pytest.fixture(autouse=True)
def _check_stores() -> Iterator[None]:
    """Check the invariants of every store that the test made with `tests.harness.stores`."""
    yield
    check_stores()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Store:
    return new_store(clock)


@pytest.fixture
def engine(store: Store) -> EmbeddedEngine:
    return EmbeddedEngine(store)


@pytest.fixture
def context(engine: EmbeddedEngine) -> ServerContext:
    return ServerContext(engine, COMMANDS)


@pytest.fixture
def session(context: ServerContext) -> ClientSession:
    return connect(context)


@pytest.fixture
def other(session: ClientSession) -> ClientSession:
    """Another session of the same server."""
    return connect(session.context, "10.0.0.2:6000")


@pytest.fixture
def io_thread() -> Iterator[IOThread]:
    """A thread that serves connections, while the test runs."""
    thread = IOThread("test")
    thread.start()
    yield thread
    thread.stop()
