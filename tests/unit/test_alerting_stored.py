"""What is read at once of runs that went on unseen."""

from types import SimpleNamespace
from typing import Any

import pytest

from runtide_workers.alerting.stored import LONG_POINTS, POINTS_MAX, by_size, parts

NAMES = {key: f"m{key}" for key in range(10)}


def plan(run: int, *compared: str) -> Any:
    return SimpleNamespace(facts=SimpleNamespace(run=run), cohort=SimpleNamespace(values=dict.fromkeys(compared)))


def test_what_fits_is_read_at_once() -> None:
    plans = [plan(1), plan(2)]
    assert list(by_size(plans, {1: 10, 2: POINTS_MAX - 10})) == [plans]
    assert parts(plans, NAMES, {1: 10, 2: POINTS_MAX - 10}) == [None]


def test_a_long_run_comes_alone() -> None:
    plans = [plan(1), plan(2), plan(3)]
    assert list(by_size(plans, {1: 10, 2: POINTS_MAX, 3: 10})) == [[plans[0]], [plans[1]], [plans[2]]]


@pytest.mark.parametrize("points", [POINTS_MAX + 1, 2 * POINTS_MAX, LONG_POINTS])
def test_its_metrics_are_read_in_pieces_each_once(points: int) -> None:
    found = parts([plan(1)], NAMES, {1: points})
    assert [key for keys in found for key in keys or []] == list(NAMES)
    assert max(len(keys or []) for keys in found) * points / len(NAMES) <= POINTS_MAX


def test_of_a_very_long_one_only_what_has_a_baseline() -> None:
    assert parts([plan(1, "m3", "m7")], NAMES, {1: LONG_POINTS + 1}) == [[3], [7]]
