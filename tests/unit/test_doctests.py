"""The examples in docstrings are run, so that they stay true."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

import common.text
import common.text_args


@pytest.mark.uncompiled
@pytest.mark.parametrize("module", [common.text, common.text_args], ids=lambda module: str(module.__name__))
def test_the_examples_in_the_text_protocol_are_true(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted
