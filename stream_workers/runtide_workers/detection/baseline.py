"""What a family's runs were like along the steps, and how far apart they were among themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtide_storage.goals import Goal
from runtide_workers.detection import cusum, grid
from runtide_workers.detection.grid import Bins, Floats

Scale = Literal["log", "linear"]
Of = Literal["value", "pace"]

RUNS_MIN = 3  # fewer say too little about the spread between runs
SKIPPED = 0.02  # of the run, at its start: curves from random weights differ wildly
SMOOTH_BINS = 2  # on either side, of the variance
PRIOR_RUNS = 0.25  # how many runs the variance's usual level is worth
MDE = 0.0005  # spreads below 0.05 % are taken for 0.05 %: smaller differences interest nobody
WILD_Z = 4.0  # the one run whose median robust z is above this isn't like the others


class Baseline:
    """Frozen: the curves of n runs on one grid, and from them the mean and the spread to measure another run by.

    `edges` (m + 1,), `curves` and `steps` (members, m) are what is stored; all else follows from them. `curves` are
    transformed values (float32 precision), `steps` the mean step of each member's points in the bin; NaN: none there.
    `density`: points per step of a usual member; `noise`: the variance of a single point around its bin's level, as a
    multiple of that between runs; 0 if unknown. `wild`: the members that are left out. `peaks` (members,): the highest
    statistic of each, tested against all others.
    """

    def __init__(
        self,
        edges: Floats,
        binned: Sequence[Bins],
        goal: Goal,
        scale: Scale,
        of: Of,
        density: float = 0.0,
        noise: float | None = None,
        wild: Sequence[int] | None = None,
    ) -> None:
        """`noise` and `wild` None: find out. Raises `ValueError` if there is no curve or a word is unknown."""
        if goal not in ("minimize", "maximize") or scale not in ("log", "linear") or of not in ("value", "pace"):
            raise ValueError(f"unknown goal {goal!r}, scale {scale!r} or of {of!r}")
        if not binned:
            raise ValueError("a baseline needs at least one run")
        self.goal, self.of, self.density = goal, of, float(density)
        self.scale: Scale = "log" if of == "pace" else scale
        self.edges = np.asarray(edges, dtype=np.float64)
        self.steps = np.array([each.steps for each in binned], dtype=np.float64)
        single = np.array([each.values for each in binned], dtype=np.float64).astype(np.float32)
        self.curves = single.astype(np.float64)
        self.centres = grid.centres_of(self.edges, self.steps)
        rows = grid.aligned(self.centres, [Bins(*pair) for pair in zip(self.steps, self.curves, strict=True)])
        self.wild = _wild(rows) if wild is None else tuple(wild)
        kept = rows[[index for index in range(len(rows)) if index not in self.wild]]
        self.n = int(np.isfinite(kept).any(axis=1).sum())
        self.mean, present = _means(kept)
        unit = 1.0 if scale == "log" or of == "pace" else float(_median(np.abs(self.mean), 0))
        self.spread = np.sqrt(_variances(kept, self.mean, MDE * unit))
        self.noise = _noise(binned, self.spread) if noise is None else noise
        self.tested = self._tested(present, self.n)
        self.drift = cusum.drift(_roughness(((kept - self.mean) / self.spread)[:, self.tested]))
        self.peaks = self._peaks(rows, MDE * unit)

    @classmethod
    def fit(
        cls,
        curves: Sequence[tuple[ArrayLike, ArrayLike]],
        goal: Goal = "minimize",
        scale: Scale = "log",
        of: Of = "value",
    ) -> Baseline:
        """From [(steps, values), ...]; for of="pace" the values are seconds since the start of the run."""
        known = [grid.finite(*curve) for curve in curves]
        edges = grid.edges_of([steps for steps, _ in known])
        if of == "pace":
            return cls(edges, [grid.bin_paces(edges, *curve) for curve in known], goal, scale, of)
        density = np.median([grid.density(len(steps), np.ptp(steps)) for steps, _ in known if len(steps)])
        return cls(edges, [grid.bin_means(edges, *curve, scale) for curve in known], goal, scale, of, float(density))

    @classmethod
    def of_bins(
        cls,
        edges: ArrayLike,
        binned: Sequence[Bins],
        goal: Goal,
        scale: Scale,
        of: Of = "value",
        density: float = 0.0,
    ) -> Baseline:
        """From curves that are binned already (in ClickHouse), one `Bins` per member."""
        return cls(np.asarray(edges, dtype=np.float64), binned, goal, scale, of, density)

    @classmethod
    def from_row(cls, row: Mapping[str, Any], of: Of = "value") -> Baseline:
        """From what `as_row` gave: the same alerts as the one it was made of."""
        pairs = zip(np.asarray(row["steps"], np.float64), np.asarray(row["curves"], np.float64), strict=True)
        binned = [Bins(steps, values) for steps, values in pairs]
        goal, scale = cast(Goal, row["goal"]), cast(Scale, row["scale"])
        wild = [int(each) for each in row["wild"]]
        return cls(np.asarray(row["edges"], np.float64), binned, goal, scale, of, row["density"], row["noise"], wild)

    def as_row(self) -> dict[str, Any]:
        """What is stored of it, as plain lists. `wild` are indices of members."""
        return {
            "edges": self.edges.tolist(),
            "curves": self.curves.tolist(),
            "steps": self.steps.tolist(),
            "wild": list(self.wild),
            "goal": self.goal,
            "scale": self.scale,
            "density": self.density,
            "noise": self.noise,
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
        return cusum.LIMIT

    @property
    def length(self) -> float:
        """Steps from the start to the end of the grid."""
        return float(self.edges[-1] - self.edges[0])

    def level(self, step: float) -> tuple[float, float, float]:
        """The mean of the runs at `step` and one standard deviation to either side, in the metric's own units."""
        mean, spread = (self._at(step, each) for each in (self.mean, self.spread))
        low, high = grid.restore(mean - spread, self.scale), grid.restore(mean + spread, self.scale)
        return grid.restore(mean, self.scale), low, high

    def _at(self, step: float, each: Floats) -> float:
        """Interpolated; NaN if nothing is known."""
        known = np.isfinite(each)
        return float(np.interp(step, self.centres[known], each[known])) if known.any() else float("nan")

    def _tested(self, present: Floats, runs: ArrayLike) -> NDArray[np.bool_]:
        """The bins in which a run is tested: behind the first steps, where at least half of `runs` are `present`."""
        enough = present >= np.maximum(RUNS_MIN, np.asarray(runs) / 2)
        tested: NDArray[np.bool_] = enough & (self.centres >= self.edges[0] + SKIPPED * self.length)
        return tested

    def _peaks(self, rows: Floats, floor: float) -> Floats:
        """The highest statistic of each member, tested against all others that aren't wild; NaN: they are too few."""
        members = len(rows)
        others = np.repeat(rows[None], members, axis=0)  # (tested, other, bin)
        others[:, list(self.wild)] = np.nan
        others[np.arange(members), np.arange(members)] = np.nan
        mean, present = _means(others)
        runs = np.isfinite(others).any(axis=2).sum(axis=1)[:, None]
        spread = np.sqrt(_variances(others, mean, floor))
        with np.errstate(invalid="ignore"):
            t = self.worse * (rows - mean) / (spread * np.sqrt(1 + 1 / np.maximum(runs, 1)))
        score = np.where(self._tested(present, runs), cusum.normal_score(t, np.maximum(runs - 1, 1)), np.nan)
        peaks = np.where(np.isfinite(score).any(axis=1), cusum.climb(score, self.drift).max(axis=1), np.nan)
        single: Floats = peaks.astype(np.float32).astype(np.float64)
        return single


