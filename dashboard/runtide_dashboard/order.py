"""In which order runs are listed: all of them, not only those of the page that is shown. No Streamlit in here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from runtide_dashboard.differences import best_of, goal_of
from runtide_dashboard.records import Run, Summary

PLAIN = {"": "Newest first", "name": "Name", "duration": "Longest first"}
_BEST, _LAST = "best:", "last:"


def choices(metrics: Sequence[str]) -> dict[str, str]:
    """What can be chosen -> its words. By a metric: what is better comes first, else the highest last value."""
    by_metric = {(f"{_BEST}{m}" if goal_of(m) else f"{_LAST}{m}"): f"Best {m}" if goal_of(m) else m for m in metrics}
    return PLAIN | by_metric


def metric_of(order: str) -> str | None:
    """The metric that an order needs the summaries of."""
    return order[len(_BEST) :] if order.startswith((_BEST, _LAST)) else None


def ordered(runs: Sequence[Run], order: str, summaries: Mapping[tuple[str, str], Summary], now: datetime) -> list[Run]:
    """The runs, which come the newest first, in this order; those without a value at the end."""
    if order == "name":
        return sorted(runs, key=lambda run: (run.name.casefold(), run.id))
    if order == "duration":
        return sorted(runs, key=lambda run: -run.seconds(now))
    metric = metric_of(order)
    if metric is None:
        return list(runs)

    def place(run: Run) -> tuple[bool, float]:
        value = _value(order, metric, summaries.get((run.ref, metric)))
        return (True, 0.0) if value is None or math.isnan(value) else (False, value)

    return sorted(runs, key=place)


def _value(order: str, metric: str, one: Summary | None) -> float | None:
    """The less, the better."""
    if one is None:
        return None
    goal = goal_of(metric, one.goal)
    if not order.startswith(_BEST) or goal is None:
        return -one.last
    value, _ = best_of(goal, (one.min, one.min_step), (one.max, one.max_step))
    return value if value is None or goal == "minimize" else -value
