"""The examples in the docstrings do what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["curves", "distances", "losses", "quantize", "triplets"])
def test_examples(name: str) -> None:
    results = doctest.testmod(
        importlib.import_module(f"firstsight.functional.{name}"), optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert results.attempted > 0
    assert results.failed == 0
