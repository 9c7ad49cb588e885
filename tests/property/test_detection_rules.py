"""A rule gives the same alerts for any batching, and those that a plain loop over the points gives."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtide_workers.detection.alert import Alert
from runtide_workers.detection.rules import Rule, parse

VALUES = st.lists(
    st.one_of(
        st.sampled_from([0.0, 1.0, 2.0, 3.0]), st.floats(-10, 10), st.floats(allow_nan=True, allow_infinity=True)
    ),
    max_size=60,
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    condition: dict[str, Any] = draw(
        st.sampled_from(
            [{"above": 1.5}, {"below": 1}, {"change": "+20%"}, {"change": "-0.25"}, {"change": "-30%"}, {"change": 1}]
        )
    )
    return parse(condition | {"window": draw(st.integers(1, 7)), "for": draw(st.integers(1, 3))})


def in_batches(rule: Rule, values: list[float], cuts: list[int]) -> list[Alert]:
    state, found = rule.start(), []
    edges = [0, *sorted(cut for cut in cuts if cut <= len(values)), len(values)]
    for start, stop in pairwise(edges):
        found += rule.update(state, np.arange(start, stop), np.array(values[start:stop]))
    return found


def plainly(rule: Rule, values: list[float]) -> list[int]:
    """The steps at which it fires, point by point, with exact sums."""
    seen: list[float] = []
    found, armed, held, clear = [], True, 0, 0
    for step, value in enumerate(values):
        if not math.isfinite(value):
            continue
        seen.append(value)
        breaks = _breaks(rule, seen)
        held, clear = (held + 1, 0) if breaks else (0, clear + 1)
        if armed and held == rule.hold:
            found.append(step)
            armed = False
        elif not armed and clear == rule.window:
            armed = True
    return found


def _breaks(rule: Rule, seen: list[float]) -> bool:
    if rule.op != "change":
        return seen[-1] > rule.bound if rule.op == ">" else seen[-1] < rule.bound
    if len(seen) < 2 * rule.window:
        return False
    shares = [value / rule.window for value in seen[-2 * rule.window :]]
    before, after = math.fsum(shares[: rule.window]), math.fsum(shares[rule.window :])
    bound = before + (rule.bound * abs(before) if rule.is_percent else rule.bound)
    return after > bound if rule.bound > 0 else after < bound


@given(rules(), VALUES, st.lists(st.integers(0, 60), max_size=12))
def test_batches_make_no_difference(rule: Rule, values: list[float], cuts: list[int]) -> None:
    together = in_batches(rule, values, [])
    assert in_batches(rule, values, cuts) == together
    assert in_batches(rule, values, list(range(len(values)))) == together


# Quarters and small windows of powers of two: every sum is exact, so that the bounds are met exactly too.
EXACT = st.lists(st.one_of(st.integers(-12, 12).map(lambda n: n / 4), st.just(math.nan)), max_size=60)


@given(rules().filter(lambda rule: rule.window in (1, 2, 4)), EXACT)
def test_fires_where_a_plain_loop_does(rule: Rule, values: list[float]) -> None:
    assert [alert.step for alert in in_batches(rule, values, [])] == plainly(rule, values)


@given(rules(), VALUES)
def test_never_twice_within_a_window(rule: Rule, values: list[float]) -> None:
    finite = [step for step, value in enumerate(values) if math.isfinite(value)]
    places = [finite.index(alert.step) for alert in in_batches(rule, values, [])]
    assert all(later - earlier > rule.window for earlier, later in pairwise(places))
