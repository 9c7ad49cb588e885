"""What runs reached, and which is the best of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from runtide_storage import goals
from runtide_storage.goals import Goal

ABSENT = "–"


def goal_of(metric: str, defined: str | None = None) -> Goal | None:
    """What is better for `metric`: as `define_metric` said, else by the words of its name, else None."""
    if defined == "minimize":
        return "minimize"
    if defined == "maximize":
        return "maximize"
    return goals.goal_of(metric)


@dataclass(frozen=True, slots=True)
class Reached:
    """What one run reached in one metric. `best` is None where nobody knows what is better."""

    last: float
    best: float | None
    best_step: int | None


def best_of(
    goal: Goal | None, minimum: tuple[float, int], maximum: tuple[float, int]
) -> tuple[float | None, int | None]:
    """(value, step) of the best finite point; (None, None) without a goal or a finite point."""
    if goal is None:
        return None, None
    value, step = minimum if goal == "minimize" else maximum
    return (value, step) if math.isfinite(value) else (None, None)


def winner(values: Sequence[float | None], goal: Goal | None) -> int | None:
    """Index of the best value, None if fewer than two are finite, all are equal, or nothing is better than another."""
    finite = [(value, index) for index, value in enumerate(values) if value is not None and math.isfinite(value)]
    if goal is None or len({value for value, _ in finite}) < 2:
        return None
    return (min if goal == "minimize" else max)(finite, key=lambda pair: pair[0])[1]
