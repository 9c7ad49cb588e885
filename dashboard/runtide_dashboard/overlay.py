"""Curves of some runs over each other: read, and packed for the component. What Compare and Alerts have in common."""

from __future__ import annotations

from runtide_dashboard import comparison, data, history
from runtide_dashboard.comparison import Look
from runtide_dashboard.records import Run


def overlay(
    refs: tuple[str, ...], metric_names: tuple[str, ...], look: Look, window: tuple[float, float] | None
) -> tuple[bytes, list[Run]]:
    """The component's payload, a panel per metric, and the runs as they are now. Raises `StorageError`."""
    runs, _ = data.find(refs, ())
    along = (look.x_metric,) if look.x == "metric" else ()
    summaries = data.summaries(refs, tuple(dict.fromkeys((*metric_names, *along))))
    full = comparison.full_range(runs, metric_names, summaries, look)
    wide = comparison.asked_window(look, full, window, comparison.spacing(summaries, look))
    widened = (wide[1] - wide[0]) / (window[1] - window[0]) if wide and window else 1.0
    points = history.points_for(len(refs), len(metric_names), widened)
    found = data.curves(refs, metric_names, look.x_metric or look.x, wide, points)
    return comparison.payload(runs, metric_names, found, look, full, window), runs
