"""What a family's runs were like along the steps, and how far apart they were among themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtide_workers.detection import grid
from runtide_workers.detection.cusum import LIMIT, climb
from runtide_workers.detection.direction import Goal
from runtide_workers.detection.grid import Bins, Floats

Scale = Literal["log", "linear"]
Of = Literal["value", "pace"]

RUNS_MIN = 3  # fewer say too little about the spread between runs
SKIPPED = 0.04  # of the run, at its start: curves from random weights differ wildly
SMOOTH_BINS = 3  # on either side, of the variance
PSEUDO_RUNS = 3.0  # how many degrees of freedom the variance's mean over time is worth
MDE = 0.0005  # spreads below 0.05 % are taken for 0.05 %: smaller differences interest nobody
WILD_Z = 4.0  # the one run whose median robust z is above this isn't like the others


class Baseline:
    """Frozen: the curves of n runs on one grid, and from them the mean and the spread to measure another run by.

    `edges` (m + 1,), `curves` and `steps` (members, m) are what is stored; all else follows from them. `curves` are
    transformed values (float32 precision), `steps` the mean step of each member's points in the bin; NaN: none there.
    `wild`: the members that are left out. `peaks` (members,): the highest statistic of each, tested against all others.
    """

    def __init__(
        self, edges: Floats, binned: Sequence[Bins], goal: Goal, scale: Scale, of: Of, wild: Sequence[int] | None = None
    ) -> None:
        """`wild` None: find out. Raises `ValueError` if there is no curve or a word is unknown."""
        if goal not in ("minimize", "maximize") or scale not in ("log", "linear") or of not in ("value", "pace"):
            raise ValueError(f"unknown goal {goal!r}, scale {scale!r} or of {of!r}")
        if not binned:
            raise ValueError("a baseline needs at least one run")
        self.goal, self.of = goal, of
        self.scale: Scale = "log" if of == "pace" else scale
        self.edges = np.asarray(edges, dtype=np.float64)
        self.steps = np.array([each.steps for each in binned], dtype=np.float64)
        single = np.array([each.values for each in binned], dtype=np.float64).astype(np.float32)
        self.curves = single.astype(np.float64)
        self.centres = grid.centres_of(self.edges, self.steps)
        rows = grid.aligned(self.centres, [Bins(*pair) for pair in zip(self.steps, self.curves, strict=True)])
        self.wild = _wild(rows) if wild is None else tuple(wild)
        kept = np.ones(len(rows), dtype=bool)
        kept[list(self.wild)] = False
        self.n = int(np.isfinite(rows[kept]).any(axis=1).sum())
        self.mean, self.spread = _summary(rows[kept], self.scale)
        self.tested = self._tested(rows[kept])
        self.peaks = self._peaks(rows, kept)

    @classmethod
    def fit(
        cls,
        curves: Sequence[tuple[ArrayLike, ArrayLike]],
        goal: Goal = "minimize",
        scale: Scale = "log",
        of: Of = "value",
    ) -> Baseline:
        """From [(steps, values), ...]; for of="pace" the values are seconds since the start of the run."""
        edges = grid.edges_of([np.asarray(steps)[np.isfinite(np.asarray(values, float))] for steps, values in curves])
        if of == "pace":
            return cls(edges, [grid.bin_paces(edges, *curve) for curve in curves], goal, scale, of)
        return cls(edges, [grid.bin_means(edges, *curve, scale) for curve in curves], goal, scale, of)

    @classmethod
    def of_bins(cls, edges: ArrayLike, binned: Sequence[Bins], goal: Goal, scale: Scale, of: Of = "value") -> Baseline:
        """From curves that are binned already (in ClickHouse), one `Bins` per member."""
        return cls(np.asarray(edges, dtype=np.float64), binned, goal, scale, of)

    @classmethod
    def from_row(cls, row: Mapping[str, Any], of: Of = "value") -> Baseline:
        """From what `as_row` gave: the same alerts as the one it was made of."""
        pairs = zip(np.asarray(row["steps"], np.float64), np.asarray(row["curves"], np.float64), strict=True)
        binned = [Bins(steps, values) for steps, values in pairs]
        goal, scale = cast(Goal, row["goal"]), cast(Scale, row["scale"])
        return cls(np.asarray(row["edges"], np.float64), binned, goal, scale, of, [int(each) for each in row["wild"]])

    def as_row(self) -> dict[str, Any]:
        """What is stored of it, as plain lists. `wild` are indices of members."""
        return {
            "edges": self.edges.tolist(),
            "curves": self.curves.tolist(),
            "steps": self.steps.tolist(),
            "wild": list(self.wild),
            "goal": self.goal,
            "scale": self.scale,
            "peaks": self.peaks.tolist(),
        }

    @property
    def worse(self) -> int:
        """The sign of a change for the worse."""
        return 1 if self.goal == "minimize" else -1

    @property
    def pointwise(self) -> bool:
        """Has each point a bin of its own?"""
        return self.of == "value" and len(self.edges) - 1 < grid.BINS

    @property
    def threshold(self) -> float:
        """The statistic above which a run is called worse."""
        return LIMIT

    @property
    def length(self) -> float:
        """Steps from the start to the end of the grid."""
        return float(self.edges[-1] - self.edges[0])

    def level(self, step: float) -> tuple[float, float, float]:
        """The mean of the runs at `step` and one standard deviation to either side, in the metric's own units."""
        known = np.isfinite(self.mean)
        if not known.any():
            return float("nan"), float("nan"), float("nan")
        mean = float(np.interp(step, self.centres[known], self.mean[known]))
        known &= np.isfinite(self.spread)
        spread = float(np.interp(step, self.centres[known], self.spread[known])) if known.any() else float("nan")
        return tuple(grid.restore(each, self.scale) for each in (mean, mean - spread, mean + spread))  # type: ignore[return-value]

    def _tested(self, rows: Floats) -> NDArray[np.bool_]:
        """The bins in which a run is tested: behind the first steps, where at least half of the runs are."""
        present = np.isfinite(rows).sum(axis=0)
        enough = present >= max(RUNS_MIN, self.n / 2)
        tested: NDArray[np.bool_] = enough & (self.centres >= self.edges[0] + SKIPPED * self.length)
        return tested

    def _peaks(self, rows: Floats, kept: NDArray[np.bool_]) -> Floats:
        z = np.full(rows.shape, np.nan)
        for index, row in enumerate(rows):
            others = kept.copy()
            others[index] = False
            if others.sum() >= RUNS_MIN:
                mean, spread = _summary(rows[others], self.scale)
                z[index] = self.worse * (row - mean) / (spread * np.sqrt(1 + 1 / others.sum()))
        z[:, ~self.tested] = np.nan
        peaks = climb(z).max(axis=1, initial=0.0)
        peaks[np.isnan(z).all(axis=1)] = np.nan
        single: Floats = peaks.astype(np.float32).astype(np.float64)
        return single


