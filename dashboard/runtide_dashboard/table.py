"""The runs table as Arrow columns and what Streamlit needs to know of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import streamlit as st

from runtide_dashboard import status
from runtide_dashboard.differences import best_of, goal_of
from runtide_dashboard.records import Run, Summary

Columns = dict[str, Any]

UNPINNED_METRICS_MAX = 4  # with more columns the table scrolls sideways, and its first column must stay in sight

_FILTER = re.compile(r'[<>=~]|\bin\s*\(|\bis\s+(not\s+)?null\b|\b(has|like)\s*["\']', re.IGNORECASE)
_VERDICTS = {"better": "▲ better", "same": "= same", "worse": "▼ worse"}


def is_filter(text: str) -> bool:
    """Whether it is meant in the filter language (docs/filters.md), and not as words to look for."""
    return _FILTER.search(text) is not None


def matches(run: Run, words: str) -> bool:
    """Whether every word occurs in the run's name, id, group, tags, host or state, whatever its case."""
    hay = "\n".join((run.name, run.id, run.group, run.host, status.label(run.state), *run.tags)).casefold()
    return all(word in hay for word in words.casefold().split())


def build(
    runs: Sequence[Run],
    metrics: Sequence[str],
    summaries: Mapping[tuple[str, str], Summary],
    sparks: Mapping[str, Sequence[float]],
    verdicts: Mapping[str, str],
    now: datetime,
) -> tuple[pa.Table, Columns]:
    """The table and its column configuration: one row per run, in the order given; sparklines are of the first metric.

    A column's key is its position, because metric names may be anything.
    """
    column = st.column_config
    data: dict[str, pa.Array] = {
        "run": pa.array([run.name for run in runs], pa.string()),
        "status": pa.array([[status.label(run.state)] for run in runs], pa.list_(pa.string())),
    }
    shape: Columns = {
        "run": column.TextColumn("Run", pinned=len(metrics) > UNPINNED_METRICS_MAX, width=210),
        "status": column.MultiselectColumn(
            "Status",
            width=118,
            options=[status.label(state) for state in status.STATES],
            color=[status.colour(state) for state in status.STATES],
        ),
    }
    if any(run.ref in verdicts for run in runs):
        said = [verdicts.get(run.ref) for run in runs]
        data["verdict"] = pa.array([_VERDICTS.get(one, one) if one else None for one in said], pa.string())
        shape["verdict"] = column.TextColumn("Verdict", width=96, help="Against the baseline of its family")
    if metrics:
        data["spark"] = pa.array([_spark(sparks.get(run.ref)) for run in runs], pa.list_(pa.float64()))
        shape["spark"] = column.LineChartColumn(_title(metrics[0]), width=130)
    for index, metric in enumerate(metrics):
        found = [summaries.get((run.ref, metric)) for run in runs]
        data[f"last{index}"] = pa.array([one.last if one else None for one in found], pa.float64())
        shape[f"last{index}"] = column.NumberColumn(f"{_title(metric)}, last", format="%.5g")
        goal = goal_of(metric, next((one.goal for one in found if one and one.goal), None))
        if goal:
            best = [best_of(goal, (o.min, o.min_step), (o.max, o.max_step))[0] if o else None for o in found]
            data[f"best{index}"] = pa.array(best, pa.float64())
            shape[f"best{index}"] = column.NumberColumn("lowest" if goal == "minimize" else "highest", format="%.5g")
    steps = [max((s.last_step for m in metrics if (s := summaries.get((run.ref, m)))), default=None) for run in runs]
    data["step"] = pa.array(steps, pa.int64())
    shape["step"] = column.NumberColumn("Step", format="localized", width=84)
    data["duration"] = pa.array([round(run.seconds(now)) for run in runs], pa.duration("s"))
    shape["duration"] = column.NumberColumn("Duration", format="compact", width=84)
    if any(run.live for run in runs):
        data["seen"] = pa.array([run.seen_at for run in runs], pa.timestamp("ms", "UTC"))
        shape["seen"] = column.DatetimeColumn("Last heard", format="distance", width=112)
    data["started"] = pa.array([run.started_at for run in runs], pa.timestamp("ms", "UTC"))
    shape["started"] = column.DatetimeColumn("Started", format="distance", width=112)
    if any(run.host for run in runs):
        data["host"] = pa.array([run.host for run in runs], pa.string())
        shape["host"] = column.TextColumn("Host", width=110)
    if any(run.group for run in runs):
        data["group"] = pa.array([run.group for run in runs], pa.string())
        shape["group"] = column.TextColumn("Group", width=110)
    if any(run.tags for run in runs):
        data["tags"] = pa.array([list(run.tags) for run in runs], pa.list_(pa.string()))
        shape["tags"] = column.ListColumn("Tags")
    data["id"] = pa.array([run.id for run in runs], pa.string())
    shape["id"] = column.TextColumn("Id", width=130)
    return pa.table(data), shape


def _spark(values: Sequence[float] | None) -> list[float] | None:
    """None rather than a flat line where there is nothing to draw."""
    return list(values) if values is not None and len(values) > 1 else None


def _title(metric: str) -> str:
    """A long name keeps its end, which tells it apart."""
    return metric if len(metric) <= 28 else f"…{metric[-27:]}"