def _means(rows: Floats) -> tuple[Floats, Floats]:
    """Of the runs `rows` (..., n, m): their mean in each bin (..., m), NaN without any, and how many there are."""
    known = np.isfinite(rows)
    present = known.sum(axis=-2).astype(np.float64)
    total = np.where(known, rows, 0.0).sum(axis=-2)
    return np.where(present > 0, total / np.maximum(present, 1), np.nan), present


def _variances(rows: Floats, mean: Floats, floor: float) -> Floats:
    """The variance between the runs `rows` (..., n, m) in each bin, at least `floor` squared; NaN: it can't be told.

    A handful of runs says little about it in any one bin. So it is pooled over neighbouring bins, weighted by degrees
    of freedom, and drawn towards its usual level, the median over time: its mean is that of the wild beginning.
    """
    known = np.isfinite(rows)
    freedom = np.maximum(known.sum(axis=-2) - 1.0, 0.0)
    squares = np.where(known, (rows - mean[..., None, :]) ** 2, 0.0).sum(axis=-2)
    near, of = _near(squares), _near(freedom)
    lowest = floor**2 + grid.TINY**2
    pooled = np.where(of > 0, np.maximum(near / np.maximum(of, 1), lowest), np.nan)
    usual = np.expand_dims(_median(np.where(freedom > 0, pooled, np.nan), -1), -1)
    own = freedom.max(axis=-1, keepdims=True, initial=0.0)
    variances: Floats = (own * pooled + PRIOR_RUNS * usual) / (own + PRIOR_RUNS)
    return variances


