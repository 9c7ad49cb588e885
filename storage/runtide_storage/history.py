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

from runtide_storage.axes import INT64_MAX, INT64_MIN, Extent, MetricAxis, RelativeAxis, StepAxis, TimeAxis
from runtide_storage.errors import QueryError
from runtide_storage.ids import key_id
from runtide_storage.reader import ONE_THREAD, Reader
from runtide_storage.runs import RunName, exact, found_exactly, resolve
from runtide_storage.short import ShortCurves, rows_read_max
from runtide_storage.sources import Pair, all_points, current_points, which
from runtide_storage.statements import statements
from runtide_storage.tiers import FEW_CURVES, ROWS_MAX, Tiers

CURVES_MAX = 20_000
POINTS_MAX = 10_000_000  # per curve
FEW_POINTS = 500_000  # are sorted faster than a join is planned


class Way(NamedTuple):
    """How to read a curve: from which statement, in buckets of 2^shift (of no meaning for "full")."""

    statement: str
    shift: int


def history(
    reader: Reader,
    refs: Sequence[str],
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
    if len(refs) * len(metrics) > CURVES_MAX:
        raise QueryError(
            f"{len(refs)} runs x {len(metrics)} metrics are more than {CURVES_MAX:,} curves: ask for fewer"
        )
    curves = opened(reader, refs, metrics, x, window, attempts, points)
    ways: dict[Way, list[Pair]] = {}
    for pair, extent in curves.extents.items():
        ways.setdefault(curves.way(pair[0], extent, points), []).append(pair)
    tables = [curves.read(way, pairs) for way, pairs in ways.items()]
    return curves.ordered(tables)


def opened(
    reader: Reader,
    refs: Sequence[str],
    metrics: Sequence[str],
    x: str,
    window: tuple[Any, Any] | None,
    attempts: str,
    short: int = 0,
) -> Curves:
    """What the curves of these runs are read with. Names and extents are asked for at once where names say enough.

    `short`: curves of so many points will be wanted as they are.
    """
    assumed = exact(refs)
    runs, curves = None, None
    if assumed is not None and x == "relative":  # which knows when each run began
        runs = found_exactly(reader, assumed)
    elif assumed is not None:
        runs, curves = reader.together(
            lambda: found_exactly(reader, assumed),
            lambda: Curves(reader, assumed, metrics, x, window, attempts, short),
        )
    if runs is None:  # a name, or a run that does not exist
        runs, curves = resolve(reader, refs), None
    if curves is None:
        curves = Curves(reader, runs, metrics, x, window, attempts, short)
    curves.relaunched = {run.key for run in runs if run.attempts > 1}
    return curves


class Curves:
    """One request: its runs, metrics, axis, window, and where its points lie."""

    def __init__(
        self,
        reader: Reader,
        runs: Sequence[RunName],
        metrics: Sequence[str],
        x: str,
        window: Any,
        attempts: str,
        short: int,
    ) -> None:
        self._reader = reader
        self._sql = statements("history.sql")
        self._runs = list({run.key: run for run in runs}.values())
        self.relaunched: set[int] = set()  # runs that have several attempts
        self._metrics = {key_id(metric): metric for metric in metrics}
        self._attempts = attempts
        self._x_key = key_id(x) if x not in ("step", "time", "relative") else None
        self.axis = self._make_axis(x)
        low, high = (-np.inf, np.inf) if window is None else window
        self._lo, self._hi = self.axis.edge(low, True), self.axis.edge(high, False)
        self._tiers: Tiers | None = None  # where they are few enough to be at hand
        self._short: ShortCurves | None = None  # likewise
        pairs = [(run.key, key) for run in self._runs for key in self._metrics]
        found = self._extents(pairs, short)
        # What is not rolled up yet counts as short.
        self.extents = {pair: found.get(pair, Extent()) for pair in pairs}

    def way(self, run: int, extent: Extent, points: int) -> Way:
        """All points where there are few, else buckets, of whole tiers where they are fine enough."""
        if extent.n <= points:
            return Way("full", 0)
        lo, hi = self.axis.range(run, extent)
        lo, hi = max(lo, self._lo), min(hi, self._hi)
        shift = self.axis.shift(lo, max(lo, hi), points)
        if self._attempts == "latest" and self.axis.tiers_do(shift, lo, hi, extent):
            return Way("tiers", shift)
        return Way("buckets", shift)

    def common_way(self, points: int) -> Way:
        """Buckets of the same width for all curves, of which none needs more than about `points`."""
        ranges = [(pair, self.axis.range(pair[0], extent)) for pair, extent in self.extents.items() if extent.n]
        lo = max(min((lo for _, (lo, _) in ranges), default=0), self._lo)
        hi = max(lo, min(max((hi for _, (_, hi) in ranges), default=0), self._hi))
        shift = self.axis.shift(lo, hi, points)
        long = [pair for pair, (lo, hi) in ranges if not self.axis.tiers_do(shift, lo, hi, self.extents[pair])]
        return Way("buckets" if long or not ranges else "tiers", shift)

    def read(self, way: Way, pairs: Sequence[Pair]) -> pa.Table:
        """The rows of these curves, with integers for names."""
        axis = self.axis
        if way.statement == "full" and self._short is not None:
            return _as_buckets(self._short.points(pairs))
        if way.statement == "means" and self._short is not None:
            return self._short.means(way.shift)
        if way.statement == "tiers" and self._tiers is not None:
            return self._tiers.buckets(pairs, way.shift)
        if way.statement == "tiers":
            window = axis.tier_window(self._lo, self._hi)
            sql = self._sql["tiers"].format(
                curves=which(pairs), window=window, x_of_tiers=axis.tier_x, bucket_of_tiers=axis.tier_bucket(way.shift)
            )
            return self._reader.arrow(sql, settings=ONE_THREAD)
        if self._attempts == "all":
            source = all_points(which(pairs))
        else:
            are_few = (
                self._is_whole() and sum(self.extents[pair].n for pair in pairs if pair in self.extents) <= FEW_POINTS
            )
            source = current_points(pairs, self.relaunched, are_few=are_few)
        if self._x_key is not None:
            of_axis = which([(run, self._x_key) for run in dict.fromkeys(run for run, _ in pairs)])
            source = self._sql["by_metric"].format(source=source, axis=of_axis)
        sql = self._sql[way.statement].format(
            source=source,
            window=axis.window(self._lo, self._hi),
            attempt="attempt" if self._attempts == "all" else "toUInt16(0)",
            x=axis.x,
            more="" if axis.x == "step" else ", step AS at_step",
            x_of_bucket=axis.bucket_x,
            bucket=axis.bucket(way.shift),
        )
        table = self._reader.arrow(sql)
        return _as_buckets(table) if way.statement == "full" else table

    def ordered(self, tables: Sequence[pa.Table]) -> pa.Table:
        """All rows with names for integers: runs and metrics in the order they were asked for."""
        if not tables:
            tables = [self.read(Way("full", 0), [(0, 0)])]
        table = pa.concat_tables(tables, promote_options="default")  # in some, ClickHouse says "not null"
        run_at = _positions(table, "run", [run.key for run in self._runs])
        metric_at = _positions(table, "key", list(self._metrics))
        order = np.argsort(
            run_at * max(1, len(self._metrics)) + metric_at, kind="stable"
        )  # x stays ascending in a curve
        table, run_at, metric_at = table.take(order), run_at[order], metric_at[order]
        columns: dict[str, Any] = {
            "project": _names(run_at, [run.project for run in self._runs]),
            "run_id": _names(run_at, [run.run_id for run in self._runs]),
            "metric": _names(metric_at, list(self._metrics.values())),
        }
        if self._attempts == "all":
            columns["attempt"] = table["of_attempt"]
        columns["x"] = table["x"].cast(self.axis.type)
        columns["step"] = table["at_step"]
        columns |= {name: table[name] for name in ("mean", "min", "max", "last", "n", "nonfinite")}
        return pa.table(columns)

    def _is_whole(self) -> bool:
        return (self._lo, self._hi) == (INT64_MIN, INT64_MAX)

    def _make_axis(self, x: str) -> StepAxis:
        if x == "step":
            return StepAxis()
        if x == "time":
            return TimeAxis()
        if x == "relative":
            return RelativeAxis({run.key: run.started_ms for run in self._runs})
        curves = which([(run.key, key_id(x)) for run in self._runs])
        rows = self._reader.rows(self._sql["ranges"].format(curves=curves))
        return MetricAxis({row["run"]: (row["lo"], row["hi"]) for row in rows if row["hi"] - row["lo"] < np.inf})

    def _extents(self, pairs: Sequence[Pair], short: int) -> Mapping[Pair, Extent]:
        if not pairs:
            return {}
        window = self.axis.tier_window(self._lo, self._hi)
        is_by_step = type(self.axis) is StepAxis
        if len(pairs) <= FEW_CURVES and is_by_step:
            sql = self._sql["few_tiers"].format(curves=which(pairs), window=window, rows=ROWS_MAX + 1)
            table = self._reader.arrow(sql, settings=ONE_THREAD)
            if len(table) <= ROWS_MAX:
                self._tiers = Tiers(table)
                return self._tiers.extents()
        elif (
            is_by_step
            and short
            and self._is_whole()
            and self._attempts == "latest"
            and short * len(pairs) <= FEW_POINTS
        ):
            rows = 2 * len(pairs) * short  # superseded ones are among them
            sql = self._sql["at_once"].format(curves=which(pairs), rows=rows + 1)
            points = self._reader.arrow_if_small(sql, rows_read_max(len(pairs)))
            if points is not None and len(points) <= rows:
                self._short = ShortCurves(points)
                return self._short.extents()
        sql = self._sql["extents"].format(curves=which(pairs), window=window, places=self.axis.places)
        return {(row.pop("run"), row.pop("key")): Extent(**row) for row in self._reader.rows(sql, settings=ONE_THREAD)}


def _as_buckets(points: pa.Table) -> pa.Table:
    """Points as buckets of one point each. Their numbers share memory: nothing is copied."""
    value = points["value"]
    n = pa.array(np.ones(len(points), np.uint64))
    nonfinite = pa.array((~np.isfinite(value.to_numpy())).astype(np.uint64))
    columns = {name: points[name] for name in ("run", "key", "of_attempt", "x")}
    columns["at_step"] = points["at_step" if "at_step" in points.column_names else "x"]
    return pa.table(columns | dict.fromkeys(("mean", "min", "max", "last"), value) | {"n": n, "nonfinite": nonfinite})


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
