"""How strongly something goes with a number."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from runtide_storage.association import association, correlation, ranks

FLOATS = st.floats(-1e6, 1e6)


@given(st.lists(FLOATS, min_size=1, max_size=30))
def test_ranks_are_those_of_statistics(values: list[float]) -> None:
    assert ranks(np.array(values)).tolist() == stats.rankdata(values).tolist()


@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=3, max_size=30))
def test_numbers_by_spearmans_correlation_adjusted(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).T
    found = association(list(x), y)
    if len(set(x)) == 1:
        assert found is None
        return
    rho = correlation(ranks(x), ranks(y))
    n = len(pairs)
    assert found == pytest.approx(max(0.0, 1 - (1 - rho**2) * (n - 1) / (n - 2)) ** 0.5, abs=1e-7)
    if len(set(y)) > 1:
        assert rho == pytest.approx(float(stats.spearmanr(x, y).statistic), abs=1e-9)


def test_words() -> None:
    target = np.array([1.0, 1.1, 1.2, 5.0, 5.1, 5.2])
    strong = association(["a", "a", "a", "b", "b", "b"], target)
    weak = association(["a", "b", "a", "b", "a", "b"], target)
    assert strong is not None and weak is not None and strong > 0.8 and weak < 0.5
    assert association(["a", "b", "c", "d", "e", "f"], target) is None  # it names the run
    assert association(["a"] * 6, target) is None
    assert association([True, False] * 3, target) is not None
