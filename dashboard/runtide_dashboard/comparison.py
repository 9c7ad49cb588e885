"""From runs and their curves to what the compare page shows: panels, words, and tables. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtide_dashboard import formats, names, palette
from runtide_dashboard.baselines import NOTHING, Baseline
from runtide_dashboard.curves import Axis, Panel, RunLabel, Series, XKind, encode, within
from runtide_dashboard.differences import ABSENT, best_of, goal_of, winner
from runtide_dashboard.records import Curve, Run, Summary
from runtide_dashboard.smoothing import smooth
from runtide_storage.differences import differing, shown

LEFT_SHOWN_MAX = 4  # departures told in words
BANDS_RUNS_MAX = 12  # beyond that bands only cover each other
SMOOTHING_SPAN_MAX = 0.2  # of the x axis, at the slider's end
BEYOND_MAX = 2.0  # windows that are asked for on each side of the one that is shown
SMOOTHING_MEMORY = 4  # spans: what lies farther back weighs less than 2 %

Curves = Mapping[str, Mapping[str, Curve]]  # metric -> run's ref -> curve


@dataclass(frozen=True, slots=True)
class Look:
    """How the reader wants it: all of it is in the address."""

    x: XKind = "step"
    x_metric: str = ""  # what the curves are drawn along, if `x` is "metric"
    smoothing: int = 0  # 0-100
    log_x: bool = False
    log_y: bool = False


def labels(runs: Sequence[Run]) -> list[RunLabel]:
    """One per run: distinct names, shortened by what they share, and a style that stays with the run."""
    full = names.distinct([run.name for run in runs], [run.id for run in runs])
    style = palette.styles({run.ref: run.rank for run in runs})
    return [
        RunLabel(run.ref, run.id, name, short, style[run.ref], "running" if run.live else run.state)
        for run, name, short in zip(runs, full, names.shorten(full), strict=True)
    ]


def smoothing_span(level: int, full: tuple[float, float]) -> float:
    """Units of x that the slider's `level` means. It refers to the whole axis, so zooming does not change the curve."""
    return (full[1] - full[0]) * SMOOTHING_SPAN_MAX * (level / 100) ** 2


def full_range(
    runs: Sequence[Run], metrics: Sequence[str], summaries: Mapping[tuple[str, str], Summary], look: Look
) -> tuple[float, float]:
    """From the first to the last point of all these curves, in units of the axis."""
    edges: list[float] = []
    x = look.x
    for run in runs:
        if x == "metric":
            axis = summaries.get((run.ref, look.x_metric))
            edges += [edge for edge in (axis.min, axis.max) if np.isfinite(edge)] if axis else []
            continue
        zero = run.started_at.timestamp() * 1000 if x == "relative" else 0.0
        for metric in metrics:
            one = summaries.get((run.ref, metric))
            if one is not None:
                edges += (one.first_step, one.last_step) if x == "step" else (one.first_ms - zero, one.last_ms - zero)
    if not edges:
        return 0.0, 1.0
    lo, hi = float(min(edges)), float(max(edges))
    return (lo, hi) if lo < hi else (lo, lo + 1)


def payload(
    runs: Sequence[Run], metrics: Sequence[str], found: Curves, look: Look, full: tuple[float, float],
    window: tuple[float, float] | None, baseline: Baseline = NOTHING,
) -> bytes:  # fmt: skip
    """The component's payload. `full`: the range of all curves; `window`: the part that is shown, None for all."""
    span = smoothing_span(look.smoothing, full)
    bands = len(runs) <= BANDS_RUNS_MAX
    panels = []
    for metric in metrics:
        series = []
        for index, run in enumerate(runs):
            curve = found.get(metric, {}).get(run.ref)
            if curve is None or not len(curve.x):
                continue
            smoothed = smooth(curve.x, curve.mean, span) if span > 0 else None
            seen = within(curve.x, window) if window else slice(None)
            lo, hi = (curve.lo, curve.hi) if bands and smoothed is None else (None, None)
            series.append(
                Series(
                    index,
                    curve.x[seen],
                    curve.mean[seen],
                    None if lo is None else lo[seen],
                    None if hi is None else hi[seen],
                    None if smoothed is None else smoothed[seen],
                    curve.marks,
                    baseline.left.get((run.ref, metric)),
                )
            )
        panels.append(Panel(metric, series, look.log_y, baseline.bands.get(metric)))
    axis = Axis(look.x, window or full, full, log=look.log_x and look.x != "time", name=look.x_metric)
    said = caption(runs, found, look)
    return encode(axis, labels(runs), panels, " · ".join([said, *_of_baseline(runs, baseline)]))


def _of_baseline(runs: Sequence[Run], baseline: Baseline) -> list[str]:
    """What the band under the curves and the rings on them mean, in words."""
    words = []
    if baseline.bands:
        words.append(f"grey: 10 to 90 % of {formats.count(len(baseline.runs), 'baseline run')}")
    full = names.distinct([run.name for run in runs], [run.id for run in runs])
    left = [
        f"{name} at step {round(step):,} in {metric}"
        for run, name in zip(runs, full, strict=True)
        for (ref, metric), step in baseline.left.items()
        if ref == run.ref
    ]
    more = f" and {len(left) - LEFT_SHOWN_MAX} more" if len(left) > LEFT_SHOWN_MAX else ""
    if left:
        words.append(f"left its baseline: {', '.join(left[:LEFT_SHOWN_MAX])}{more}")
    return words


