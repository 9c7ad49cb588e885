"""Baselines of a cohort: loaded from ClickHouse, or fitted there and here and stored for the next time.

The same members always give the same baselines: a worker that takes over finds, or fits again, what the run was being
compared with before. Curves are binned by ClickHouse, so that a fit costs the same for a thousand steps and for ten
million.
"""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import xxhash

from runtide_storage.cohorts import Cohorts, Extent
from runtide_storage.goals import Goal
from runtide_workers.detection.baseline import Baseline, Of, Scale
from runtide_workers.detection.grid import BINS, Bins, common_range, density, paces, power_edges

MEMBERS_MIN = 3
POINTS_MIN = 5  # of a member's curve
METRICS_MAX = 200  # per family, those that were defined by name first
NONFINITE_SHARE = 0.2  # of the members that logged NaN here too: then it is no news
BASELINES_KEPT = 1_000  # about 25 kB each, and whatever live runs hold beside
STALL_MIN_S = 60.0
STALL_FACTOR = 3.0


class Table(Protocol):
    """The part of `Writer` that is needed here. Blocking."""

    def rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None: ...


@dataclass(slots=True)
class Cohort:
    """What some runs have in common: a baseline per metric, and what else is normal for them."""

    members: tuple[int, ...] = ()
    values: dict[str, Baseline] = field(default_factory=dict)  # metric -> of its values
    pace_of: str = ""  # the metric at whose points the pace is measured
    pace: Baseline | None = None
    used: dict[str, tuple[int, ...]] = field(
        default_factory=dict
    )  # metric -> members that have it, in the baseline's order
    lasts: dict[str, dict[int, float]] = field(default_factory=dict)  # metric -> member -> last value
    nonfinite: frozenset[str] = frozenset()  # metrics that healthy members log NaN in, too
    gap_s: float = 0.0

    @property
    def stall_s(self) -> float:
        """Silence longer than that is a stall; 0: not known."""
        return max(STALL_MIN_S, STALL_FACTOR * self.gap_s) if self.gap_s else 0.0


class Baselines:
    """The cohorts used last. Not thread safe."""

    def __init__(self, cohorts: Cohorts, storage: Table) -> None:
        self._cohorts = cohorts
        self._storage = storage
        self._kept: OrderedDict[tuple[int, tuple[int, ...], str], Cohort] = OrderedDict()
        self._extents_of: tuple[tuple[int, ...], list[Extent]] = ((), [])

    def metrics(self, members: Sequence[int]) -> list[str]:
        """The metrics that these runs have, those of most runs first. Raises `StorageError`."""
        counts = Counter(extent.metric for extent in self._extents(tuple(members)))
        return [metric for metric, _ in sorted(counts.items(), key=lambda each: (-each[1], each[0]))]

    def of(self, family: int, members: Sequence[int], goals: Mapping[str, Goal], pace_of: str) -> Cohort:
        """The cohort of these members. `goals`: metric -> goal, the important ones first. Raises `StorageError`."""
        identity = family, tuple(members), repr(sorted(goals.items())) + pace_of
        cohort = self._kept.get(identity)
        if cohort is None:
            enough = len(members) >= MEMBERS_MIN
            cohort = self._make(family, tuple(members), goals, pace_of) if enough else Cohort(tuple(members))
            self._kept[identity] = cohort
            while len(self._kept) > 1 and self._size() > BASELINES_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(identity)
        return cohort

    def _size(self) -> int:
        """Baselines that are kept. A cohort too small to have any counts too: every run without a family makes one."""
        return sum(max(len(each.values) + (each.pace is not None), 1) for each in self._kept.values())

    def _make(self, family: int, members: tuple[int, ...], goals: Mapping[str, Goal], pace_of: str) -> Cohort:
        curves: dict[str, list[Extent]] = {}
        for extent in self._extents(members):
            curves.setdefault(extent.metric, []).append(extent)
        cohort = Cohort(
            members,
            pace_of=pace_of,
            lasts={
                metric: {each.run: each.last for each in found} for metric, found in curves.items() if metric in goals
            },
            nonfinite=frozenset(metric for metric, found in curves.items() if _often_nonfinite(found, len(members))),
        )
        wanted = {
            metric: [each for each in found if each.n - each.nonfinite >= POINTS_MIN]
            for metric in list(goals)[:METRICS_MAX]
            if (found := curves.get(metric))
        }
        wanted = {metric: found for metric, found in wanted.items() if len(found) >= MEMBERS_MIN}
        number = cohort_id(members)
        stored = {(row["metric"], row["aspect"]): row for row in self._cohorts.baseline(family, number)}
        made = []
        for metric in wanted:
            row = stored.get((metric, "value"))
            if row is None or row["goal"] != goals[metric]:
                continue
            cohort.values[metric] = _of_row(row)
            cohort.used[metric] = tuple(row["members"])
        missing = {metric: found for metric, found in wanted.items() if metric not in cohort.values}
        for metric, used, baseline in self._fit(missing, goals):
            cohort.values[metric], cohort.used[metric] = baseline, used
            made.append((metric, "value", used, baseline))
        if pace_of in wanted:
            row = stored.get((pace_of, "pace"))
            if row is not None:
                cohort.pace, cohort.gap_s = _of_row(row, "pace"), row["gap_s"]
            else:
                cohort.pace, cohort.gap_s = self._pace(wanted[pace_of])
                if cohort.pace is not None:
                    made.append((pace_of, "pace", tuple(each.run for each in wanted[pace_of]), cohort.pace))
        if made:
            made_at = time.time_ns() // 1_000_000
            self._storage.rows(
                "baselines",
                [
                    {"family": family, "metric": metric, "aspect": aspect, "cohort": number, "members": list(used)}
                    | baseline.as_row()
                    | {"wild": [used[place] for place in baseline.wild], "gap_s": cohort.gap_s, "made_at": made_at}
                    for metric, aspect, used, baseline in made
                ],
            )
        return cohort

    def _extents(self, members: tuple[int, ...]) -> list[Extent]:
        """Of the members asked for last: a plan needs them twice."""
        if self._extents_of[0] != members:
            order = {member: place for place, member in enumerate(members)}
            found = sorted(self._cohorts.extents(members), key=lambda each: (each.metric, order[each.run]))
            self._extents_of = members, found
        return self._extents_of[1]

    def _fit(
        self, wanted: Mapping[str, Sequence[Extent]], goals: Mapping[str, Goal]
    ) -> Iterable[tuple[str, tuple[int, ...], Baseline]]:
        """(metric, members, baseline). Metrics on the same steps are read by one query."""
        groups: dict[tuple[Any, ...], list[str]] = {}
        for metric, found in wanted.items():
            runs = tuple(each.run for each in found)
            log = min(each.lowest for each in found) > 0
            groups.setdefault((runs, log, _range(found)), []).append(metric)
        for (runs, log, steps), metrics in groups.items():
            keys = [wanted[metric][0].key for metric in metrics]
            scale: Scale = "log" if log else "linear"
            if steps is None:
                table = self._cohorts.curves(runs, keys)
                for metric, key in zip(metrics, keys, strict=True):
                    curves = [_curve(table, run, key) for run in runs]
                    yield metric, runs, Baseline.fit(curves, goal=goals[metric], scale=scale)
            else:
                edges = power_edges(*steps)
                table = self._cohorts.bins(runs, keys, edges.tolist(), log=log)
                for metric, key in zip(metrics, keys, strict=True):
                    binned = [binned_curve(table, run, key, edges) for run in runs]
                    usual = float(np.median([density(each.n, each.hi_step - each.lo_step) for each in wanted[metric]]))
                    yield metric, runs, Baseline.of_bins(edges, binned, goals[metric], scale, density=usual)

    def _pace(self, found: Sequence[Extent]) -> tuple[Baseline | None, float]:
        """Seconds per step along the step, and the longest silence."""
        runs, key = [each.run for each in found], found[0].key
        gap_s = max(self._cohorts.gaps_s(runs, [key]).values(), default=0.0)
        steps = _range(found)
        if steps is None:
            table = self._cohorts.curves(runs, [key])
            return Baseline.fit(
                [_clock(table, run, key) for run in runs], goal="minimize", scale="log", of="pace"
            ), gap_s
        edges = power_edges(*steps)
        table = self._cohorts.bins(runs, [key], edges.tolist(), log=False, pace=True)
        binned = [_paces(binned_curve(table, run, key, edges)) for run in runs]
        return Baseline.of_bins(edges, binned, goal="minimize", scale="log", of="pace"), gap_s


