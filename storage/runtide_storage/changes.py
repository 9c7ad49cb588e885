"""Run over run: when did the final value of a family's runs change for good, and did the newest commit change it? Pure.

changes = change_points(finals)                   # one number per run, oldest first; NaN: it has none
change = commit_change(finals_before, [final])    # the first runs of a new commit; None: nothing shows yet

Two steps, as in Hunter (Fleming et al., "Hunter: Using Change Point Detection to Hunt for Performance Regressions",
2023), but the segmentation is the best one instead of a greedy one, and the test can do with few runs:

1. *Propose*: the segmentation that costs least, by dynamic programming (optimal partitioning: Jackson et al., "An
   algorithm for optimal partitioning of data on an interval", 2005; PELT finds the same one). A segment costs its
   squared deviations in units of the noise, and PENALTY. The noise is the median difference of neighbours, which
   changes of level hardly touch. A single run far from all around it is drawn towards them first.
2. *Confirm*: the weakest change is dropped until all are significant (p < P_MAX) and large enough (EFFECT_MIN). It is a
   t-test whose variance is that of the two segments with PRIOR_DF degrees of freedom of the noise mixed in, so that
   three values that are equal by chance prove nothing (Smyth, "Linear models and empirical Bayes methods", 2004).

Where all values are positive, ratios are compared: logarithms. docs/decisions/0006-change-points.md has the figures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtide_storage.student import two_sided_p

Floats = NDArray[np.float64]

EFFECT_MIN = 0.005  # relative; below it nobody would act
P_MAX = 0.001
PENALTY = 30.0  # 3 log(n), the usual one, is 20 for 1,000 runs; it trusts the tails to be normal
SEGMENT_MIN = 3  # runs: a change is seen with the third
PRIOR_DF = 2
NOISE_MIN = 0.0005  # relative, as within a run: the finals of a deterministic job are equal to the last bit
SPIKE = 4.0  # times the noise
REACH = 2  # runs to either side from which a spike stands out

EARLIER_MAX = 12  # runs that a commit's are compared with
LOOK_BACK = 100  # runs in which the present level is looked for

_SD_OF_MEDIAN = 1 / (0.6745 * math.sqrt(2))  # of the absolute difference of two normal values
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Change:
    """One level, then another. Levels are means in the metric's own units; places count the values that were given."""

    last_before: int
    first_after: int
    before: float
    after: float
    p: float  # chance of a difference as large if there is none
    runs_before: int  # of the level before
    runs_after: int

    @property
    def ratio(self) -> float:
        """The relative difference; > 0: values went up."""
        return (self.after - self.before) / max(abs(self.before), _TINY)


def change_points(values: ArrayLike) -> list[Change]:
    """Where the level of `values` (n,) changes for good, the oldest first. NaN and infinities are passed over.

    Takes time with the square of n: 0.1 s for 1,000 values.
    """
    given = np.asarray(values, np.float64)
    series = _Series.of(given, _all_positive(given))
    cuts = _confirmed(series)
    edges = [0, *cuts, len(series.y)]
    parts = [series.y[first:after] for first, after in pairwise(edges)]
    return [
        _change(series, parts[at], parts[at + 1], int(series.places[cut - 1]), int(series.places[cut]))
        for at, cut in enumerate(cuts)
    ]


def commit_change(earlier: ArrayLike, first: ArrayLike) -> Change | None:
    """How the `first` runs of a commit, one to three, differ from the `earlier` ones; None: they don't, or too few.

    Compared with the last EARLIER_MAX runs of the present level: what was before its last change doesn't count.
    A single run may be a spike: run the commit again with another seed before you believe it.
    """
    before, after = np.asarray(earlier, np.float64), np.asarray(first, np.float64)
    offset = max(0, len(before) - LOOK_BACK)
    is_log = _all_positive(np.concatenate([before[offset:], after]))
    series, new = _Series.of(before[offset:], is_log), _Series.of(after, is_log, has_spikes=False)
    if len(series.y) < SEGMENT_MIN or not len(new.y):
        return None
    start = max([0, len(series.y) - EARLIER_MAX, *_confirmed(series)])
    level = series.y[start:]
    if not _is_sure(series, level, new.y):
        return None
    return _change(series, level, new.y, offset + int(series.places[-1]), len(before) + int(new.places[0]))