def _summary(rows: Floats, scale: str) -> tuple[Floats, Floats]:
    """Mean and standard deviation (m,) between the runs `rows` (n, m); NaN where they can't be told.

    The variance is smoothed over neighbouring bins and drawn towards its mean over time, both weighted by degrees of
    freedom: a handful of runs says little about it in any one bin.
    """
    known = np.isfinite(rows)
    count = known.sum(axis=0)
    filled = np.where(known, rows, 0.0)
    mean = np.where(count > 0, filled.sum(axis=0) / np.maximum(count, 1), np.nan)
    squares = np.where(known, (rows - mean) ** 2, 0.0).sum(axis=0)
    freedom = np.maximum(count - 1, 0).astype(np.float64)
    if not freedom.sum():
        return mean, np.full(len(mean), np.nan)
    overall = squares.sum() / freedom.sum()
    window = np.ones(2 * SMOOTH_BINS + 1)
    near, of = (np.convolve(each, window)[SMOOTH_BINS:-SMOOTH_BINS] for each in (squares, freedom))
    local = np.where(of > 0, near / np.maximum(of, 1), overall)
    own = freedom.max()
    variance = (own * local + PSEUDO_RUNS * overall) / (own + PSEUDO_RUNS)
    unit = 1.0 if scale == "log" else float(np.nanmedian(np.abs(mean)))
    return mean, np.where(count > 0, np.sqrt(np.maximum(variance, (MDE * unit) ** 2 + grid.TINY**2)), np.nan)


def _wild(rows: Floats) -> tuple[int, ...]:
    """The one run that isn't like the others: its median robust |z| (median and MAD over the runs) is above WILD_Z."""
    if len(rows) <= RUNS_MIN:
        return ()
    with np.errstate(invalid="ignore"):
        middle = _median(rows)
        deviation = np.abs(rows - middle)
        mad = 1.4826 * _median(deviation)
        score = np.array(
            [
                np.median(each[np.isfinite(each)]) if np.isfinite(each).any() else 0.0
                for each in deviation / np.maximum(mad, 1e-9)
            ]
        )
    worst = int(np.argmax(score))
    return (worst,) if score[worst] > WILD_Z else ()


def _median(rows: Floats) -> Floats:
    """Over the runs, of those that are there."""
    known = np.isfinite(rows).any(axis=0)
    found = np.full(rows.shape[1], np.nan)
    found[known] = np.nanmedian(rows[:, known], axis=0)
    return found