def _of_row(row: Mapping[str, Any], of: Of = "value") -> Baseline:
    places = {run: place for place, run in enumerate(row["members"])}
    return Baseline.from_row({**row, "wild": [places[run] for run in row["wild"]]}, of)


def _range(found: Sequence[Extent]) -> tuple[float, float] | None:
    """The steps that the grid of these curves spans; None: they are sparse, and get a bin per point."""
    if float(np.median([each.n for each in found])) < BINS:
        return None
    first, last = common_range([each.lo_step for each in found], [each.hi_step for each in found])
    return (first, last) if first < last else None


def cohort_id(members: Sequence[int]) -> int:
    """The same for the same members."""
    return xxhash.xxh64_intdigest(",".join(map(str, members)).encode())


def binned_curve(table: pa.Table, run: int, key: int, edges: np.ndarray[Any, np.dtype[np.float64]]) -> Bins:
    """One curve of `Cohorts.bins`, with NaN where a bin holds nothing."""
    places = _rows_of(table, run, key)
    at = np.searchsorted(edges, table["edge"].to_numpy()[places], side="right") - 1
    steps, levels, variances = np.full((3, len(edges) - 1), math.nan)
    inside = (at >= 0) & (at < len(steps))
    steps[at[inside]] = table["at_step"].to_numpy()[places][inside]
    levels[at[inside]] = table["level"].to_numpy()[places][inside]
    if "variance" in table.column_names:
        variances[at[inside]] = table["variance"].to_numpy()[places][inside]
    return Bins(steps, levels, variances)


def _paces(opens: Bins) -> Bins:
    """From the first step and its time in each bin; nothing is known of what comes behind the grid."""
    return paces(np.append(opens.steps, np.nan), np.append(opens.values, np.nan))


def _curve(table: pa.Table, run: int, key: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    places = _rows_of(table, run, key)
    values = table["value"].to_numpy()[places]
    finite = np.isfinite(values)
    return table["step"].to_numpy()[places][finite], values[finite]


def _clock(table: pa.Table, run: int, key: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    places = _rows_of(table, run, key)
    ts_ms = table["ts_ms"].to_numpy()[places]
    return table["step"].to_numpy()[places], (ts_ms - ts_ms[:1]) / 1000


def _rows_of(table: pa.Table, run: int, key: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    return np.flatnonzero((table["run"].to_numpy() == np.uint64(run)) & (table["key"].to_numpy() == np.uint64(key)))


def _often_nonfinite(found: Sequence[Extent], members: int) -> bool:
    return sum(each.nonfinite > 0 for each in found) >= max(2, NONFINITE_SHARE * members)
