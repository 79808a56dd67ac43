"""The layers: which folder may import which. Read from every module's import statements."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Set
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.harness.sources import module_files, syntax_tree

LAYERS = [
    ["common"],
    ["server.stderr_log"],
    ["server.process"],
    ["server.settings"],
    ["server.args"],
    ["server.rdb", "server.target"],
    ["server.registry"],
    ["server.keyspace"],
    ["server.protocols"],
    ["server.engines.base", "server.engines.time_slice", "server.engines.waits"],
    ["server.engines.memory_limit"],
    ["server.engines.embedded", "server.engines.redis"],
    ["server.engines.log"],
    ["server.clients"],
    ["server.scripts"],
    ["server.session"],
    ["server.commands"],
    ["server.net"],
    ["server.http"],
    ["server.app"],
    ["server.__main__"],
    ["client"],
]
"""From low to high. A module imports from its own folder and from lower layers, never from another folder of its own
layer. The packages `server` and `server.engines` are empty."""

NETWORK = {"asyncio", "select", "selectors", "socket", "socketserver", "ssl"}
MAY_USE_NETWORK = (
    "server.net",
    "server.http",
    "server.target",
    "server.engines.redis",
    "client.connection",
    "client.tls",
    "client.source",
    "client.tools.top.app",  # Textual runs on asyncio
    "common.tls_socket",
)

MODULES = module_files("client", "common", "server")


@functools.cache
def imports(module: str, *, at_load: bool = False) -> Set[str]:
    """Return the modules that a module imports. ``at_load``: without those that its functions import."""
    names: set[str] = set()
    for node in _nodes(syntax_tree(MODULES[module]), functions=not at_load):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            full_names = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= full_names & MODULES.keys() or {str(node.module)}
    return names


def _nodes(tree: ast.AST, *, functions: bool) -> Iterator[ast.AST]:
    if isinstance(tree, ast.If) and getattr(tree.test, "id", "") == "TYPE_CHECKING":
        return
    for node in ast.iter_child_nodes(tree):
        if functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from _nodes(node, functions=functions)


def is_in(module: str, folders: tuple[str, ...] | list[str]) -> str | None:
    """Return which of the folders contains the module."""
    return next((folder for folder in folders if module == folder or module.startswith(f"{folder}.")), None)


def layer_of(module: str) -> tuple[int, str]:
    """Return the height of a module's layer, and its folder in it."""
    for height, folders in enumerate(LAYERS):
        if folder := is_in(module, folders):
            return height, folder
    raise AssertionError(f"{module} is in no layer")


def test_a_module_imports_lower_layers_only() -> None:
    for module in MODULES:
        if module in ("server", "server.engines"):
            assert imports(module) <= {"__future__"}
            continue
        height, folder = layer_of(module)
        for name in imports(module) & MODULES.keys():
            other_height, other_folder = layer_of(name)
            assert other_height < height or other_folder == folder, f"{module} imports {name}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: imports(module) & MODULES.keys() for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as problem:
        pytest.fail(f"a circle: {problem.args[1]}")


def test_the_client_imports_the_server_only_for_local_and_only_then() -> None:
    users = [module for module in MODULES if any(is_in(name, ["server"]) for name in imports(module))]
    assert [module for module in users if is_in(module, ["client"])] == ["client.local"]
    assert [module for module in MODULES if "client.local" in imports(module, at_load=True)] == []


def importers_of(packages: set[str]) -> list[str]:
    """Return the modules that import one of these packages or a module in one."""
    return [module for module in MODULES if {name.partition(".")[0] for name in imports(module)} & packages]


def test_only_transports_use_the_network() -> None:
    assert [module for module in importers_of(NETWORK) if not is_in(module, MAY_USE_NETWORK)] == []


def test_only_the_redis_engine_uses_redis_py() -> None:
    users = importers_of({"redis", "cachetools"})
    assert [module for module in users if not is_in(module, ["server.engines.redis"])] == []


def names_in(module: str) -> set[str]:
    """Return the names that a module uses and imports."""
    nodes = ast.walk(syntax_tree(MODULES[module]))
    return {getattr(node, "attr", getattr(node, "id", getattr(node, "name", ""))) for node in nodes}


def test_the_keyspace_lock_is_in_one_module() -> None:
    assert [module for module in MODULES if "RLock" in names_in(module)] == ["server.engines.embedded"]


def test_what_runs_under_the_keyspace_lock_takes_no_lock() -> None:
    folders = ["common", "server.args", "server.commands", "server.keyspace"]
    assert [module for module in importers_of({"threading"}) if is_in(module, folders)] == []
