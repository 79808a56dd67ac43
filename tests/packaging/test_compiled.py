"""The modules that a compiled build compiles. ``make compiled-test`` runs the tests on such a build."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from server.process import is_compiled
from server.session import session
from tests.harness.processes import ROOT
from tests.harness.sessions import new_session, send_line
from tests.harness.stores import new_engine

_spec = spec_from_file_location("compiled", ROOT / "packaging" / "compiled.py")
assert _spec is not None
assert _spec.loader is not None
compiled = module_from_spec(_spec)
_spec.loader.exec_module(compiled)

READERS = {"all", "any", "dict", "frozenset", "join", "list", "max", "min", "next", "set", "sorted", "sum", "tuple"}
"""Functions that read all of an iterator, or as much as they need, before they return."""


def generators_passed_on(tree: ast.AST) -> Iterator[int]:
    """Yield the lines of generator expressions that are not read where they are written."""
    for parent in ast.walk(tree):
        for child in ast.iter_child_nodes(parent):
            if isinstance(child, ast.GeneratorExp):
                match parent:
                    case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in READERS:
                        pass
                    case ast.Starred() | ast.Assign(targets=[ast.Tuple()]):
                        pass
                    case _:
                        yield child.lineno


@pytest.mark.parametrize("module", compiled.MODULES)
def test_no_compiled_module_passes_a_generator_expression_on(module: str) -> None:
    # mypyc makes a list of it: `iter` fails for that, and a large reply would exist all at once.
    source = (ROOT / module).read_text()
    assert list(generators_passed_on(ast.parse(source))) == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [("return (x for x in y)", [1]), ("f(x for x in y)", [1]), ("a = 1\nb = (x for x in y)", [2])],
)
def test_a_generator_expression_that_is_passed_on_is_found(source: str, lines: list[int]) -> None:
    assert list(generators_passed_on(ast.parse(source))) == lines


def test_no_module_with_commands_is_compiled() -> None:
    # The registry reads the annotations of their functions, and converts arguments by them. mypyc removes them.
    assert not [module for module in compiled.MODULES if module.startswith("server/commands/")]


def test_info_says_which_build_runs() -> None:
    assert is_compiled() == str(session.__file__).endswith(tuple(EXTENSION_SUFFIXES))
    expected = "compiled" if is_compiled() else "pure"
    assert f"\nkvline_build:{expected}\n" in send_line(new_session(new_engine()), "INFO server")
