"""The baselines of a bank's slots, as arrays in which a whole batch is looked up at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtide_workers.detection.baseline import Baseline
from runtide_workers.detection.cusum import normal_score
from runtide_workers.detection.grid import BINS, Floats, Indices

FEWER = 2.0  # times fewer points than usual in a bin are nothing unusual

ROW = np.dtype(
    [
        ("edges", np.float64, BINS + 2),  # the bin behind the end has no upper edge; padded with infinity
        ("centres", np.float64, BINS),
        ("mean", np.float64, BINS),
        ("spread", np.float64, BINS),  # of one new run around the mean; < 0 if less is worse; NaN: not tested there
        ("freedom", np.float64),  # with which the spread is known
        ("drift", np.float64),  # of the statistic
        ("density", np.float64),  # points per step
        ("noise", np.float64),  # variance of one point around its bin's level, over `spread` squared
        ("bins", np.int64),
        ("length", np.float64),
        ("log", np.bool_),
        ("pace", np.bool_),
        ("pointwise", np.bool_),
    ]
)


class Shelf:
    """A row per baseline, shared by all the slots that use it."""

    def __init__(self) -> None:
        self.rows = np.zeros(0, dtype=ROW)
        self.baselines: list[Baseline | None] = []
        self._users: list[int] = []
        self._of: dict[int, int] = {}  # the row by the id() of its baseline, which the list above keeps alive
        self._free: list[int] = []

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes

    def take(self, baseline: Baseline) -> int:
        """The row of `baseline`, for one more user."""
        row = self._of.get(id(baseline))
        if row is None:
            if not self._free:
                size = len(self.rows)
                more = max(4, size // 2)
                self.rows = np.concatenate([self.rows, np.zeros(more, dtype=ROW)])
                self.baselines += [None] * more
                self._users += [0] * more
                self._free.extend(range(size + more - 1, size - 1, -1))
            row = self._of[id(baseline)] = self._free.pop()
            self.baselines[row] = baseline
            self.rows[row] = _row(baseline)
        self._users[row] += 1
        return row

    def give_back(self, row: int) -> None:
        """One user less; the row is free when nobody is left."""
        self._users[row] -= 1
        if not self._users[row]:
            del self._of[id(self.baselines[row])]
            self.baselines[row] = None
            self._free.append(row)

    def __getitem__(self, row: int) -> Baseline:
        """Raises `KeyError` if nothing is there."""
        found = self.baselines[row]
        if found is None:
            raise KeyError(row)
        return found

    def place(self, row: Indices, at: Floats) -> Indices:
        """The bin of each step: -1 before the grid, the number of bins behind it. Binary search, all at once."""
        edges = self.rows["edges"]
        low, high = np.zeros(len(row), dtype=np.int64), np.full(len(row), BINS + 2, dtype=np.int64)
        for _ in range((BINS + 2).bit_length()):
            middle = np.minimum((low + high) // 2, BINS + 1)
            right = (edges[row, middle] <= at) & (low < high)
            low, high = np.where(right, middle + 1, low), np.where(right, high, np.minimum(high, middle))
        found: Indices = np.minimum(low - 1, self.rows["bins"][row])
        return found

    def z(self, row: Indices, bin_: Indices, step: Floats, level: Floats, count: Floats) -> Floats:
        """How much worse than the mean `level` at `step`, in that bin, is, as a normal score; NaN where not tested.

        It is the mean of `count` points; if they are fewer than usual there, it is noisier than the baselines' levels.
        """
        centres, mean, edges = self.rows["centres"], self.rows["mean"], self.rows["edges"]
        left = np.clip(bin_ - (step < centres[row, bin_]), 0, BINS - 2)
        begin, span = centres[row, left], centres[row, left + 1] - centres[row, left]
        part = np.clip((step - begin) / np.where(span > 0, span, 1.0), 0.0, 1.0)
        expected = mean[row, left] * (1 - part) + mean[row, left + 1] * part
        usual = self.rows["density"][row] * (edges[row, bin_ + 1] - edges[row, bin_])
        excess = self.rows["noise"][row] * np.maximum(1 / count - FEWER / np.maximum(usual, FEWER), 0.0)
        t = (level - expected) / (self.rows["spread"][row, bin_] * np.sqrt(1 + excess))
        return normal_score(t, self.rows["freedom"][row])


def _row(baseline: Baseline) -> NDArray[np.void]:
    bins = len(baseline.edges) - 1
    row = np.zeros((), dtype=ROW)
    row["edges"] = np.inf
    row["edges"][: bins + 1] = baseline.edges
    known = np.isfinite(baseline.mean)
    row["centres"] = baseline.centres[-1]
    row["centres"][:bins] = baseline.centres
    row["mean"] = np.interp(row["centres"], baseline.centres[known], baseline.mean[known]) if known.any() else np.nan
    row["spread"] = np.nan
    spread = baseline.worse * baseline.spread * np.sqrt(1 + 1 / max(baseline.n, 1))
    row["spread"][:bins] = np.where(baseline.tested, spread, np.nan)
    row["freedom"] = max(baseline.n - 1, 1)
    row["drift"] = baseline.drift
    row["bins"], row["length"] = bins, baseline.length
    row["log"], row["pace"] = baseline.scale == "log" and baseline.of == "value", baseline.of == "pace"
    row["pointwise"] = baseline.pointwise
    row["density"] = baseline.density
    row["noise"] = 0.0 if baseline.pointwise else baseline.noise * baseline.n / (baseline.n + 1)
    return row
