"""What is read of runs that went on while nobody followed them: in pieces, so that long ones fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from runtide_workers.alerting.followed import Points
from runtide_workers.alerting.plans import Plan

POINTS_MAX = 1_000_000  # read at a time, about 300 MB: of several runs, or of some metrics of a longer one
LONG_POINTS = 4_000_000  # of a run with more only what has a baseline is read


def current(points: Points, attempt: np.ndarray[Any, Any]) -> Any:
    """Which points no later attempt superseded: of each metric, those before the first step of any later one."""
    kept = np.ones(len(points), dtype=bool)
    if not len(points) or attempt.min() == attempt.max():
        return kept
    for key in np.unique(points.key):
        own = np.flatnonzero(points.key == key)
        limit = np.iinfo(np.int64).max
        for number in sorted(set(attempt[own].tolist()), reverse=True):
            of_this = own[attempt[own] == number]
            kept[of_this] = points.step[of_this] < limit
            limit = min(limit, int(points.step[of_this].min()))
    return kept


def by_size(plans: Iterable[Plan], counts: Mapping[int, int]) -> Iterator[list[Plan]]:
    """Groups that can be read at once; a run with more points than that comes alone."""
    group: list[Plan] = []
    size = 0
    for plan in plans:
        n = counts.get(plan.facts.run, 0)
        if group and size + n > POINTS_MAX:
            yield group
            group, size = [], 0
        group.append(plan)
        size += n
    if group:
        yield group


def parts(group: Sequence[Plan], names: Mapping[int, str], counts: Mapping[int, int]) -> list[list[int] | None]:
    """Keys of the metrics that can be read at once; None: all of them."""
    points = sum(counts.get(plan.facts.run, 0) for plan in group)
    if points <= POINTS_MAX:
        return [None]
    keys = _compared(group[0], names) if points > LONG_POINTS else list(names)
    size = max(1, len(keys) * POINTS_MAX // points)
    return [keys[first : first + size] for first in range(0, len(keys), size)]


def _compared(plan: Plan, names: Mapping[int, str]) -> list[int]:
    """Keys of the metrics that have a baseline."""
    return [key for key, name in names.items() if name in plan.cohort.values]
