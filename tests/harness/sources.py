"""The product's modules and their syntax trees, for tests of what may be written in them.

Nothing is parsed until a test asks for it. Each process of a test run collects all tests, and runs few of these.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).parents[2]


def module_files(*folders: str) -> dict[str, Path]:
    """Return the files of all modules in these top-level folders, in order, by the modules' dotted names."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for folder in folders
        for path in sorted(ROOT.glob(f"{folder}/**/*.py"))
    }


@functools.cache
def syntax_tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file. It is shared, so no test changes it."""
    return ast.parse(path.read_text(encoding="utf-8"))
