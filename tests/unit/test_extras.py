"""Optional dependencies: what is reported as missing, and what is a bug of the project's own."""

from __future__ import annotations

import pytest

from common.extras import MissingExtra, explain_import_error
from common.program import install_command


def test_a_missing_package_names_the_option_the_extra_and_the_command_that_installs_it() -> None:
    problem = ModuleNotFoundError("No module named 'redis'", name="redis")
    error = explain_import_error("--backend", "proxy", problem)
    assert isinstance(error, MissingExtra)
    assert str(error) == (
        f"--backend needs the extra 'proxy' (No module named 'redis'): install it with {install_command('proxy')}"
    )


@pytest.mark.parametrize("name", ["server.http.listener", "common.errors", "kvline.server.app"])
def test_a_module_of_the_project_that_cannot_be_imported_is_no_missing_package(name: str) -> None:
    problem = ImportError(f"cannot import name 'x' from {name!r}", name=name)
    assert explain_import_error("--http-port", "http", problem) is problem
