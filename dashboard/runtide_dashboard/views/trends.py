"""Trends: what the runs of a family came to, one after the other, and where that changed for good."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd
import streamlit as st

from runtide_dashboard import data, formats, header, states, trends, url
from runtide_dashboard.names import plain
from runtide_storage.errors import StorageError
from runtide_storage.regressions import RUNS_MIN, By, History, commit, values

REFRESH_S = 30
CHART_PX = 320
BY = {"final": "Final value", "best": "Best value"}


def page() -> None:
    url.enter("trends")
    st.fragment(_page, run_every=REFRESH_S)()


def _page() -> None:
    by: By = "best" if url.text("by") == "best" else "final"
    try:
        project = header.project()
        found = trends.ordered(data.histories(project, by)) if project else []
    except StorageError as error:
        states.storage_failed(error)
        return
    if project is None:
        states.no_runs()
        return
    if not found:
        st.info(
            f"No finished run of {plain(project)} belongs to a family yet. A worker gives each run its family: runs of "
            "the same group and job type whose settings are much the same.",
            icon=":material/timeline:",
        )
        return
    by_id = {each.rows[0]["family"]: each for each in found}
    with st.container(horizontal=True, vertical_alignment="center"):
        chosen = st.selectbox(
            "Family", list(by_id), key=url.widget("family", url.one_of("family", by_id, next(iter(by_id)))),
            on_change=url.taken("family"), format_func=lambda id_: trends.title(by_id[id_]) if id_ in by_id else id_,
            label_visibility="collapsed", width=640,
        )  # fmt: skip
        st.segmented_control(
            "Which value", list(BY), key=url.widget("by", by), on_change=url.taken("by", default="final"),
            required=True, format_func=BY.__getitem__, label_visibility="collapsed",
        )  # fmt: skip
    _family(by_id[chosen])


def _family(history: History) -> None:
    first = history.rows[0]
    goal = f", to {history.goal}" if history.goal else ", no goal known"
    with st.container(horizontal=True, vertical_alignment="center"):
        word, colour = trends.state(history)
        st.badge(word, color=colour)  # type: ignore[arg-type]
        st.caption(
            f"{plain(first['metric'])}{goal} · {formats.count(len(history.rows), 'finished run')}", width="content"
        )
    reached = values(history.rows, history.by)
    if not any(map(math.isfinite, reached)):
        st.info(
            "None of them has a finite value. Without a goal there is no best value: `define_metric(goal=…)`.",
            icon=":material/timeline:",
        )
        return
    st.altair_chart(_chart(history, reached), alt=f"{BY[history.by]} of each run, the oldest first, and its level")
    _changes(history)
    if history.suspect:
        run = history.suspect.first_after
        st.warning(
            f"Suspected: {plain(run['run'])} is {trends.size(history.suspect)} against the runs before it. "
            "A few more runs of its commit will tell.",
            icon=":material/help:",
        )


def _chart(history: History, reached: Sequence[float]) -> alt.LayerChart | alt.FacetChart:
    """A point for each run, and the level of its stretch as a line. Not from zero: half a percent is to be seen."""
    frame = pd.DataFrame(
        {
            "number": range(1, len(reached) + 1),
            "run": [str(row["run"]) for row in history.rows],
            "value": [value if math.isfinite(value) else None for value in reached],
            "level": trends.levels(history),
            "commit": [commit(row) or "unknown" for row in history.rows],
        }
    )
    x = alt.X("number:Q", title="Runs, the oldest first", axis=alt.Axis(tickMinStep=1, format="d"))
    scale = alt.Scale(zero=False)
    about = [alt.Tooltip("run:N"), alt.Tooltip("value:Q", format=".6g"), alt.Tooltip("commit:N")]
    base = alt.Chart(frame).encode(x=x).properties(height=CHART_PX)
    level = base.mark_line(interpolate="step", strokeWidth=2, opacity=0.6).encode(
        y=alt.Y("level:Q", scale=scale, title=BY[history.by])
    )
    return alt.layer(
        level, base.mark_point(filled=True, size=60).encode(y=alt.Y("value:Q", scale=scale), tooltip=about)
    )


def _changes(history: History) -> None:
    if not history.changes:
        short = f" At least {RUNS_MIN} runs with a value are needed." if history.known < RUNS_MIN else ""
        st.caption(f"No change of level.{short}")
        return
    st.subheader("Changes of level, the newest first", anchor=False)
    rows = [trends.row(found) for found in reversed(history.changes)]
    selection = st.dataframe(
        rows, hide_index=True, key=f"changes_{history.rows[0]['family']}", on_select="rerun",
        selection_mode="single-row", alt="When the level changed, by how much, and between which commits",
        column_config={
            "since": st.column_config.DatetimeColumn("Since", format="localized"),
            "change": "Change", "before": st.column_config.NumberColumn("From", format="%.5g"),
            "after": st.column_config.NumberColumn("To", format="%.5g"), "run": "First run", "commits": "Commits",
            "runs_before": "Runs before", "runs_after": "Runs since",
        },
    )  # fmt: skip
    _links(history, selection["selection"]["rows"])


def _links(history: History, ticked: Sequence[int]) -> None:
    place = ticked[0] if ticked and ticked[0] < len(history.changes) else 0
    change = history.changes[len(history.changes) - 1 - place]
    before, after = change.last_before, change.first_after
    st.page_link(
        "views/compare.py", icon=":material/show_chart:",
        label=f"Compare {plain(after['run'])} with {plain(before['run'])}, the last run before it",
        query_params={"project": after["project"], "runs": f"{after['run_id']},{before['run_id']}"},
    )  # fmt: skip


page()
