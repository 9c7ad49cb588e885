"""Alerts: what was found, the newest first, and why: the curve among its baseline, and what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from runtide_dashboard import alerts, comparison, curves, data, formats, header, overlay, responding, states, url
from runtide_dashboard.names import plain
from runtide_dashboard.records import Alert
from runtide_storage.errors import StorageError

LIVE_REFRESH_S = 2
IDLE_REFRESH_S = 10
CURVES_KEY = "alert_curves"
ROW_PX = 36
CONTENT_ROWS = 12  # a longer table scrolls inside itself


def page() -> None:
    url.enter("alerts")
    try:
        project = header.project()
    except StorageError as error:
        states.storage_failed(error)
        return
    if project is None:
        states.no_runs()
        return
    responding.muted(project)
    st.fragment(_feed, run_every=LIVE_REFRESH_S)(project)
    chosen = url.text("alert")
    if chosen:
        _explanation(project, chosen)


def _filters(listed: Sequence[Alert]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        _choice("alert_state", "State", alerts.STATES, [alert.state for alert in listed])
        _choice("severity", "Severity", alerts.SEVERITIES, [alert.severity for alert in listed])


def _choice(name: str, title: str, signs: Mapping[str, tuple[str, str]], words: Sequence[str]) -> None:
    """A filter; `words` are those of all alerts, to be counted."""

    def shown(word: str) -> str:
        return f":{alerts.colour(signs, word)}[{alerts.label(signs, word)[0]}] {word} {words.count(word):,}"

    st.pills(
        title, list(signs), key=url.widget(name, url.some_of(name, signs)), on_change=url.taken(name, default=[]),
        selection_mode="multi", label_visibility="collapsed", format_func=shown,
    )  # fmt: skip


def _feed(project: str) -> None:
    try:
        listed = data.alerts(project)
    except StorageError as error:
        states.storage_failed(error)
        return
    _filters(listed)
    wanted_states, severities = url.some_of("alert_state", alerts.STATES), url.some_of("severity", alerts.SEVERITIES)
    found = [alert for alert in listed if alerts.passes(alert, wanted_states, severities)]
    if not found:
        _nothing(project, len(listed))
        return
    _caption(found, len(listed))
    chosen = url.text("alert")
    ids = [alert.id for alert in found]
    arrow, columns = alerts.table(found)
    # Rows are chosen by position: another list is another table, in which the same alert is chosen anew.
    key = f"alerts_{hash(tuple(ids)):x}"
    selection = st.dataframe(
        arrow, key=key, column_config=columns, hide_index=True, on_select="rerun", selection_mode="single-row",
        selection_default={"selection": {"rows": [ids.index(chosen)] if chosen in ids else []}},
        height="content" if len(found) <= CONTENT_ROWS else ROW_PX * CONTENT_ROWS, row_height=ROW_PX, placeholder="–",
        alt=f"{formats.count(len(found), 'alert')} with time, severity, state, run and what was found",
    )  # fmt: skip
    rows = selection["selection"]["rows"]
    now = ids[rows[0]] if rows and rows[0] < len(ids) else ""
    if now != chosen and (now or chosen in ids):  # else the chosen one is only hidden by a filter
        url.put("alert", now or None)
        url.put("alert_zoom", None)
        st.rerun()


def _caption(found: Sequence[Alert], total: int) -> None:
    words = formats.count(len(found), "alert")
    if len(found) < total:
        words += f" of {total:,}"
    if total == data.ALERTS_MAX:
        words += f" · only the newest {total:,} are listed here"
    st.caption(f"{words} · tick one to see why")


def _nothing(project: str, total: int) -> None:
    if not total:
        st.info(
            f"No alerts in {plain(project)}. A run that gets worse than its baseline appears here within seconds.",
            icon=":material/notifications_off:",
        )
        return
    st.info(f"None of {formats.count(total, 'alert')} passes the filters.", icon=":material/filter_alt_off:")
    if st.button("Clear filters"):
        url.put("alert_state", None)
        url.put("severity", None)
        st.rerun()


def _explanation(project: str, chosen: str) -> None:
    try:
        alert = data.alert(project, chosen)
        live = alert is not None and any(run.live for run in data.find((alert.ref,), ())[0])
    except StorageError:
        return  # the feed says it
    if alert is None:
        st.warning(f"There is no alert {plain(chosen[:64])} in this project.", icon=":material/search_off:")
        return
    st.fragment(_explain, run_every=LIVE_REFRESH_S if live else IDLE_REFRESH_S)(project, alert.id)


def _explain(project: str, chosen: str) -> None:
    try:
        alert = data.alert(project, chosen)
    except StorageError:
        return
    if alert is None:
        return
    st.subheader(plain(alert.title), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        for signs, word in ((alerts.SEVERITIES, alert.severity), (alerts.STATES, alert.state)):
            st.badge(alerts.label(signs, word), color=alerts.colour(signs, word))  # type: ignore[arg-type]
        st.caption(_about(alert), width="content")
    if alert.text:
        st.markdown(plain(alert.text))
    tiles = alerts.tiles(alert)
    if tiles:
        with st.grid(len(tiles)):
            for name, value, hint in tiles:
                st.metric(name, value, border=True, help=hint)
    _curves(alert)
    _changes(alert)
    try:
        runs, _ = data.find((alert.ref,), ())
    except StorageError:
        return
    responding.show(alert, runs[0].group if runs else "")


def _about(alert: Alert) -> str:
    parts = [plain(alert.kind), f"run {plain(alert.ref)}", formats.ago(alert.ts)]
    if alert.quiet:
        parts.append("nobody was told of this one")
    if alert.state == "acknowledged":
        said = f"acknowledged by {plain(alert.who or 'somebody')}"
        parts.append(f"{said}: {plain(alert.reason)}" if alert.reason else said)
    return " · ".join(parts)


def _curves(alert: Alert) -> None:
    refs = alerts.compared(alert)
    if not alert.metric:
        return
    try:
        window = url.parse_window(url.text("alert_zoom"))
        payload, _ = overlay.overlay(refs, (alert.metric,), comparison.Look(), window)
    except StorageError as error:
        states.storage_failed(error)
        return
    curves.show(payload, key=CURVES_KEY, on_zoom=_zoomed)
    with st.container(horizontal=True):
        st.page_link(
            "views/compare.py", label="Compare in full" if len(refs) > 1 else "Look at the curve",
            icon=":material/show_chart:",
            query_params={"project": alert.project, "runs": url.joined(refs, alert.project), "metrics": alert.metric},
        )  # fmt: skip
        st.page_link(
            "views/run.py", label="Open the run", icon=":material/science:",
            query_params={"project": alert.project, "run": alert.run_id},
        )  # fmt: skip


def _zoomed() -> None:
    url.put("alert_zoom", url.window_text(curves.asked_window(CURVES_KEY)))


def _changes(alert: Alert) -> None:
    rows = alerts.changed(alert)
    nearest = str(alert.detail.get("nearest") or "")
    if not rows:
        if nearest:
            st.caption(f"Nothing that was recorded changed against {plain(nearest)}, the nearest run of the baseline.")
        return
    st.markdown(f"**What changed** against {plain(nearest) or 'the baseline'}")
    st.dataframe(
        [{"what": what, "there": there, "here": here} for what, there, here in rows],
        hide_index=True, key="alert_changes", alt="What changed against the nearest run of the baseline",
        column_config={
            "what": st.column_config.TextColumn("What", width=300),
            "there": st.column_config.TextColumn("There", width=260),
            "here": st.column_config.TextColumn("In this run", width=260),
        },
    )  # fmt: skip


page()