def asked_window(
    look: Look, full: tuple[float, float], window: tuple[float, float] | None, spacing: float = 0.0
) -> tuple[float, float] | None:
    """What to ask for to show `window`: a line that crosses its edges needs the points beyond them, `spacing` away, and
    a smoothed one depends on what came before.
    """
    if window is None:
        return None
    beyond = min(spacing, BEYOND_MAX * (window[1] - window[0]))
    before = SMOOTHING_MEMORY * smoothing_span(look.smoothing, full)
    return max(full[0], window[0] - max(beyond, before)), min(full[1], window[1] + beyond)


def spacing(summaries: Mapping[tuple[str, str], Summary], look: Look) -> float:
    """How far two points of the sparsest curve are from each other, on average."""
    gaps = [
        _extent(one, look.x) / (one.n - 1)
        for (_, metric), one in summaries.items()
        if one.n > 1 and (look.x != "metric" or metric == look.x_metric)
    ]
    return 1.5 * max((gap for gap in gaps if np.isfinite(gap)), default=0.0)


def _extent(summary: Summary, x: XKind) -> float:
    """How long a curve is along the axis; along a metric, that metric's own range."""
    if x == "step":
        return summary.last_step - summary.first_step
    return summary.max - summary.min if x == "metric" else summary.last_ms - summary.first_ms


def caption(runs: Sequence[Run], found: Curves, look: Look) -> str:
    """How faithfully the curves show what was logged. The browser puts the range before it, in the reader's time."""
    parts = [formats.count(len(runs), "run")]
    drawn = [curve for by_run in found.values() for curve in by_run.values() if len(curve.x)]
    if not drawn:
        return " · ".join(parts)
    if all(curve.lo is None for curve in drawn):
        parts.append("every point")
    else:
        width = _bucket_words(look, drawn)
        parts.append(
            f"mean of {width}"
            + ("" if len(runs) > BANDS_RUNS_MAX or look.smoothing else ", band from lowest to highest")
        )
    if look.smoothing:
        parts.append(f"smoothed by {look.smoothing} (the faint line is the measured one)")
    marked = sum(len(curve.marks) for curve in drawn)
    if marked:
        parts.append(f"NaN or infinite at {formats.count(marked, 'marked place')}")
    return " · ".join(parts)


def _bucket_words(look: Look, drawn: Sequence[Curve]) -> str:
    widths = [float(np.median(np.diff(curve.x))) for curve in drawn if curve.lo is not None and len(curve.x) > 1]
    width = float(np.median(widths)) if widths else 0.0
    if look.x == "step":
        return f"about {formats.count(max(1, round(width)), 'step')} each"
    if look.x == "metric":
        return f"about {formats.number(width)} of {look.x_metric} each"
    return f"about {formats.duration(width / 1000)} each"


@dataclass(frozen=True, slots=True)
class Row:
    """What one run reached: per metric (last, best, step of the best, change against the base in %)."""

    run: Run
    name: str
    cells: Sequence[tuple[float | None, float | None, int | None, float | None]]


@dataclass(frozen=True, slots=True)
class Results:
    """The table of what was reached. `goals` and `winners` per metric: the row that is best, None if none is."""

    metrics: Sequence[str]
    goals: Sequence[str | None]
    winners: Sequence[int | None]
    rows: Sequence[Row]


def results(
    runs: Sequence[Run], metrics: Sequence[str], summaries: Mapping[tuple[str, str], Summary], base: str | None
) -> Results:
    """What each run reached in each metric, and how far that is from run `base`."""
    full = names.distinct([run.name for run in runs], [run.id for run in runs])
    goals = []
    columns: list[list[tuple[float | None, float | None, int | None, float | None]]] = []
    for metric in metrics:
        of_runs = [summaries.get((run.ref, metric)) for run in runs]
        goal = goal_of(metric, next((one.goal for one in of_runs if one and one.goal), None))
        best = [
            best_of(goal, (one.min, one.min_step), (one.max, one.max_step)) if one else (None, None) for one in of_runs
        ]
        decisive = [value if goal else one.last if one else None for one, (value, _) in zip(of_runs, best, strict=True)]
        reference = next((value for run, value in zip(runs, decisive, strict=True) if run.ref == base), None)
        goals.append(goal)
        columns.append(
            [
                (one.last if one else None, value, step, _change(mine, reference) if run.ref != base else None)
                for run, one, (value, step), mine in zip(runs, of_runs, best, decisive, strict=True)
            ]
        )
    winners = [winner([cell[1] for cell in column], goal) for column, goal in zip(columns, goals, strict=True)]
    rows = [Row(run, full[i], [column[i] for column in columns]) for i, run in enumerate(runs)]
    return Results(list(metrics), goals, winners, rows)


def _change(value: float | None, reference: float | None) -> float | None:
    """In per cent of the reference."""
    if value is None or reference is None or not np.isfinite([value, reference]).all() or reference == 0:
        return None
    return (value - reference) / abs(reference) * 100


def difference_rows(runs: Sequence[Run], values: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """(name, one text per run) for what is not the same everywhere; `values`: run -> name -> value."""
    found = differing({run.ref: values.get(run.ref, {}) for run in runs})
    return [
        (name, [shown(given[run.ref]) if run.ref in given else ABSENT for run in runs]) for name, given in found.items()
    ]
