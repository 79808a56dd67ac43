"""The examples in docstrings are run, so that they stay true."""

from __future__ import annotations

import doctest

import pytest

import common.text


@pytest.mark.uncompiled
def test_the_examples_in_the_text_protocol_are_true() -> None:
    result = doctest.testmod(common.text)
    assert result.failed == 0
    assert result.attempted >= 2
