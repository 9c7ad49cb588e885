"""What must hold for any numbers: how a verdict depends on units, direction and the number of metrics."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runtide_storage.student import quantile, two_sided_p, within
from runtide_workers.detection.baseline import Baseline
from runtide_workers.detection.verdict import Judgement, judge, judge_values, overall

NUMBERS = st.floats(-1e6, 1e6)
POSITIVE = st.floats(1e-6, 1e6)
OPPOSITE = {"better": "worse", "worse": "better", "same": "same", "no baseline": "no baseline"}


def near(a: float | None, b: float | None, scale: float = 1.0) -> bool:
    return a == b or (a is not None and b is not None and math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6 * scale))


def is_clear(found: Judgement) -> bool:
    """Far enough from every border that rounding can't move it across."""
    edges = [edge for edge in (found.low, found.high) if edge is not None]
    size = max((abs(edge) for edge in edges), default=1.0)
    return all(abs(edge) > 1e-6 * size for edge in edges) and abs(abs(found.effect or 1.0) - 0.0005) > 1e-6


@given(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=12))
def test_the_other_goal_gives_the_opposite(value: float, others: list[float]) -> None:
    less, more = judge_values(value, others, "minimize"), judge_values(value, others, "maximize")
    assert more.verdict == OPPOSITE[less.verdict]
    assert (more.value, more.baseline, more.n, more.p) == (less.value, less.baseline, less.n, less.p)
    if less.effect is not None:
        assert more.effect == -less.effect
    if less.low is not None and less.high is not None:
        assert (more.low, more.high) == (-less.high, -less.low)


@given(NUMBERS, st.lists(NUMBERS, min_size=2, max_size=12))
def test_the_mirrored_metric_gives_the_opposite_goal(value: float, others: list[float]) -> None:
    """Accuracy up is error down: what is left is the same, but for what it is relative to."""
    less = judge_values(value, others, "minimize", "linear")
    more = judge_values(-value, [-each for each in others], "maximize", "linear")
    assert asdict(more) | {"goal": 0, "value": 0, "baseline": 0} | {"reason": 0} == asdict(less) | {
        "goal": 0,
        "value": 0,
        "baseline": 0,
    } | {"reason": 0}


@given(POSITIVE, st.lists(POSITIVE, min_size=1, max_size=12), st.floats(1e-3, 1e3))
def test_other_units_change_no_ratio(value: float, others: list[float], factor: float) -> None:
    here = judge_values(value, others, "minimize", "log")
    assume(is_clear(here) and (len(others) == 1 or np.std(np.log(others)) > 1e-6))
    there = judge_values(value * factor, [each * factor for each in others], "minimize", "log")
    assert there.verdict == here.verdict
    for name in ("effect", "low", "high", "p"):
        assert near(getattr(there, name), getattr(here, name))
    assert near(there.baseline, (here.baseline or 0.0) * factor, factor)


@given(NUMBERS, st.lists(NUMBERS, min_size=2, max_size=12), NUMBERS)
def test_another_zero_point_changes_no_difference(value: float, others: list[float], offset: float) -> None:
    """The difference, its interval and its chance stay; only what they are relative to is another."""
    here = judge_values(value, others, "maximize", "linear")
    there = judge_values(value + offset, [each + offset for each in others], "maximize", "linear")
    assume(here.effect is not None and there.effect is not None and is_clear(here) and is_clear(there))
    largest = max(abs(offset), abs(value), *map(abs, others), 1.0)
    spread = float(np.std(others, ddof=1))
    assume(spread > 1e-6 * largest)  # else rounding decides
    for name in ("effect", "low", "high"):
        one, other = (getattr(found, name) * abs(found.baseline or 0.0) for found in (here, there))
        assert near(one, other, largest)
    assert near(there.p, here.p, 10.0)
    if abs(here.effect or 0) > 0.001 and abs(there.effect or 0) > 0.001:
        assert there.verdict == here.verdict


@given(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=12))
def test_a_verdict_is_what_its_interval_says(value: float, others: list[float]) -> None:
    found = judge_values(value, others, "minimize")
    assert found.n == len(others)
    if found.verdict == "worse":
        assert found.effect is None or found.effect >= 0.0005
        assert found.low is None or found.low >= 0
    if found.verdict == "better":
        assert found.effect is None or found.effect <= -0.0005
        assert found.high is None or found.high <= 0
    if found.verdict == "same":
        assert found.n >= 3
    if found.low is not None and found.high is not None and found.effect is not None:
        assert found.low <= found.effect <= found.high


@given(st.lists(st.floats(0.5, 2.0), min_size=3, max_size=10), st.floats(0.5, 2.0), st.floats(0.01, 100.0))
def test_curves_behave_as_their_levels(levels: list[float], own: float, factor: float) -> None:
    steps = np.arange(0, 2000, 100)
    shape = 1 + 1 / (1 + steps)
    found = [
        judge(Baseline.fit([(steps, unit * level * shape) for level in levels]), steps, unit * own * shape)
        for unit in (1.0, factor)
    ]
    assume(all(map(is_clear, found)))
    assert found[0].verdict == found[1].verdict
    assert near(found[0].effect, found[1].effect) or math.isclose(found[0].effect, found[1].effect, abs_tol=1e-4)  # type: ignore[arg-type]


@given(st.floats(0, 1e6), st.integers(1, 200))
def test_the_t_distribution_is_one(t: float, df: int) -> None:
    assert 0 <= within(t, df) <= 1
    assert within(t, df) <= within(t * 1.01 + 0.01, df) + 1e-15
    assert within(t, df) == within(-t, df) == pytest.approx(1 - two_sided_p(t, df))
    assert quantile(df, 0.9) < quantile(df, 0.95)


@given(st.lists(st.tuples(st.sampled_from(["worse", "better", "same"]), st.floats(0, 1)), max_size=8))
def test_more_metrics_never_make_a_finding_easier(given_metrics: list[tuple[str, float]]) -> None:
    judged = {
        f"m{at}": Judgement(verdict, verdict, n=5, p=p)  # type: ignore[arg-type]
        for at, (verdict, p) in enumerate(given_metrics)
    }
    found = overall(judged, None, "finished").verdict
    with_noise = overall(judged | {"noise": Judgement("same", "same", n=5, p=1.0)}, None, "finished").verdict
    assert found == with_noise or with_noise in ("same", "better")
    if found in ("worse", "better"):
        assert any(verdict == found and p <= 0.05 for verdict, p in given_metrics)
