"""Compare: the curves of some runs over each other, what they reached, and how their settings differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import streamlit as st

from runtide_dashboard import (
    comparison,
    curves,
    data,
    formats,
    header,
    judgements,
    metrics,
    names,
    overlay,
    results,
    settings_section,
    states,
    url,
    what_differs,
)
from runtide_dashboard.asking import together
from runtide_dashboard.records import Run
from runtide_storage.errors import StorageError

REFRESH_S = 2
NEWEST = 5  # shown when nothing is chosen
CURVES_KEY = "curves"
X_AXES = {"step": "Step", "relative": "Time since start", "time": "Clock time", "metric": "Metric"}


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was last drawn, kept for when the database goes away."""

    refs: tuple[str, ...]
    payload: bytes
    at: datetime


def page() -> None:
    url.enter("compare")
    try:
        project = header.project()
        asked = url.refs(project) if url.says("runs") else None
        listed = () if project is None else data.runs(project).runs if asked is None else data.offered(project)
        chosen = [run.ref for run in listed[:NEWEST]] if asked is None else asked
        wanted = tuple(chosen[: data.RUNS_MAX])
        (runs, unknown), offered = together(lambda: data.find(wanted, ()), lambda: data.metrics_of(wanted))
    except StorageError as error:
        states.storage_failed(error)
        return
    if project is None or not (listed or runs):
        states.no_runs()
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _choose_runs(project, listed, runs)
        shown = _choose_metrics(offered)
        _options(offered)
    _notes(asked, chosen, unknown)
    if not (runs and shown):
        _nothing_to_draw(runs, offered)
        return
    live = any(run.live for run in runs)
    refs = tuple(run.ref for run in runs)
    every = REFRESH_S if live else None
    st.fragment(_curves, run_every=every)(refs, tuple(shown), live)
    st.fragment(_tables, run_every=every)(refs, tuple(shown))
    st.fragment(_settings)(project, refs, tuple(shown))


def _notes(asked: Sequence[str] | None, chosen: Sequence[str], unknown: Sequence[str]) -> None:
    if len(chosen) > data.RUNS_MAX:
        st.warning(
            f"Showing {data.RUNS_MAX} of {len(chosen)} runs: more curves can't be told apart.",
            icon=":material/filter_list:",
        )
    if unknown:
        words = ", ".join(names.plain(ref) for ref in unknown[:5]) + (" …" if len(unknown) > 5 else "")
        st.warning(f"Not found: {words}. Deleted, or logged into another stack?", icon=":material/search_off:")
    if chosen and asked is None:
        newest = "The newest run" if len(chosen) == 1 else f"The newest {len(chosen)} runs"
        st.caption(f"{newest}. Choose others above, or tick them on the Runs page.")


def _choose_runs(project: str, listed: Sequence[Run], runs: Sequence[Run]) -> None:
    known = {run.ref: run for run in (*listed, *runs)}

    def take() -> None:
        url.put("runs", url.joined(st.session_state._runs, project))
        url.put("zoom", None)

    def label(ref: str) -> str:
        run = known.get(ref)
        if run is None:
            return ref
        name = run.name if run.name == run.id else f"{run.name}  ·  {run.id}"
        return name if run.project == project else f"{run.project}/{name}"

    with st.popover(formats.count(len(runs), "run"), icon=":material/checklist:", key="choose_runs"):
        st.multiselect(
            "Runs to compare", list(known), key=url.widget("runs", [run.ref for run in runs]), on_change=take,
            format_func=label, max_selections=data.RUNS_MAX, placeholder="Choose runs", wrap=True, select_all=False,
            width=560,
        )  # fmt: skip


