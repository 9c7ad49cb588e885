"""The oracles of tests/fuzz, with Hypothesis' inputs instead of a fuzzer's."""

import importlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(name: str) -> None:
    target = importlib.import_module(f"tests.fuzz.{name}")
    changed = st.tuples(st.sampled_from(target.SEEDS), st.integers(0, 400), st.integers(0, 400), st.binary(max_size=12))

    @settings(max_examples=200)
    @given(st.binary(max_size=400) | changed.map(lambda parts: parts[0][: parts[1]] + parts[3] + parts[0][parts[2] :]))
    def holds(data: bytes) -> None:
        target.check(data)

    holds()
