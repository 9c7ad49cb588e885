"""Change points and the commit test: what they find in small histories, and how well in many made-up ones."""

import math

import numpy as np
import pytest
from numpy.typing import ArrayLike

from benchmarks.history_data import synthetic
from runtide_storage.changes import SEGMENT_MIN, change_points, commit_change


def noisy(*levels: tuple[float, int], noise: float = 0.002, seed: int = 0) -> list[float]:
    """(level, runs) one after the other, with relative noise."""
    rng = np.random.default_rng(seed)
    return [level * math.exp(noise * rng.standard_normal()) for level, runs in levels for _ in range(runs)]


def places(values: ArrayLike) -> list[int]:
    return [change.first_after for change in change_points(values)]


def test_a_change_is_found_with_its_size_and_the_runs_beside_it() -> None:
    [change] = change_points(noisy((2.0, 12), (2.1, 8)))
    assert (change.last_before, change.first_after, change.runs_before, change.runs_after) == (11, 12, 12, 8)
    assert change.before == pytest.approx(2.0, rel=0.002) and change.after == pytest.approx(2.1, rel=0.002)
    assert change.ratio == pytest.approx(0.05, abs=0.003) and change.p < 1e-6


def test_ups_and_downs() -> None:
    changes = change_points(noisy((1.0, 10), (1.05, 6), (0.97, 10), (0.98, 10)))
    assert [change.first_after for change in changes] == [10, 16, 26]
    assert [change.ratio > 0 for change in changes] == [True, False, True]
    assert [change.runs_before for change in changes] == [10, 6, 10]


@pytest.mark.parametrize("count", range(6))
def test_too_few_runs_say_nothing(count: int) -> None:
    assert change_points([1.0, 1.0, 1.0, 9.0, 9.0, 9.0][:count]) == []


def test_a_change_is_seen_with_its_third_run() -> None:
    before = noisy((1.0, 10))
    assert places([*before, 1.1, 1.1]) == []
    assert places([*before, 1.1, 1.1, 1.1]) == [10] and SEGMENT_MIN == 3


def test_a_spike_is_no_change() -> None:
    values = noisy((1.0, 20))
    values[9] = 4.0
    assert change_points(values) == []
    values[13] = 0.2
    assert change_points(values) == []


def test_a_spike_does_not_hide_a_change() -> None:
    values = noisy((1.0, 10), (1.03, 10))
    values[4], values[14] = 1.5, 0.6
    assert places(values) == [10]
    [change] = change_points(values)
    assert change.ratio == pytest.approx(0.03, abs=0.005)


def test_what_is_too_small_to_matter_is_no_change_however_sure() -> None:
    assert change_points([1.0] * 50 + [1.004] * 50) == []
    assert places([1.0] * 50 + [1.006] * 50) == [50]
    assert change_points([1.0] * 50 + [1 / 1.004] * 50) == []


def test_what_is_within_the_noise_is_no_change() -> None:
    assert change_points(noisy((1.0, 100), noise=0.05)) == []


def test_small_changes_that_add_up_are_one() -> None:
    """No step matters, but the levels at the ends differ: the boundary that remains is the strongest."""
    values = [1.0] * 20 + [1.004] * 20 + [1.008] * 20
    [change] = change_points(values)
    assert change.first_after in (20, 40)


def test_runs_without_a_value_are_passed_over() -> None:
    values = noisy((1.0, 6), (1.2, 6))
    values[5:5] = [math.nan, math.inf]
    values[8:8] = [math.nan]
    [change] = change_points(values)
    assert (change.last_before, change.first_after) == (7, 9)
    assert change_points([math.nan] * 9) == [] and change_points([]) == []


def test_values_that_may_be_negative_are_compared_by_difference() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(-200, 5, 20), rng.normal(-150, 5, 20)])
    [change] = change_points(values)
    assert change.first_after == 20 and change.ratio == pytest.approx(0.25, abs=0.03), "up is up"
    [change] = change_points([0.0] * 10 + [1.0] * 10)
    assert change.first_after == 10 and change.ratio > 1e100
    assert change_points([0.0] * 20) == []


def test_equal_values_by_chance_prove_nothing() -> None:
    """Three equal values have no variance of their own; the family's noise stands in for it."""
    values = noisy((1.0, 15), noise=0.03, seed=3)
    assert change_points([*values, 1.05, 1.05, 1.05]) == []


def test_backwards_is_the_same_history() -> None:
    values = noisy((1.0, 10), (1.04, 7), (1.01, 12))
    assert sorted(len(values) - at for at in places(values[::-1])) == places(values)


def test_the_scale_makes_no_difference() -> None:
    values = noisy((1.0, 10), (1.04, 7), (1.01, 12))
    for factor in (1e-9, 1e9):
        scaled = change_points([factor * value for value in values])
        assert [change.first_after for change in scaled] == places(values)
        assert [change.ratio for change in scaled] == pytest.approx([c.ratio for c in change_points(values)])


def test_many_made_up_histories() -> None:
    """`python -m benchmarks.history` shows the figures of more of them, and of other methods."""
    found = changes = false = runs = 0
    for seed in range(10):
        history, calm = synthetic(seed), synthetic(1000 + seed, changes=False)
        said = places(history.values)
        hits = {to for to in history.changed if any(abs(at - to) <= 2 for at in said)}
        found, changes = found + len(hits), changes + len(history.changed)
        known = history.changed | history.unclear
        false += sum(all(abs(at - to) > 2 for to in known) for at in said) + len(places(calm.values))
        runs += len(history.values) + len(calm.values)
    assert changes > 100 and found / changes > 0.95
    assert false / runs < 0.003


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_commit_that_changed_something(count: int) -> None:
    earlier = noisy((1.0, 8))
    change = commit_change(earlier, noisy((1.03, count), seed=1))
    assert change is not None
    assert (change.last_before, change.first_after, change.runs_before, change.runs_after) == (7, 8, 8, count)
    assert change.ratio == pytest.approx(0.03, abs=0.005)
    assert commit_change(earlier, noisy((1.0, count), seed=1)) is None


def test_a_commit_is_compared_with_the_present_level_only() -> None:
    earlier = noisy((1.2, 20), (1.0, 6))
    change = commit_change(earlier, [1.05])
    assert change is not None and change.runs_before == 6
    assert commit_change(earlier, [1.0]) is None
    change = commit_change(noisy((1.0, 40)), [1.05])
    assert change is not None and change.runs_before == 12, "and with so many at most"


def test_a_commit_without_enough_before_it_says_nothing() -> None:
    assert commit_change([1.0, 1.0], [2.0]) is None
    assert commit_change([], [2.0]) is None
    assert commit_change(noisy((1.0, 8)), [math.nan]) is None
    assert commit_change([math.nan] * 8, [2.0]) is None


def test_places_of_a_commit_count_all_runs() -> None:
    earlier = [*noisy((1.0, 150)), math.nan]
    change = commit_change(earlier, [math.nan, 1.1, 1.1])
    assert change is not None and (change.last_before, change.first_after) == (149, 152)
