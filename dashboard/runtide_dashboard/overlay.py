"""Curves of some runs over each other: read, and packed for the component. What Compare and Alerts have in common."""

from __future__ import annotations

from runtide_dashboard import baselines, comparison, data, history
from runtide_dashboard.asking import together
from runtide_dashboard.baselines import NOTHING, Baseline
from runtide_dashboard.comparison import Look
from runtide_dashboard.records import Run


def overlay(
    refs: tuple[str, ...],
    metric_names: tuple[str, ...],
    look: Look,
    window: tuple[float, float] | None,
    *,
    base: str | None = None,
) -> tuple[bytes, list[Run]]:
    """The component's payload, a panel per metric, and the runs as they are now. Raises `StorageError`.

    `base`: the run whose baseline is drawn under the curves, or another's if it has none; None: no baseline.
    """
    along = (look.x_metric,) if look.x == "metric" else ()
    needed = tuple(dict.fromkeys((*metric_names, *along)))
    (runs, _), summaries = together(lambda: data.find(refs, ()), lambda: data.summaries(refs, needed))
    full = comparison.full_range(runs, metric_names, summaries, look)
    wide = comparison.asked_window(look, full, window, comparison.spacing(summaries, look))
    widened = (wide[1] - wide[0]) / (window[1] - window[0]) if wide and window else 1.0
    points = history.points_for(len(refs), len(metric_names), widened)
    found, baseline = together(
        lambda: data.curves(refs, metric_names, look.x_metric or look.x, wide, points),
        lambda: NOTHING if base is None else _baseline(base, refs, metric_names, look, window),
    )
    return comparison.payload(runs, metric_names, found, look, full, window, baseline), runs


def _baseline(
    base: str, refs: tuple[str, ...], metric_names: tuple[str, ...], look: Look, window: tuple[float, float] | None
) -> Baseline:
    if look.x == "time":
        return NOTHING  # earlier runs lie elsewhere on the clock
    members = baselines.members(tuple(dict.fromkeys((base, *refs))))
    x = look.x_metric or look.x
    bands = {metric: baselines.band(members, metric, x, window) for metric in metric_names} if members else {}
    left = baselines.departures(refs, metric_names) if look.x == "step" else {}
    return Baseline(members, {metric: found for metric, found in bands.items() if found}, left)
