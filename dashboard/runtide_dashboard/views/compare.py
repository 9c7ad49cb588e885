"""Compare: the curves of some runs over each other, what they reached, and how their settings differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import streamlit as st
from runtide_storage.errors import StorageError

from runtide_dashboard import comparison, curves, data, header, metrics, names, results, states, url
from runtide_dashboard.records import Run

REFRESH_S = 2
NEWEST = 5  # shown when nothing is chosen
CURVES_KEY = "curves"
X_AXES = {"step": "Step", "relative": "Time since start", "time": "Clock time"}


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was last drawn, kept for when the database goes away."""

    refs: tuple[str, ...]
    payload: bytes
    caption: str
    at: datetime


def page() -> None:
    project = header.project()
    try:
        listed = data.runs(project).runs if project else ()
        asked = url.refs(project) or _remembered(project)
        chosen = asked or [run.ref for run in listed[:NEWEST]]
        runs, unknown = data.find(tuple(chosen[: data.RUNS_MAX]), listed)
        offered = data.metrics_of(tuple(run.ref for run in runs))
    except StorageError as error:
        states.storage_failed(error)
        return
    if project is None or not (listed or runs):
        states.no_runs()
        return
    _notes(asked, chosen, unknown)
    _choose_runs(project, listed, runs)
    shown = _choose_metrics(offered)
    if not (runs and shown):
        _nothing_to_draw(runs, offered)
        return
    _options()
    live = any(run.live for run in runs)
    refs = tuple(run.ref for run in runs)
    every = REFRESH_S if live else None
    st.fragment(_curves, run_every=every)(refs, tuple(shown), live)
    st.fragment(_tables, run_every=every)(refs, tuple(shown))


def _remembered(project: str | None) -> list[str]:
    """The runs that were compared before the reader went to another page."""
    return list(st.session_state.get("_compared", {}).get(project, []))


def _notes(asked: Sequence[str], chosen: Sequence[str], unknown: Sequence[str]) -> None:
    if len(chosen) > data.RUNS_MAX:
        st.warning(f"Showing {data.RUNS_MAX} of {len(chosen)} runs: more curves can't be told apart.", icon=":material/filter_list:")
    if unknown:
        words = ", ".join(names.plain(ref) for ref in unknown[:5]) + (" …" if len(unknown) > 5 else "")
        st.warning(f"Not found: {words}. Deleted, or logged into another stack?", icon=":material/search_off:")
    if chosen and not asked:
        st.caption(f"The newest {len(chosen)} runs. Choose others below, or tick them on the Runs page.")


def _choose_runs(project: str, listed: Sequence[Run], runs: Sequence[Run]) -> None:
    known = {run.ref: run for run in (*listed, *runs)}
    st.session_state._runs = [run.ref for run in runs]  # the address is the truth, the widget follows it
    st.session_state.setdefault("_compared", {})[project] = list(st.session_state._runs)

    def take() -> None:
        url.set_refs(st.session_state._runs)
        url.set_zoom(None)
        st.session_state._compared[project] = list(st.session_state._runs)

    def label(ref: str) -> str:
        run = known.get(ref)
        if run is None:
            return ref
        name = run.name if run.name == run.id else f"{run.name}  ·  {run.id}"
        return name if run.project == project else f"{run.project}/{name}"

    st.multiselect(
        "Runs", list(known), key="_runs", on_change=take, format_func=label, max_selections=data.RUNS_MAX,
        placeholder="Choose runs", label_visibility="collapsed", wrap=True, select_all=False,
    )  # fmt: skip


def _choose_metrics(offered: Sequence[str]) -> list[str]:
    asked = url.metrics()
    chosen = (asked or metrics.most_telling(offered, metrics.COMPARE_DEFAULT))[: data.PANELS_MAX]
    st.session_state._metrics = chosen
    st.multiselect(
        "Metrics", list(dict.fromkeys([*metrics.ordered(offered), *chosen])), key="_metrics",
        on_change=lambda: url.set_metrics(st.session_state._metrics), max_selections=data.PANELS_MAX,
        placeholder="Choose metrics", label_visibility="collapsed", wrap=True, select_all=False,
    )  # fmt: skip
    if len(asked) > data.PANELS_MAX:
        st.caption(f"Showing {data.PANELS_MAX} of {len(asked)} metrics.")
    return chosen


