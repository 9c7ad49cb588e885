"""Run: everything of one run. Only the part that is looked at is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import streamlit as st

from runtide_dashboard import (
    comparison,
    curves,
    data,
    formats,
    header,
    lineage_part,
    metrics,
    notebook,
    overlay,
    states,
    status,
    url,
)
from runtide_dashboard.names import plain
from runtide_dashboard.records import Run
from runtide_storage.errors import StorageError
from runtide_storage.recipe import recipe

REFRESH_S = 2
CURVES_KEY = "run_curves"
ROW_PX = 34
CONTENT_ROWS = 20  # a longer table scrolls inside itself
DIFF_PX = 480
SUMMARY_MAX = 200  # metrics in the summary
SHOWN_APART = ("git/diff", "packages", "argv")  # of the capture: too long for a cell


def page() -> None:
    url.enter("run")
    try:
        project = header.project()
        listed = data.runs(project).runs if project else ()
        if project is None or not listed:
            states.no_runs()
            return
        asked = url.text("run")
        ref = (url.parse_refs([asked], project) or [""])[0] if asked else listed[0].ref
        found, _ = data.find((ref,), listed)
    except StorageError as error:
        states.storage_failed(error)
        return
    _choose(project, listed, ref)
    if not found:
        st.warning(f"There is no run {plain(asked[:200])} here.", icon=":material/search_off:")
        return
    section = st.segmented_control(
        "Part", list(PARTS), key=url.widget("section", url.one_of("section", PARTS, "curves")), required=True,
        on_change=url.taken("section", default="curves"), format_func=str.capitalize, label_visibility="collapsed",
    )  # fmt: skip
    st.fragment(_part, run_every=REFRESH_S if found[0].live else None)(ref, section or "curves", found[0].live)


def _choose(project: str, listed: Sequence[Run], ref: str) -> None:
    known = {run.ref: run for run in listed}

    def take() -> None:
        url.put("run", st.session_state._run.removeprefix(f"{project}/"))
        url.put("run_zoom", None)

    def label(ref: str) -> str:
        run = known.get(ref)
        return ref if run is None else run.name if run.name == run.id else f"{run.name}  ·  {run.id}"

    st.selectbox(
        "Run", list(dict.fromkeys([ref, *known])), key=url.widget("run", ref), on_change=take, format_func=label,
        label_visibility="collapsed", width=560, icon=":material/science:",
    )  # fmt: skip


def _part(ref: str, section: str, was_live: bool) -> None:
    try:
        [run], _ = data.find((ref,), ())
        _head(run)
        PARTS[section](run)
    except StorageError as error:
        states.storage_failed(error)
        return
    if run.live != was_live:
        st.rerun()  # begin or end following


def _head(run: Run) -> None:
    parts = [f"started {formats.ago(run.started_at)}", f"ran {formats.duration(run.seconds(datetime.now(UTC)))}"]
    parts += [f"on {plain(run.host)}"] if run.host else []
    parts += [f"group {plain(run.group)}"] if run.group else []
    parts += [formats.count(run.attempt, "attempt")] if run.attempt > 1 else []
    parts += [plain(", ".join(run.tags))] if run.tags else []
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(status.label(run.state), color=status.colour(run.state))  # type: ignore[arg-type]
        st.caption(" · ".join(parts), width="content")
        st.page_link(
            "views/compare.py", label="Compare", icon=":material/show_chart:",
            query_params={"project": run.project, "runs": run.id},
        )  # fmt: skip


def _model_curves(run: Run) -> None:
    offered = [name for name in data.metrics_of((run.ref,)) if not name.startswith("system/")]
    _curves(run, metrics.ordered(offered), "It has not logged a metric yet. As soon as it does, it is drawn here.")


def _system(run: Run) -> None:
    offered = [name for name in data.metrics_of((run.ref,)) if name.startswith("system/")]
    _curves(run, offered, "Nothing was recorded of the machine: the run was too short, or it was turned off.")


def _curves(run: Run, offered: Sequence[str], nothing: str) -> None:
    shown = tuple(offered[: data.PANELS_MAX])
    if not shown:
        st.info(nothing, icon=":material/hourglass_empty:")
        return
    payload, _ = overlay.overlay((run.ref,), shown, comparison.Look(), url.parse_window(url.text("run_zoom")))
    curves.show(payload, key=CURVES_KEY, on_zoom=_zoomed)
    if len(offered) > len(shown):
        st.caption(f"{len(shown)} of {len(offered):,} metrics. All are in Summary; choose others on Compare.")


def _zoomed() -> None:
    url.put("run_zoom", url.window_text(curves.asked_window(CURVES_KEY)))


def _summary(run: Run) -> None:
    names = metrics.ordered(data.metrics_of((run.ref,)))
    said = data.values((run.ref,), "summary").get(run.ref, {})
    if names:
        found = data.summaries((run.ref,), tuple(names[:SUMMARY_MAX]))
        rows = [(name, one) for name in names if (one := found.get((run.ref, name)))]
        _table(
            [
                {"metric": name, "last": one.last, "at step": one.last_step, "min": one.min, "at step of min":
                 one.min_step, "max": one.max, "at step of max": one.max_step, "points": one.n,
                 "not finite": one.nonfinite}
                for name, one in rows
            ],
            "summary_metrics", "Last, lowest and highest value of each metric",
        )  # fmt: skip
    if len(names) > SUMMARY_MAX:
        st.caption(f"{SUMMARY_MAX} of {len(names):,} metrics. Search the others: `runtide show RUN --metrics PATTERN`")
    if said:
        st.subheader("Written by the run", anchor=False)
        _values(said, "summary_values")
    if not names and not said:
        st.info("Nothing yet.", icon=":material/hourglass_empty:")


def _config(run: Run) -> None:
    found = data.values((run.ref,), "config").get(run.ref, {})
    if not found:
        st.info("It has no config. Give it one: `runtide.init(config={...})`", icon=":material/tune:")
        return
    _values(found, "config")


def _timeline(run: Run) -> None:
    moments = notebook.timeline(data.events(run.ref))
    kinds = list(dict.fromkeys(moment.kind for moment in moments))
    chosen = url.some_of("kinds", kinds)
    st.pills(
        "Kinds", kinds, key=url.widget("kinds", chosen), on_change=url.taken("kinds", default=[]),
        selection_mode="multi", label_visibility="collapsed",
    )  # fmt: skip
    several = any(moment.attempt > 1 for moment in moments)
    _table(
        [
            {"when": moment.at, "what": moment.kind, "said": moment.text}
            | ({"attempt": moment.attempt} if several else {})
            for moment in moments
            if not chosen or moment.kind in chosen
        ],
        "timeline", "What happened, the oldest first",
    )  # fmt: skip
    st.caption("Add to it: `runtide note RUN TEXT` and `runtide decide RUN VERDICT --reason TEXT`")


def _capture(run: Run) -> None:
    meta = data.values((run.ref,), "meta").get(run.ref, {})
    if not meta:
        st.info("Nothing was captured: it was turned off for this run.", icon=":material/photo_camera:")
        return
    lines = recipe(meta).shell()
    if lines:
        st.markdown("**Run it again**")
        st.code("\n".join(lines), language="bash", wrap_lines=True)
    _values({name: value for name, value in meta.items() if name not in SHOWN_APART}, "capture")
    if meta.get("git/diff"):
        st.markdown("**Changes that were not committed**")
        diff = str(meta["git/diff"])
        st.code(diff, language="diff", height="content" if diff.count("\n") < CONTENT_ROWS else DIFF_PX)
    packages = meta.get("packages")
    if isinstance(packages, dict) and packages:
        with st.expander(formats.count(len(packages), "package"), icon=":material/inventory_2:"):
            _values(packages, "packages")


def _alerts(run: Run) -> None:
    found = data.alerts_of(run.ref)
    if not found:
        st.info("No alert of this run.", icon=":material/notifications_off:")
        return
    for alert in found:
        st.page_link(
            "views/alerts.py", icon=":material/notifications:",
            label=f"{plain(alert.title)} · {alert.severity} · {alert.state} · {formats.ago(alert.ts)}",
            query_params={"project": run.project, "alert": alert.id},
        )  # fmt: skip


def _processes(run: Run) -> None:
    found = data.processes(run.ref)
    if not found:
        st.info("No process has been heard of yet.", icon=":material/hourglass_empty:")
        return
    _table(
        [
            {"attempt": one["attempt"], "rank": one["rank"], "host": one["host"], "pid": one["pid"],
             "started": one["started_at"], "last heard": one["seen_at"], "lines": one["lines"]}
            for one in found
        ],
        "processes", "The processes that wrote into this run, the last attempt first",
    )  # fmt: skip
    st.caption(
        f"{formats.count(len(found), 'process', 'processes')} in {formats.count(run.attempt, 'attempt')}. "
        "Steps that a later attempt logged again are drawn as it logged them."
    )


def _values(found: Mapping[str, object], key: str) -> None:
    rows = [{"name": name, "value": notebook.text_of(value)} for name, value in sorted(found.items())]
    _table(rows, key, "Names and values")


def _table(rows: Sequence[Mapping[str, object]], key: str, alt: str) -> None:
    st.dataframe(
        list(rows), hide_index=True, key=key, row_height=ROW_PX, placeholder="–", alt=alt,
        height="content" if len(rows) <= CONTENT_ROWS else ROW_PX * CONTENT_ROWS,
        column_config={
            name: st.column_config.DatetimeColumn(format="localized", width=190)
            for name in ("when", "started", "last heard")
        },
    )  # fmt: skip


PARTS: dict[str, Callable[[Run], None]] = {
    "curves": _model_curves,
    "summary": _summary,
    "config": _config,
    "timeline": _timeline,
    "capture": _capture,
    "data": lineage_part.show,
    "system": _system,
    "processes": _processes,
    "alerts": _alerts,
}

page()
