"""The band that several runs form: at each place along the axis, how their values are spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from runtide_storage.errors import QueryError
from runtide_storage.history import opened
from runtide_storage.reader import Reader

POINTS_MAX = 100_000
SHORT = 2_000  # points: curves up to this length are folded here

Floats = NDArray[np.float64]


def band(
    reader: Reader,
    refs: Sequence[str],
    metric: str,
    points: int,
    x: str,
    window: tuple[Any, Any] | None,
    quantiles: Sequence[float],
) -> pa.Table:
    """The table that `Client.baseline_band` describes. Raises `QueryError`."""
    if not 1 <= points <= POINTS_MAX:
        raise QueryError(f"points: {points} is not within 1 ... {POINTS_MAX:,}")
    if wrong := [each for each in quantiles if not 0 <= each <= 1]:
        raise QueryError(f"quantiles: {wrong[0]!r} is not within 0 ... 1")
    curves = opened(reader, refs, [metric], x, window, "latest", short=SHORT)
    way = curves.common_way(points)
    if way.statement == "buckets":
        way = way._replace(statement="means")
    table = curves.read(way, list(curves.extents)) if curves.extents else None
    if table is None or not len(table):
        return _table(pa.array([], curves.axis.type), np.empty((0, 0)), quantiles)
    buckets, column = np.unique(curves.axis.bucket_of(table["x"], way.shift), return_inverse=True)
    runs, row = np.unique(table["run"].to_numpy(), return_inverse=True)
    values = np.full((len(runs), len(buckets)), np.nan)
    finite = table["n"].to_numpy() > table["nonfinite"].to_numpy()
    values[row[finite], column[finite]] = table["mean"].to_numpy()[finite]
    # The last x of the bucket, as each run's own curve has it.
    places = np.full(len(buckets), table["x"].to_numpy().min())
    np.maximum.at(places, column, table["x"].to_numpy())
    return _table(pa.array(places).cast(curves.axis.type), values, quantiles)


def _table(x: pa.Array, values: Floats, quantiles: Sequence[float]) -> pa.Table:
    """`values` is a row per run and a column per place; NaN: the run has no finite value there."""
    n = np.isfinite(values).sum(axis=0)
    ordered = np.sort(values, axis=0)  # NaN comes last
    columns: dict[str, Any] = {"x": x, "n": pa.array(n.astype(np.uint64))}
    columns["mean"] = _of_some(n, np.nansum(values, axis=0) / np.maximum(n, 1))
    columns["min"] = _of_some(n, _quantile(ordered, n, 0.0))
    columns["max"] = _of_some(n, _quantile(ordered, n, 1.0))
    columns |= {f"q{100 * q:g}": _of_some(n, _quantile(ordered, n, q)) for q in quantiles}
    return pa.table(columns)


def _quantile(ordered: Floats, n: NDArray[Any], q: float) -> Floats:
    """Of the first n of each column: linear between neighbours (type 7 of Hyndman and Fan, 1996, as in numpy)."""
    if not len(ordered):
        return np.empty(0)
    place = q * np.maximum(n - 1, 0)
    low = np.floor(place).astype(np.int64)
    at = np.arange(ordered.shape[1])
    a, b = ordered[low, at], ordered[np.minimum(low + 1, np.maximum(n - 1, 0)), at]
    return np.asarray(a + (b - a) * (place - low))


def _of_some(n: NDArray[Any], values: Floats) -> pa.Array:
    """NULL where there is nothing."""
    return pa.array(values, pa.float64(), mask=np.asarray(n == 0))
