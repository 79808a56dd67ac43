"""Write the packages of kvline as a wheel or a zipapp carries them: one package ``kvline`` that contains all others.

    python packaging/tree.py FOLDER         FOLDER/kvline/{common,client,server}, and the modules of packaging/kvline

In the checkout ``common``, ``client`` and ``server`` are top-level packages, so that ``python -m server`` needs no
installation. A wheel must not install such names: a user's own program may have packages with them. So this replaces
``common`` by ``kvline.common`` and so on in every import statement of the copies. Nothing else changes, so the line
numbers of a traceback are those of the checkout. Needs nothing but Python.
"""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "kvline"
CARRIED = ("client", "common", "server")
"""The top-level packages that become subpackages."""

_IMPORT = re.compile(rb"(?P<statement>(?:from|import)\s+)(?P<name>[\w.]+)(?P<rest>.*)", re.DOTALL)


def write_tree(destination: Path) -> None:
    """Write the package into a folder. What the folder contained before is deleted."""
    shutil.rmtree(destination, ignore_errors=True)
    package = destination / PACKAGE
    ignored = shutil.ignore_patterns("__pycache__", "*.py[co]")
    shutil.copytree(ROOT / "packaging" / PACKAGE, package, ignore=ignored)
    for name in CARRIED:
        shutil.copytree(ROOT / name, package / name, ignore=ignored)
    for path in package.rglob("*.py"):
        path.write_bytes(with_package(path.read_bytes()))


def with_package(source: bytes) -> bytes:
    """Return the source of a module that imports the carried packages from inside `PACKAGE`.

    Raises `ValueError` for ``import server.x`` without ``as``. It binds the name ``server``, so the code that uses it
    would have to change too.
    """
    lines = source.splitlines(keepends=True)
    for line, column in _own_imports(ast.parse(source)):
        match = _IMPORT.match(lines[line - 1], column)
        assert match, f"line {line} is not an import statement"
        lines[line - 1] = lines[line - 1][:column] + match.expand(rb"\g<statement>kvline.\g<name>\g<rest>")
    return b"".join(lines)


def _own_imports(tree: ast.AST) -> Iterator[tuple[int, int]]:
    """Yield line and column, in bytes, of the statements that import a carried package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and _is_carried(node.module or ""):
            yield node.lineno, node.col_offset
        elif isinstance(node, ast.Import) and any(_is_carried(alias.name) for alias in node.names):
            if len(node.names) > 1 or node.names[0].asname is None:
                raise ValueError(f"line {node.lineno}: import kvline's own packages with `from`, or one `as` a name")
            yield node.lineno, node.col_offset


def _is_carried(module: str) -> bool:
    return module.partition(".")[0] in CARRIED


if __name__ == "__main__":
    write_tree(Path(sys.argv[1]))