def _choose_metrics(offered: Sequence[str]) -> list[str]:
    asked = url.some_of("metrics") if url.says("metrics") else metrics.most_telling(offered, metrics.COMPARE_DEFAULT)
    chosen = asked[: data.PANELS_MAX]
    with st.popover(formats.count(len(chosen), "metric"), icon=":material/query_stats:", key="choose_metrics"):
        st.multiselect(
            "Metrics, one panel each", list(dict.fromkeys([*metrics.ordered(offered), *chosen])),
            key=url.widget("metrics", chosen), on_change=url.taken("metrics"), max_selections=data.PANELS_MAX,
            placeholder="Choose metrics", wrap=True, select_all=False, width=560,
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
        st.info(
            "These runs have not logged a metric yet. As soon as they do, it is drawn here.",
            icon=":material/hourglass_empty:",
        )
        if any(run.live for run in runs):
            st.fragment(_wait_for_a_metric, run_every=REFRESH_S)(tuple(run.ref for run in runs))


def _wait_for_a_metric(refs: tuple[str, ...]) -> None:
    try:
        arrived = bool(data.metrics_of(refs))
    except StorageError:
        arrived = True  # the page says what is wrong
    if arrived:
        st.rerun()


def _options(offered: Sequence[str]) -> None:
    st.segmented_control(
        "Horizontal axis", list(X_AXES), key=url.widget("x", url.one_of("x", X_AXES, "step")), required=True,
        on_change=url.taken("x", default="step", drop=["zoom", "x_metric"]), format_func=X_AXES.__getitem__,
        label_visibility="collapsed",
    )  # fmt: skip
    if url.text("x") == "metric":
        _choose_axis(offered)
    st.pills(
        "Logarithmic", ["y", "x"], key=url.widget("log", url.some_of("log", ("x", "y"))),
        on_change=url.taken("log", default=[]), selection_mode="multi", format_func=lambda axis: f"log {axis}",
        label_visibility="collapsed",
    )  # fmt: skip
    st.toggle(
        "Baseline", key=url.widget("band", url.text("band") != "off"), on_change=_take_band,
        help="What earlier runs of the same family reached, in grey, and where a run left it",
    )  # fmt: skip
    st.caption("Smoothing", width="content")
    st.slider(
        "Smoothing", 0, 100, key=url.widget("smooth", _look().smoothing), on_change=url.taken("smooth", default=0),
        label_visibility="collapsed", width=150,
    )  # fmt: skip


def _take_band() -> None:
    url.put("band", None if st.session_state._band else "off")


def _choose_axis(offered: Sequence[str]) -> None:
    """Which metric the curves are drawn along."""
    possible = [metric for metric in metrics.ordered(offered) if metric not in X_AXES]
    chosen = url.text("x_metric")
    if not chosen and possible:
        chosen = metrics.along(possible)
        url.put("x_metric", chosen)  # the fragments read it there
    if not chosen:
        return
    st.selectbox(
        "Metric of the horizontal axis", list(dict.fromkeys([*possible, chosen])), key=url.widget("x_metric", chosen),
        on_change=url.taken("x_metric", drop=["zoom"]), label_visibility="collapsed", width=220,
    )  # fmt: skip


def _look() -> comparison.Look:
    log = url.some_of("log")
    x = url.one_of("x", X_AXES, "step")
    x_metric = url.text("x_metric") if x == "metric" else ""
    if x == "metric" and not x_metric:
        x = "step"
    return comparison.Look(x, x_metric, url.whole("smooth", 0, 100, 0), "x" in log, "y" in log)  # type: ignore[arg-type]


def _zoomed() -> None:
    url.put("zoom", url.window_text(curves.asked_window(CURVES_KEY)))


def _curves(refs: tuple[str, ...], metric_names: tuple[str, ...], was_live: bool) -> None:
    banner = st.empty()  # always there, so that the curves keep their place, and with it what is pinned and hidden
    try:
        drawn, live = _draw(refs, metric_names)
    except StorageError as error:
        last: Drawn | None = st.session_state.get("_drawn")
        last = last if last and last.refs == refs else None
        with banner.container():
            states.storage_failed(error, last_good=last.at if last else None)
        if last is not None:
            curves.show(last.payload, key=CURVES_KEY, on_zoom=_zoomed)
        return
    st.session_state._drawn = drawn
    curves.show(drawn.payload, key=CURVES_KEY, on_zoom=_zoomed)
    if live != was_live:
        st.rerun()  # begin or end following


def _draw(refs: tuple[str, ...], metric_names: tuple[str, ...]) -> tuple[Drawn, bool]:
    base = None if url.text("band") == "off" else url.one_of("base", refs, refs[0])
    payload, runs = overlay.overlay(refs, metric_names, _look(), url.zoom(), base=base)
    return Drawn(refs, payload, datetime.now(UTC)), any(run.live for run in runs)


def _tables(refs: tuple[str, ...], metric_names: tuple[str, ...]) -> None:
    try:
        runs, _ = data.find(refs, ())
        summaries = data.summaries(refs, metric_names)
        judged = data.judgements(refs, metric_names)
        recorded = data.recorded(tuple(run.ref for run in runs)) if len(runs) > 1 else {}
    except StorageError:
        return  # the curves' part of the page says it
    full = names.distinct([run.name for run in runs], [run.id for run in runs])
    by_ref = {run.ref: name for run, name in zip(runs, full, strict=True)}
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Results", anchor=False, width="stretch")
        base = None
        if len(runs) > 1:
            st.caption("Base", width="content")
            base = st.selectbox(
                "Base", list(refs), key=url.widget("base", url.one_of("base", refs, refs[0])),
                on_change=url.taken("base", default=refs[0]), width=260,
                format_func=lambda ref: by_ref.get(ref, ref), label_visibility="collapsed",
            )  # fmt: skip
    results.show_results(comparison.results(runs, metric_names, summaries, base), base)
    judgements.show(judgements.rows(by_ref, metric_names, judged))
    if len(runs) > 1:
        what_differs.show(runs, full, recorded, base or refs[0])


def _settings(project: str, refs: tuple[str, ...], metric_names: tuple[str, ...]) -> None:
    try:
        settings_section.show(project, refs, metric_names)
    except StorageError as error:
        states.storage_failed(error)


page()
