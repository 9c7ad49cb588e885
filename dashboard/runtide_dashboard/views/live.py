"""Live: what runs now, how it is, and what was found in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import streamlit as st

from runtide_dashboard import alerts, data, formats, header, live, metrics, selection, states, table, url
from runtide_dashboard.names import plain
from runtide_dashboard.records import Alert, Run
from runtide_storage.errors import StorageError

REFRESH_S = 2
ROWS_MAX = 200
CONTENT_ROWS = 16  # a longer table scrolls inside itself
ROW_PX = 36
ALERTS_SHOWN = 10


def page() -> None:
    url.enter("live")
    try:
        project = header.project()
        names = metrics.ordered(data.metric_names(project)) if project else []
    except StorageError as error:
        states.storage_failed(error)
        return
    if project is None:
        states.no_runs()
        return
    chosen = url.text("live_metric") or next(iter(names), "")
    st.selectbox(
        "Metric", list(dict.fromkeys([chosen, *names])), key=url.widget("live_metric", chosen),
        on_change=url.taken("live_metric"), label_visibility="collapsed", width=300, icon=":material/query_stats:",
    )  # fmt: skip
    st.fragment(_now, run_every=REFRESH_S)(project, chosen)


def _now(project: str, metric: str) -> None:
    now = datetime.now(UTC)
    try:
        found = live.current(data.going_on(project), now)
        shown = found[:ROWS_MAX]
        refs = tuple(run.ref for run in shown)
        summaries = data.summaries(refs, (metric,)) if metric else {}
        sparks = data.sparklines(refs, metric) if metric else {}
        fresh = live.fresh(data.alerts(project), now)
        points_per_s = data.pipeline().points_per_s
        last = None if found else next(iter(data.runs(project).runs), None)
    except StorageError as error:
        states.storage_failed(error)
        return
    stalled = sum(run.state == "stalled" for run in found)
    with st.grid(4):
        st.metric("Running", f"{sum(run.live for run in found):,}", border=True)
        st.metric("Stalled", f"{stalled:,}", border=True, help="They run, but make no progress")
        st.metric("Points a second", formats.number(round(points_per_s or 0)), border=True, help="Of all projects")
        st.metric("Alerts", f"{len(fresh):,}", border=True, help="Of this project in the last 24 hours")
    if not shown:
        _nothing(last)
    else:
        arrow, columns = table.build(shown, [metric] if metric else [], summaries, sparks, {}, now)
        chosen = _table(arrow, columns, refs)
        _actions(project, chosen, len(found))
    _newest(fresh)


def _table(arrow: object, columns: table.Columns, refs: Sequence[str]) -> list[str]:
    """The runs that are ticked. The table knows them by position: another list is another table, ticked anew."""
    before: list[str] = st.session_state.get("_live_chosen", [])
    mounted = st.dataframe(
        arrow, key=f"live_{hash(tuple(refs)):x}", column_config=columns, hide_index=True, on_select="rerun",
        selection_mode="multi-row", row_height=ROW_PX, placeholder="–",
        selection_default={"selection": {"rows": selection.places(before, refs)}},
        height="content" if len(refs) <= CONTENT_ROWS else ROW_PX * CONTENT_ROWS,
        alt=f"{formats.count(len(refs), 'run')} that go on or ended just now",
    )  # fmt: skip
    chosen = selection.chosen(mounted["selection"]["rows"], refs)
    st.session_state._live_chosen = chosen
    return chosen


def _actions(project: str, chosen: Sequence[str], total: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if chosen and st.button(
            f"Compare {formats.count(len(chosen), 'run')}", type="primary", icon=":material/show_chart:"
        ):
            refs = chosen[: data.RUNS_MAX]
            st.switch_page("views/compare.py", query_params={"project": project, "runs": url.joined(refs, project)})
        words = "" if chosen else "Tick runs to compare them · "
        if len(chosen) > data.RUNS_MAX:
            words = f"Only {data.RUNS_MAX} of them are compared: more curves can't be told apart · "
        cut = f" · the newest {ROWS_MAX} of {total:,}" if total > ROWS_MAX else ""
        st.caption(f"{words}running, and ended or silent since less than ten minutes{cut}", width="content")


def _nothing(last: Run | None) -> None:
    words = f" The last run, {plain(last.name)}, started {formats.ago(last.started_at)}." if last else ""
    st.info(f"Nothing runs now.{words} A run that starts appears here by itself.", icon=":material/hourglass_empty:")


def _newest(found: Sequence[Alert]) -> None:
    if not found:
        return
    st.subheader("Newest alerts", anchor=False)
    for alert in found[:ALERTS_SHOWN]:
        sign = alerts.label(alerts.SEVERITIES, alert.severity)
        st.page_link(
            "views/alerts.py", label=f"{sign} · {plain(alert.title)} · {plain(alert.run)} · {formats.ago(alert.ts)}",
            query_params={"project": alert.project, "alert": alert.id},
        )  # fmt: skip


page()
