"""The tiers of a few curves, read once: where their points lie, and the curves in buckets of whole tiers.

ClickHouse could do both, in two questions of which the second waits for the first; for a few thousand rows that wait is
most of the time. history.sql does the same in SQL for what is too much to fetch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from runtide_storage.axes import TIER_SHIFT, Extent
from runtide_storage.sources import Pair

FEW_CURVES = 8
ROWS_MAX = 20_000  # 10 M steps are 10,000


class Tiers:
    """Rows of history.sql's `few_tiers`, which are in order of run, key, bucket."""

    def __init__(self, table: pa.Table) -> None:
        self._rows: dict[str, NDArray[Any]] = {name: table[name].to_numpy() for name in table.column_names}

    def extents(self) -> Mapping[Pair, Extent]:
        """What there is of each curve. Curves without a tier are not in it."""
        rows = self._rows
        starts = starts_of(rows["run"], rows["key"])
        if not len(starts):
            return {}
        pairs = zip(rows["run"][starts].tolist(), rows["key"][starts].tolist(), strict=True)
        n = np.add.reduceat(rows["n"].astype(np.int64), starts)
        lo = np.minimum.reduceat(rows["first_step"], starts)
        hi = np.maximum.reduceat(rows["last_step"], starts)
        numbers = zip(n.tolist(), lo.tolist(), hi.tolist(), strict=True)
        return {pair: Extent(*each) for pair, each in zip(pairs, numbers, strict=True)}

    def buckets(self, pairs: Sequence[Pair], shift: int) -> pa.Table:
        """These curves in buckets of 2^shift steps: the columns of history.sql's `tiers`."""
        wanted = np.zeros(len(self._rows["run"]), bool)
        for run, key in pairs:
            wanted |= (self._rows["run"] == run) & (self._rows["key"] == key)
        rows = {name: column[wanted] for name, column in self._rows.items()}
        starts = starts_of(rows["run"], rows["key"], rows["bucket"] >> (shift - TIER_SHIFT))
        ends = np.append(starts[1:], len(rows["run"])) - 1
        n = np.add.reduceat(rows["n"].astype(np.uint64), starts)
        nonfinite = np.add.reduceat(rows["nonfinite"].astype(np.uint64), starts)
        has_finite = rows["n"] > rows["nonfinite"]
        last = rows["last"][ends]
        with np.errstate(all="ignore"):  # sums may be infinite
            mean = np.add.reduceat(rows["sum"].astype(np.longdouble), starts) / (n - nonfinite)
            low = np.minimum.reduceat(np.where(has_finite, rows["min"], np.inf), starts)
            high = np.maximum.reduceat(np.where(has_finite, rows["max"], -np.inf), starts)
            numbers = {
                name: np.where(n > nonfinite, column.astype(np.float64), last)
                for name, column in (("mean", mean), ("min", low), ("max", high))
            }
        at_step = np.maximum.reduceat(rows["last_step"], starts)
        return pa.table(
            {"run": rows["run"][starts], "key": rows["key"][starts], "of_attempt": np.zeros(len(starts), np.uint16)}
            | {"x": at_step, "at_step": at_step, **numbers, "last": last, "n": n, "nonfinite": nonfinite}
        )


def starts_of(*columns: NDArray[Any]) -> NDArray[np.intp]:
    """Where a new group begins: where any column differs from the row before."""
    if not len(columns[0]):
        return np.empty(0, np.intp)
    is_new = np.zeros(len(columns[0]), bool)
    is_new[0] = True
    for column in columns:
        is_new[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(is_new)