@dataclass(frozen=True, slots=True)
class _Series:
    """Finite values on the scale on which they are compared, without spikes."""

    y: Floats
    places: NDArray[np.intp]  # of each among the values that were given
    noise: float
    is_log: bool

    @classmethod
    def of(cls, values: Floats, is_log: bool, has_spikes: bool = True) -> _Series:
        places = np.flatnonzero(np.isfinite(values))
        y = np.log(values[places]) if is_log else values[places]
        differences = np.abs(np.diff(y))
        least = NOISE_MIN * (1.0 if is_log else float(np.median(np.abs(y))) if len(y) else 0.0)
        noise = max(float(np.median(differences)) * _SD_OF_MEDIAN if len(differences) else 0.0, least, _TINY)
        return cls(_without_spikes(y, noise) if has_spikes else y, places, noise, is_log)

    def level(self, part: Floats) -> float:
        """The mean, in the metric's own units."""
        mean = float(part.mean())
        return math.exp(mean) if self.is_log else mean


def _all_positive(values: Floats) -> bool:
    finite = values[np.isfinite(values)]
    return bool((finite > 0).all())


def _without_spikes(y: Floats, noise: float) -> Floats:
    """Values far from each of their neighbours, on both sides, drawn in to SPIKE times the noise from the nearest.

    The last value has nobody on one side: it may be the first of a new level.
    """
    calm = y.copy()
    for at in range(len(y) - 1):
        around = np.concatenate([y[max(0, at - REACH) : at], y[at + 1 : at + 1 + REACH]])
        if len(around) > REACH and np.abs(around - y[at]).min() > SPIKE * noise:
            calm[at] = np.clip(y[at], around.min() - SPIKE * noise, around.max() + SPIKE * noise)
    return calm


def _proposed(y: Floats, noise: float) -> list[int]:
    """The first places of all segments but the first, of the segmentation that costs least."""
    z = (y - np.median(y)) / noise
    total, squares = np.concatenate([[0.0], np.cumsum(z)]), np.concatenate([[0.0], np.cumsum(z * z)])
    costs = np.full(len(y) + 1, np.inf)  # of the best segmentation of the first so many values
    costs[0] = 0.0
    last = np.zeros(len(y) + 1, np.intp)  # where its last segment begins
    for end in range(SEGMENT_MIN, len(y) + 1):
        start = np.arange(end - SEGMENT_MIN + 1)
        within = squares[end] - squares[start] - (total[end] - total[start]) ** 2 / (end - start)
        cost = costs[start] + within + PENALTY
        last[end] = np.argmin(cost)
        costs[end] = cost[last[end]]
    cuts, end = [], int(last[len(y)])
    while end > 0:
        cuts.append(end)
        end = int(last[end])
    return cuts[::-1]


def _confirmed(series: _Series) -> list[int]:
    """The proposed cuts without those that are not sure. The others are tested again with the segments that grew."""
    if len(series.y) < 2 * SEGMENT_MIN:
        return []
    edges = [0, *_proposed(series.y, series.noise), len(series.y)]

    def weight(at: int) -> tuple[bool, float, float]:
        """What sorts the cut edges[at]: sure ones behind, then by p, then by size."""
        left, right = series.y[edges[at - 1] : edges[at]], series.y[edges[at] : edges[at + 1]]
        return _is_sure(series, left, right), -_p(left, right, series.noise), abs(float(right.mean() - left.mean()))

    weights = [weight(at) for at in range(1, len(edges) - 1)]
    while weights and not min(weights)[0]:
        weakest = weights.index(min(weights))
        del weights[weakest], edges[weakest + 1]
        for neighbour in (weakest - 1, weakest):
            if 0 <= neighbour < len(weights):
                weights[neighbour] = weight(neighbour + 1)
    return edges[1:-1]


def _is_sure(series: _Series, left: Floats, right: Floats) -> bool:
    """Do the two levels differ, by as much as matters?"""
    before, after = series.level(left), series.level(right)
    return abs(after - before) >= EFFECT_MIN * abs(before) and _p(left, right, series.noise) < P_MAX


def _p(left: Floats, right: Floats, noise: float) -> float:
    """Two-sided p of Student's t, with the noise as PRIOR_DF more observations of the variance."""
    df = PRIOR_DF + len(left) + len(right) - 2
    squares = ((left - left.mean()) ** 2).sum() + ((right - right.mean()) ** 2).sum()
    variance = (PRIOR_DF * noise**2 + squares) / df
    return two_sided_p(float(right.mean() - left.mean()) / math.sqrt(variance * (1 / len(left) + 1 / len(right))), df)


def _change(series: _Series, left: Floats, right: Floats, last_before: int, first_after: int) -> Change:
    p = _p(left, right, series.noise)
    return Change(last_before, first_after, series.level(left), series.level(right), p, len(left), len(right))
