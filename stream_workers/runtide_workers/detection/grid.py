"""Bins along the step axis: where curves of different lengths and step grids become comparable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

BINS = 64  # of a dense curve; a grid of fewer bins has one bin per point
POWER = 1.5  # learning is quicker at the start: bins are narrower there
TINY = 1e-12  # the logarithm of what isn't positive is that of this


@dataclass(frozen=True, slots=True)
class Bins:
    """A curve on a grid of m bins. `steps` and `values` (m,): mean step and mean transformed value; NaN: no point.

    `variances` (m,): of the single points around that value; NaN, or None for all, if it isn't known.
    """

    steps: Floats
    values: Floats
    variances: Floats | None = None


def transform(values: ArrayLike, scale: str) -> Floats:
    """Values as they are compared: their logarithm on the scale "log", themselves on "linear"."""
    array = np.asarray(values, dtype=np.float64)
    return np.log(np.maximum(array, TINY)) if scale == "log" else array


def restore(value: float, scale: str) -> float:
    """A transformed value in the metric's own units."""
    return float(np.exp(value)) if scale == "log" else float(value)


def common_range(firsts: ArrayLike, lasts: ArrayLike) -> tuple[float, float]:
    """The steps between which at least half of the curves are there, from their first and last steps."""
    return (
        float(np.quantile(np.asarray(firsts, dtype=np.float64), 0.5, method="higher")),
        float(np.quantile(np.asarray(lasts, dtype=np.float64), 0.5, method="lower")),
    )


def power_edges(first: float, last: float) -> Floats:
    """The edges (BINS + 1,) of a dense grid from `first` to `last` (both inside)."""
    edges: Floats = first + (np.nextafter(last, np.inf) - first) * (np.arange(BINS + 1) / BINS) ** POWER
    return edges


def point_edges(steps: ArrayLike) -> Floats:
    """One bin around each of the distinct `steps` (fewer than BINS): its edges are half-way to the neighbours."""
    centres = np.unique(np.asarray(steps, dtype=np.float64))
    halves = np.diff(centres) / 2 if len(centres) > 1 else np.array([0.5])
    return np.concatenate([[centres[0] - halves[0]], centres[:-1] + np.diff(centres) / 2, [centres[-1] + halves[-1]]])


def edges_of(curves: Sequence[ArrayLike]) -> Floats:
    """The grid for curves with these steps: a bin per point if they have fewer than BINS, else BINS of growing width.

    Raises `ValueError` if no curve has a point.
    """
    arrays = [array for each in curves if len(array := np.asarray(each, dtype=np.float64))]
    if not arrays:
        raise ValueError("no curve has a finite value")
    first, last = common_range([array.min() for array in arrays], [array.max() for array in arrays])
    if first > last:
        first, last = min(array.min() for array in arrays), max(array.max() for array in arrays)
    distinct = [np.unique(array) for array in arrays]
    if np.median([len(array) for array in distinct]) >= BINS:
        return power_edges(first, last)
    union = np.unique(np.concatenate(distinct))
    union = union[(union >= first) & (union <= last)]
    if 0 < len(union) < BINS:
        return point_edges(union)
    fewer = [array for array in distinct if len(array) < BINS]
    return point_edges(max(fewer, key=lambda array: float(array[-1] - array[0])))


def bin_means(edges: Floats, steps: ArrayLike, values: ArrayLike, scale: str) -> Bins:
    """Of the finite points in each bin: their mean step, their mean transformed value, its variance."""
    x, y = finite(steps, values)
    place = np.searchsorted(edges, x, side="right") - 1
    inside = (place >= 0) & (place < len(edges) - 1)
    place, x, y = place[inside], x[inside], transform(y[inside], scale)
    bins = len(edges) - 1
    count = np.bincount(place, minlength=bins)
    known = np.where(count > 0, count, np.nan)
    level: Floats = np.bincount(place, y, minlength=bins) / known
    squares = np.bincount(place, (y - level[place]) ** 2, minlength=bins)
    return Bins(np.bincount(place, x, minlength=bins) / known, level, squares / np.where(count > 1, count - 1, np.nan))


def bin_paces(edges: Floats, steps: ArrayLike, seconds: ArrayLike) -> Bins:
    """The logarithm of the seconds per step from the first point of each bin to the first point of the next one."""
    x, t = finite(steps, seconds)
    place = np.searchsorted(edges, x, side="right") - 1
    place = np.maximum.accumulate(place) if len(place) else place  # a late point opens no bin
    opens = np.flatnonzero(np.diff(place, prepend=-1) > 0)
    first_steps, first_seconds = (np.full(len(edges), np.nan) for _ in range(2))
    first_steps[place[opens]], first_seconds[place[opens]] = x[opens], t[opens]
    return paces(first_steps, first_seconds)


def paces(first_steps: Floats, first_seconds: Floats) -> Bins:
    """As `bin_paces`, from the first step and its time in each bin (NaN: none) and, last, behind the grid: (m + 1,)."""
    found = Bins(np.full(len(first_steps) - 1, np.nan), np.full(len(first_steps) - 1, np.nan))
    (opens,) = np.nonzero(np.isfinite(first_steps) & np.isfinite(first_seconds))
    steps, seconds = first_steps[opens], first_seconds[opens]
    usable = (np.diff(seconds) > 0) & (np.diff(steps) > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        pace = np.log(np.diff(seconds) / np.diff(steps))
    found.steps[opens[:-1]] = np.where(usable, (steps[1:] + steps[:-1]) / 2, np.nan)
    found.values[opens[:-1]] = np.where(usable, pace, np.nan)
    return found


def aligned(centres: Floats, bins: Sequence[Bins]) -> Floats:
    """All curves at the same steps `centres` (m,), interpolated: (n, m). NaN outside of a curve."""
    rows = np.full((len(bins), len(centres)), np.nan)
    for row, each in zip(rows, bins, strict=True):
        known = np.isfinite(each.values)
        if known.any():
            row[:] = np.interp(centres, each.steps[known], each.values[known], left=np.nan, right=np.nan)
    return rows


def centres_of(edges: Floats, steps: Floats) -> Floats:
    """The step that stands for each bin: the mean of the curves' `steps` (n, m) there, or its middle without any."""
    known = np.isfinite(steps)
    count = known.sum(axis=0)
    middles = (edges[1:] + edges[:-1]) / 2
    return np.where(count > 0, np.where(known, steps, 0.0).sum(axis=0) / np.maximum(count, 1), middles)


def density(points: int, steps: float) -> float:
    """Points per step of a curve of so many `points` on so many `steps`."""
    return (points - 1) / steps if steps > 0 else 0.0


def finite(steps: ArrayLike, values: ArrayLike) -> tuple[Floats, Floats]:
    """The points whose value is a number. Raises `ValueError` if there aren't as many steps as values."""
    x, y = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"steps {x.shape} and values {y.shape} are not two equally long lists")
    known = np.isfinite(x) & np.isfinite(y)
    return x[known], y[known]
