"""Short curves of many runs, read at once: how long they are shows when they are there.

To ask for lengths first costs a third of the time that the points take. What turns out not to be short is asked for
as history.py does with the rest; ClickHouse knows so from its index, before it reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from runtide_storage.axes import Extent
from runtide_storage.sources import Pair
from runtide_storage.tiers import starts_of

_GRANULE = 8192
_PER_CURVE, _BESIDE = (
    3,
    32,
)  # granules: a short curve lies in one or two, and parts without it have one where it would be


def rows_read_max(curves: int) -> int:
    """How many rows so many short curves make ClickHouse read, at most; what takes more has a long one among them."""
    return (_PER_CURVE * curves + _BESIDE) * _GRANULE


class ShortCurves:
    """Rows of history.sql's `at_once`, which are in order of run, key, attempt, step."""

    def __init__(self, table: pa.Table) -> None:
        if len(table):
            table = table.filter(pa.array(_is_current(table)))
        of_attempt = pa.array(np.zeros(len(table), np.uint16))  # what is left is one curve
        self._table = table.set_column(table.column_names.index("of_attempt"), "of_attempt", of_attempt)

    def extents(self) -> Mapping[Pair, Extent]:
        """What there is of each curve. Curves without points are not in it."""
        run, key, step = (self._table[name].to_numpy() for name in ("run", "key", "x"))
        starts = starts_of(run, key)
        if not len(starts):
            return {}
        n = np.diff(starts, append=len(run))
        lo, hi = np.minimum.reduceat(step, starts), np.maximum.reduceat(step, starts)
        pairs = zip(run[starts].tolist(), key[starts].tolist(), strict=True)
        numbers = zip(n.tolist(), lo.tolist(), hi.tolist(), strict=True)
        return {pair: Extent(*each) for pair, each in zip(pairs, numbers, strict=True)}

    def points(self, pairs: Sequence[Pair]) -> pa.Table:
        """These curves: the columns of history.sql's `full`."""
        run, key = self._table["run"].to_numpy(), self._table["key"].to_numpy()
        starts = starts_of(run, key)
        wanted = set(pairs)
        is_wanted = [pair in wanted for pair in zip(run[starts].tolist(), key[starts].tolist(), strict=True)]
        if all(is_wanted):
            return self._table
        return self._table.filter(pa.array(np.repeat(is_wanted, np.diff(starts, append=len(run)))))

    def means(self, shift: int) -> pa.Table:
        """All curves in buckets of 2^shift steps: the columns of history.sql's `means`."""
        run, key, step = (self._table[name].to_numpy() for name in ("run", "key", "x"))
        value = self._table["value"].to_numpy()
        starts = starts_of(run, key, step >> shift)
        finite = np.isfinite(value)
        n = np.diff(starts, append=len(run))
        regular = np.add.reduceat(finite.astype(np.int64), starts) if len(starts) else n
        with np.errstate(all="ignore"):  # sums may be infinite; a bucket without a finite value has no mean
            total = np.add.reduceat(np.where(finite, value, 0.0).astype(np.longdouble), starts) if len(starts) else n
            mean = (total / regular).astype(np.float64)
        ends = np.append(starts[1:], len(run)) - 1 if len(starts) else starts
        return pa.table({"run": run[starts], "x": step[ends], "mean": mean, "n": n, "nonfinite": n - regular})


def _is_current(table: pa.Table) -> NDArray[np.bool_]:
    """Which points no later attempt superseded: those before the first step of every later attempt."""
    columns: list[NDArray[Any]] = [table[name].to_numpy() for name in ("run", "key", "of_attempt", "x")]
    run, key, attempt, step = columns
    starts = starts_of(run, key, attempt)
    if len(starts) == len(starts_of(run, key)):
        return np.ones(len(run), bool)
    has_later = np.zeros(len(starts), bool)
    from_step = step[starts]  # where this or a later attempt begins
    superseded_from = from_step.copy()
    for group in range(len(starts) - 2, -1, -1):
        here, later = starts[group], starts[group + 1]
        if (run[here], key[here]) == (run[later], key[later]):
            has_later[group] = True
            superseded_from[group] = from_step[group + 1]
            from_step[group] = min(from_step[group], from_step[group + 1])
    lengths = np.diff(starts, append=len(run))
    return ~np.repeat(has_later, lengths) | (step < np.repeat(superseded_from, lengths))
