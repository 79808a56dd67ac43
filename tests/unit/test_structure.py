"""Who may know whom: the layers, held by reading every module's imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"client", "common", "server"}
NETWORK = {"asyncio", "select", "selectors", "socket", "socketserver", "ssl"}


def sources(*patterns: str) -> list[Path]:
    found = sorted(path for pattern in patterns for path in ROOT.glob(pattern))
    assert found, f"{patterns} name no file"
    return found


def each_module(*patterns: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", sources(*patterns), ids=lambda path: str(path.relative_to(ROOT)))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(nodes: Iterator[ast.AST]) -> set[str]:
    """Return the names of the modules that these import statements load."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here, so that their target can be read off them"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


def everywhere(tree: ast.AST) -> Iterator[ast.AST]:
    return ast.walk(tree)


def outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk what runs when the module is loaded."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from outside_functions(node)


def packages(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@each_module("common/**/*.py")
def test_common_knows_neither_server_nor_client(path: Path) -> None:
    assert packages(imports(everywhere(tree_of(path)))) & PACKAGES <= {"common"}


@each_module("server/**/*.py")
def test_the_server_does_not_know_the_client(path: Path) -> None:
    assert packages(imports(everywhere(tree_of(path)))) & PACKAGES <= {"common", "server"}


@each_module("client/**/*.py")
def test_the_client_knows_the_server_only_in_its_terminal_mode(path: Path) -> None:
    if path.name != "local.py":
        assert packages(imports(everywhere(tree_of(path)))) & PACKAGES <= {"client", "common"}


@each_module("client/**/*.py")
def test_the_terminal_mode_is_loaded_only_when_it_is_asked_for(path: Path) -> None:
    assert "client.local" not in imports(outside_functions(tree_of(path)))


@each_module(
    "common/**/*.py",
    "server/engines/redis/cache.py",
    "server/clients/registry.py",
    "server/commands/*.py",
    "server/args/expire_time.py",
    "server/engines/embedded.py",
    "common/errors.py",
    "server/keyspace/expiration.py",
    "server/session/context.py",
    "server/args/integers.py",
    "server/args/options.py",
    "server/args/glob.py",
    "server/protocols/detection.py",
    "server/registry.py",
    "server/keyspace/scan.py",
    "server/session/session.py",
    "server/clients/stats.py",
    "server/keyspace/store.py",
    "client/protocol.py",
)
def test_what_is_sans_io_knows_no_network(path: Path) -> None:
    names = imports(everywhere(tree_of(path)))
    assert not packages(names) & NETWORK
    assert "server.net.listener" not in names


@pytest.mark.parametrize(
    ("module", "known"),
    [
        ("store", {"server.keyspace.expiration", "server.keyspace.scan"}),
        ("expiry", set()),
        ("scans", set()),
        ("patterns", {"common.errors"}),
    ],
)
def test_the_store_and_its_parts_know_no_more_of_the_project_than_this(module: str, known: set[str]) -> None:
    (path,) = sources(f"server/{module}.py")
    names = {name for name in imports(everywhere(tree_of(path))) if name.partition(".")[0] in PACKAGES}
    assert {".".join(name.split(".")[:2]) for name in names} == known


def names_of_locks(path: Path) -> set[str]:
    """Return which locks of `threading` the module's code names, by whatever import."""
    nodes = list(ast.walk(tree_of(path)))
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    names |= {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.name for node in nodes if isinstance(node, ast.alias)}
    return names & {"Lock", "RLock", "Condition", "Semaphore"}


def test_the_stores_lock_is_named_in_one_file_and_the_others_guard_no_store() -> None:
    modules = sources("client/**/*.py", "common/**/*.py", "server/**/*.py")
    locks = {path.relative_to(ROOT).as_posix(): names_of_locks(path) for path in modules}
    assert {path: names for path, names in locks.items() if names} == {
        "server/engines/redis/cache.py": {"Lock"},
        "server/engines/redis/cluster.py": {"Lock"},
        "server/engines/redis/engine.py": {"Lock"},
        "server/clients/registry.py": {"Lock"},
        "server/engines/embedded.py": {"RLock"},
        "server/clients/stats.py": {"Lock"},
        "server/net/listener.py": {"Condition", "Lock"},
    }
    for path, names in locks.items():
        if names and path != "server/engines/embedded.py":
            assert "server.keyspace.store" not in imports(everywhere(tree_of(ROOT / path)))


@each_module("client/**/*.py", "common/**/*.py", "server/**/*.py")
def test_redis_py_is_known_to_the_backend_alone(path: Path) -> None:
    if "backend" not in path.parts:
        names = imports(everywhere(tree_of(path)))
        assert not packages(names) & {"redis", "cachetools"}
        assert {name for name in names if name.startswith("server.engines.redis.")} <= {
            f"server.engines.redis.command_line{name}"
            for name in ("", ".add_backend_options", ".backend_engine")
            if path.name in ("__main__.py", "command_line.py")
        }


@each_module("server/engines/redis/*.py")
def test_the_backend_is_an_engine_and_knows_no_session_and_no_door(path: Path) -> None:
    names = {".".join(name.split(".")[:2]) for name in imports(everywhere(tree_of(path)))}
    assert not names & {
        "server.session.session",
        "server.session.context",
        "server.net.listener",
        "server.protocols.json_frames",
        "server.keyspace.store",
    }
