"""What the settings do: parallel coordinates of some runs, and which settings go with a metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from runtide_dashboard import data, importance, url
from runtide_dashboard.differences import best_of, goal_of, winner
from runtide_dashboard.importance import Setting
from runtide_dashboard.records import Floats, Run, Summary

AXES_MAX = 8
CHART_PX = 320
ROW_PX = 34
CONTENT_ROWS = 15
NAME_CHARS = 28
AMONG = {"compared": "The runs above", "project": "All runs of the project"}


def show(project: str, refs: tuple[str, ...], metrics: Sequence[str]) -> None:
    """The section, closed at first: while it is closed nothing is asked. Raises `StorageError`."""
    st.subheader("What the settings do", anchor=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        among = st.pills(
            "Runs", list(AMONG), key=url.widget("among", url.one_of("among", AMONG, "") or None),
            on_change=url.taken("among"), format_func=AMONG.__getitem__, label_visibility="collapsed",
        )  # fmt: skip
        if among is None:
            st.caption("Choose among which runs to look.", width="content")
            return
        target = url.one_of("target", metrics, metrics[0])
        st.selectbox(
            "Metric", list(metrics), key=url.widget("target", target), on_change=url.taken("target"), width=260,
            label_visibility="collapsed",
        )  # fmt: skip
    runs = list(data.runs(project).runs) if among == "project" else data.find(refs, ())[0]
    asked = tuple(run.ref for run in runs)
    summaries = data.summaries(asked, (target,))
    configs = data.values(asked, "config")
    reached, goal = _reached(runs, target, summaries)
    best = winner([float(value) for value in reached], goal)
    found = importance.settings([configs.get(run.ref, {}) for run in runs], reached, best)
    if not found:
        st.caption("No setting differs between runs that have this metric.")
        return
    title = f"{'lowest' if goal == 'minimize' else 'highest' if goal else 'last'} {target}"
    _chart(runs, found[:AXES_MAX], reached, title, goal)
    _table(found)
    _words(found)


def _reached(runs: Sequence[Run], metric: str, summaries: Any) -> tuple[Floats, Any]:
    """What each run reached: its best where it is known what is better, else its last; NaN without."""
    of_runs: list[Summary | None] = [summaries.get((run.ref, metric)) for run in runs]
    goal = goal_of(metric, next((one.goal for one in of_runs if one and one.goal), None))
    values = [
        np.nan if one is None else one.last if goal is None
        else best_of(goal, (one.min, one.min_step), (one.max, one.max_step))[0]
        for one in of_runs
    ]  # fmt: skip
    return np.array([np.nan if value is None else value for value in values], np.float64), goal


def _chart(runs: Sequence[Run], found: Sequence[Setting], reached: Floats, target: str, goal: str | None) -> None:
    places, low, high = importance.axis(reached)
    axes = [*((one.name, one.places, one.low, one.high) for one in found), (target, places, low, high)]
    order = [f"{number:02d}" for number in range(len(axes))]
    rows = [
        {
            "run": run.name,
            "line": run.ref,
            "axis": order[number],
            "at": float(at[index]),
            "reached": float(reached[index]),
        }
        for index, run in enumerate(runs)
        if np.isfinite(reached[index])
        for number, (_, at, _, _) in enumerate(axes)
        if np.isfinite(at[index])
    ]
    ends = pd.DataFrame(
        [
            {"axis": order[number], "at": end, "word": _short(word)}
            for number, (_, _, low, high) in enumerate(axes)
            for end, word in ((-0.06, low), (1.06, high))
        ]
    )
    titles = pd.DataFrame(
        [{"axis": order[number], "at": 1.16, "word": _short(axes[number][0])} for number in range(len(axes))]
    )
    x = alt.X("axis:O", sort=order, axis=alt.Axis(labels=False, ticks=False, title=None, grid=True, domain=False))
    y = alt.Y("at:Q", axis=None, scale=alt.Scale(domain=[-0.1, 1.2]))
    scheme = alt.Scale(scheme="viridis", reverse=goal == "minimize")
    lines = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(opacity=0.6, strokeWidth=1.6)
        .encode(
            x=x, y=y, detail="line:N", color=alt.Color("reached:Q", scale=scheme, title=None),
            tooltip=[alt.Tooltip("run:N", title="Run"), alt.Tooltip("reached:Q", title="Reached", format=".5g")],
        )
    )  # fmt: skip
    words = alt.Chart(ends).mark_text(fontSize=11, color="gray").encode(x=x, y=y, text="word:N")
    heads = alt.Chart(titles).mark_text(fontSize=11, fontWeight="bold", color="gray").encode(x=x, y=y, text="word:N")
    st.altair_chart(
        alt.layer(lines, words, heads).properties(height=CHART_PX), key="parallel",
        alt=f"Parallel coordinates: a line for each run over {len(found)} settings and what it reached",
    )  # fmt: skip


def _short(word: str) -> str:
    """A long name keeps its end, which tells it apart."""
    return word if len(word) <= NAME_CHARS else f"…{word[1 - NAME_CHARS :]}"


def _table(found: Sequence[Setting]) -> None:
    column = st.column_config
    st.dataframe(
        pd.DataFrame(
            {
                "name": [one.name for one in found],
                "importance": [one.importance for one in found],
                "direction": [{1: "↗ grows with it", -1: "↘ falls with it"}.get(one.direction, "–") for one in found],
                "runs": [one.runs for one in found],
                "best": [one.best for one in found],
            }
        ),
        hide_index=True, row_height=ROW_PX, placeholder="–", key="importance",
        height="content" if len(found) <= CONTENT_ROWS else ROW_PX * CONTENT_ROWS,
        alt="How strongly each setting goes with the metric",
        column_config={
            "name": column.TextColumn("Setting", width=240),
            "importance": column.ProgressColumn("Goes with the metric", min_value=0, max_value=1, format="%.2f"),
            "direction": column.TextColumn("The metric", width=150),
            "runs": column.NumberColumn("Runs", width=80),
            "best": column.TextColumn("In the best run", width=200),
        },
    )  # fmt: skip


def _words(found: Sequence[Setting]) -> None:
    if all(one.importance is None for one in found):
        st.caption(f"How strongly a setting goes with the metric is told from {importance.RUNS_MIN} runs on.")
        return
    st.caption(
        "Rank correlation of numbers, correlation ratio of the rest: 0 nothing, 1 all of the order. It is association, "
        "not cause, and settings that were changed together can't be told apart."
    )