def _nothing_to_draw(runs: Sequence[Run], offered: Sequence[str]) -> None:
    if not runs:
        st.info("Choose runs above, or tick them on the Runs page.", icon=":material/checklist:")
    elif offered:
        st.info("Choose at least one metric.", icon=":material/checklist:")
    else:
        st.info("These runs have not logged a metric yet. As soon as they do, it is drawn here.", icon=":material/hourglass_empty:")
        if any(run.live for run in runs):
            st.fragment(_wait_for_a_metric, run_every=REFRESH_S)(tuple(run.ref for run in runs))


def _wait_for_a_metric(refs: tuple[str, ...]) -> None:
    try:
        arrived = bool(data.metrics_of(refs))
    except StorageError:
        arrived = True  # the page says what is wrong
    if arrived:
        st.rerun()


def _options() -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.segmented_control(
            "Horizontal axis", list(X_AXES), key="x", bind="query-params", default="step", required=True,
            format_func=X_AXES.__getitem__, label_visibility="collapsed", on_change=lambda: url.set_zoom(None),
        )  # fmt: skip
        st.pills(
            "Logarithmic", ["y", "x"], key="log", bind="query-params", selection_mode="multi",
            format_func=lambda axis: f"log {axis}", label_visibility="collapsed",
        )  # fmt: skip
        st.caption("Smoothing", width="content")
        st.slider("Smoothing", 0, 100, 0, key="smooth", bind="query-params", label_visibility="collapsed", width=170)


def _look() -> comparison.Look:
    state = st.session_state
    log = state.get("log") or []
    return comparison.Look(state.get("x") or "step", int(state.get("smooth") or 0), "x" in log, "y" in log)


def _zoomed() -> None:
    url.set_zoom(curves.asked_window(CURVES_KEY))


def _curves(refs: tuple[str, ...], metric_names: tuple[str, ...], was_live: bool) -> None:
    banner = st.empty()  # always there, so that the curves keep their place, and with it what is pinned and hidden
    try:
        drawn, live = _draw(refs, metric_names)
        st.session_state._drawn = drawn
    except StorageError as error:
        drawn = st.session_state.get("_drawn")
        if drawn is not None and drawn.refs != refs:
            drawn = None
        live = was_live
        with banner.container():
            states.storage_failed(error, last_good=drawn.at if drawn else None)
        if drawn is None:
            return
    st.caption(drawn.caption)
    curves.show(drawn.payload, key=CURVES_KEY, on_zoom=_zoomed)
    if live != was_live:
        st.rerun()  # begin or end following


def _draw(refs: tuple[str, ...], metric_names: tuple[str, ...]) -> tuple[Drawn, bool]:
    look, window = _look(), url.zoom()
    runs, _ = data.find(refs, ())
    found, full = data.curves(refs, metric_names, look.x, window)
    payload = comparison.payload(runs, metric_names, found, look, full, window)
    words = comparison.caption(runs, found, look, window or full)
    return Drawn(refs, payload, words, datetime.now(UTC)), any(run.live for run in runs)


def _tables(refs: tuple[str, ...], metric_names: tuple[str, ...]) -> None:
    try:
        runs, _ = data.find(refs, ())
        summaries = data.summaries(refs, metric_names)
        settings = data.values(refs, "config")
        surroundings = data.values(refs, "meta")
    except StorageError:
        return  # the curves' part of the page says it
    full = names.distinct([run.name for run in runs], [run.id for run in runs])
    by_ref = dict(zip(refs, full, strict=False))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Results", anchor=False, width="stretch")
        base = None
        if len(runs) > 1:
            st.caption("Base", width="content")
            base = st.selectbox(
                "Base", [run.ref for run in runs], key="base", bind="query-params", width=260,
                format_func=lambda ref: by_ref.get(ref, ref), label_visibility="collapsed",
            )  # fmt: skip
    results.show_results(comparison.results(runs, metric_names, summaries, base), base)
    if len(runs) < 2:
        return
    short = names.shorten(full)
    for title, found, nothing, key in (
        ("Settings that differ", settings, "All runs have the same settings.", "settings"),
        ("Surroundings that differ", surroundings, "", "surroundings"),
    ):
        rows = comparison.difference_rows(runs, found)
        if rows or nothing:
            st.subheader(title, anchor=False)
        if rows:
            results.show_differences(rows, runs, short, key=key)
        elif nothing:
            st.caption(nothing)


page()
