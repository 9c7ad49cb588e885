"""Curves for charts: as they are when short, else in buckets that keep the extremes.

Bucket widths are powers of two and buckets begin at multiples of their width. So the buckets of a run that goes on stay
where they are, except that all double their width when there are too many; and equal data give equal rows. Buckets of
1,024 steps and more come from the tiers: a curve of 10 M steps is read from 10,000 rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from runtide_storage.axes import Extent, MetricAxis, RelativeAxis, StepAxis, TimeAxis
from runtide_storage.errors import QueryError
from runtide_storage.ids import key_id
from runtide_storage.reader import Reader, integers
from runtide_storage.runs import RunName
from runtide_storage.statements import statements

CURVES_MAX = 20_000
POINTS_MAX = 10_000_000  # per curve

Pair = tuple[int, int]  # (run, key)


class _Way(NamedTuple):
    """How to read a curve: from which statement, in buckets of 2^shift (of no meaning for "full")."""

    statement: str
    shift: int


def history(
    reader: Reader,
    runs: Sequence[RunName],
    metrics: Sequence[str],
    points: int,
    x: str,
    window: tuple[Any, Any] | None,
    attempts: str,
) -> pa.Table:
    """The table that `Client.history` describes. Raises `QueryError`."""
    if not 1 <= points <= POINTS_MAX:
        raise QueryError(f"points: {points} is not within 1 ... {POINTS_MAX:,}")
    if attempts not in ("latest", "all"):
        raise QueryError(f"attempts: {attempts!r} is neither 'latest' nor 'all'")
    if len(runs) * len(metrics) > CURVES_MAX:
        raise QueryError(
            f"{len(runs)} runs x {len(metrics)} metrics are more than {CURVES_MAX:,} curves: ask for fewer"
        )
    curves = _Curves(reader, runs, metrics, x, window, attempts)
    ways: dict[_Way, list[Pair]] = {}
    for pair, extent in curves.extents.items():
        ways.setdefault(curves.way(pair[0], extent, points), []).append(pair)
    tables = [curves.read(way, pairs) for way, pairs in ways.items()]
    return curves.ordered(tables)


class _Curves:
    """One request: its runs, metrics, axis, window and where its points come from."""

    def __init__(
        self, reader: Reader, runs: Sequence[RunName], metrics: Sequence[str], x: str, window: Any, attempts: str
    ) -> None:
        self._reader = reader
        self._sql = statements("history.sql")
        self._runs = list({run.key: run for run in runs}.values())
        self._metrics = {key_id(metric): metric for metric in metrics}
        self._attempts = attempts
        self._x_key = key_id(x) if x not in ("step", "time", "relative") else None
        self._axis = self._make_axis(x)
        low, high = (-np.inf, np.inf) if window is None else window
        self._lo, self._hi = self._axis.edge(low, True), self._axis.edge(high, False)
        self._source = self._choose_source()
        pairs = [(run.key, key) for run in self._runs for key in self._metrics]
        found = self._extents(pairs, self._axis.tier_window(self._lo, self._hi))
        # What is not rolled up yet counts as short.
        self.extents = {pair: found.get(pair, Extent.of_nothing()) for pair in pairs}

    def way(self, run: int, extent: Extent, points: int) -> _Way:
        """All points where there are few, else buckets, of whole tiers where they are fine enough."""
        if extent.n <= points:
            return _Way("full", 0)
        lo, hi = self._axis.range(run, extent)
        lo, hi = max(lo, self._lo), min(hi, self._hi)
        shift = self._axis.shift(lo, max(lo, hi), points)
        if self._attempts == "latest" and self._axis.tiers_do(shift, lo, hi, extent):
            return _Way("tiers", shift)
        return _Way("buckets", shift)

    def read(self, way: _Way, pairs: Sequence[Pair]) -> pa.Table:
        """The rows of these curves, with integers for names."""
        axis, curves = self._axis, _pairs(pairs)
        if way.statement == "tiers":
            window = axis.tier_window(self._lo, self._hi)
            sql = self._sql["tiers"].format(
                curves=curves, window=window, x_of_tiers=axis.tier_x, bucket_of_tiers=axis.tier_bucket(way.shift)
            )
            return self._reader.arrow(sql)
        source = self._sql[self._source].format(curves=curves)
        if self._x_key is not None:
            of_axis = _pairs([(run, self._x_key) for run in dict.fromkeys(run for run, _ in pairs)])
            source = self._sql["by_metric"].format(source=source, axis=of_axis)
        window = axis.window(self._lo, self._hi)
        sql = self._sql[way.statement].format(
            source=source, window=window, x=axis.x, x_of_bucket=axis.bucket_x, bucket=axis.bucket(way.shift)
        )
        return self._reader.arrow(sql)

    def ordered(self, tables: Sequence[pa.Table]) -> pa.Table:
        """All rows with names for integers: runs and metrics in the order they were asked for."""
        if not tables:
            tables = [self.read(_Way("full", 0), [(0, 0)])]
        table = pa.concat_tables(tables)
        run_at = _positions(table, "run", [run.key for run in self._runs])
        metric_at = _positions(table, "key", list(self._metrics))
        order = np.lexsort((metric_at, run_at))  # stable: x stays ascending within a curve
        table, run_at, metric_at = table.take(order), run_at[order], metric_at[order]
        columns: dict[str, Any] = {
            "project": _names(run_at, [run.project for run in self._runs]),
            "run_id": _names(run_at, [run.run_id for run in self._runs]),
            "metric": _names(metric_at, list(self._metrics.values())),
        }
        if self._attempts == "all":
            columns["attempt"] = table["attempt"]
        columns["x"] = table["x"].cast(self._axis.type)
        columns["step"] = table["at_step"]
        columns |= {name: table[name] for name in ("mean", "min", "max", "last", "n", "nonfinite")}
        return pa.table(columns)

    def _make_axis(self, x: str) -> StepAxis:
        if x == "step":
            return StepAxis()
        if x == "time":
            return TimeAxis()
        if x == "relative":
            return RelativeAxis({run.key: run.started_ms for run in self._runs})
        extents = self._extents([(run.key, key_id(x)) for run in self._runs], "true")
        ranges = {run: (e.lo_value, e.hi_value) for (run, _), e in extents.items() if e.hi_value - e.lo_value < np.inf}
        return MetricAxis(ranges)

    def _choose_source(self) -> str:
        if self._attempts == "all":
            return "points_all"
        runs = integers(run.key for run in self._runs)
        several = runs and self._reader.rows(self._sql["several_attempts"].format(runs=runs))
        return "points_of_attempts" if several else "points_latest"

    def _extents(self, pairs: Sequence[Pair], window: str) -> Mapping[Pair, Extent]:
        if not pairs:
            return {}
        rows = self._reader.rows(self._sql["extents"].format(curves=_pairs(pairs), window=window))
        return {(row.pop("run"), row.pop("key")): Extent(**row) for row in rows}


def _pairs(pairs: Sequence[Pair]) -> str:
    return ", ".join(f"({run:d}, {key:d})" for run, key in pairs)


def _positions(table: pa.Table, column: str, wanted: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where each of the column's integers is in `wanted`."""
    ids = np.array(wanted, dtype=np.uint64)
    order = np.argsort(ids)
    values = table[column].to_numpy()
    return np.asarray(order[np.searchsorted(ids, values, sorter=order)] if len(values) else values, dtype=np.int64)


def _names(positions: np.ndarray[Any, np.dtype[np.int64]], names: Sequence[str]) -> pa.DictionaryArray:
    unique = list(dict.fromkeys(names))
    place = {name: number for number, name in enumerate(unique)}
    codes = np.array([place[name] for name in names], dtype=np.int32)
    indices = codes[positions] if len(positions) else np.empty(0, np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(unique, pa.string()))