def _noise(binned: Sequence[Bins], spread: Floats) -> float:
    """The variance of a single point around its bin's level, as a multiple of that between runs; the median bin's."""
    known = [each.variances for each in binned if each.variances is not None]
    ratios = np.array(known) / spread**2 if known else np.empty(0)
    ratios = ratios[np.isfinite(ratios)]
    return float(np.median(ratios)) if len(ratios) else 0.0


def _roughness(u: Floats) -> float:
    """Which share of the variance between runs is noise from bin to bin, from their standardised curves `u` (n, m)."""
    jumps = np.diff(u, axis=1) ** 2
    known = np.isfinite(jumps)
    if len(u) < 2 or not known.any():
        return 0.0
    return float(min(1.0, jumps[known].mean() / 2 * len(u) / (len(u) - 1)))


def _near(each: Floats) -> Floats:
    """The sum over SMOOTH_BINS bins on either side."""
    padded = np.pad(each, [(0, 0)] * (each.ndim - 1) + [(SMOOTH_BINS, SMOOTH_BINS)])
    near: Floats = np.lib.stride_tricks.sliding_window_view(padded, 2 * SMOOTH_BINS + 1, axis=-1).sum(axis=-1)
    return near


def _wild(rows: Floats) -> tuple[int, ...]:
    """The one run that isn't like the others: its median robust |z| (median and MAD over the runs) is above WILD_Z."""
    if len(rows) <= RUNS_MIN:
        return ()
    deviation = np.abs(rows - _median(rows, 0))
    with np.errstate(invalid="ignore"):
        score = np.nan_to_num(_median(deviation / np.maximum(1.4826 * _median(deviation, 0), 1e-9), 1))
    worst = int(np.argmax(score))
    return (worst,) if score[worst] > WILD_Z else ()


def _median(rows: Floats, axis: int) -> Floats:
    """Of what is there; NaN where nothing is."""
    ordered = np.sort(rows, axis=axis)  # NaN last
    count = np.isfinite(rows).sum(axis=axis, keepdims=True)
    middle = [np.take_along_axis(ordered, np.maximum(count + shift, 0) // 2, axis) for shift in (-1, 0)]
    found: Floats = np.where(count > 0, (middle[0] + middle[1]) / 2, np.nan).squeeze(axis)
    return found
