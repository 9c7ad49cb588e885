"""Runs: find them, glance at them, choose some."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import streamlit as st

from runtide_dashboard import data, formats, header, metrics, order, selection, states, status, table, url
from runtide_dashboard.records import Run
from runtide_storage.errors import FilterError, StorageError

LIVE_REFRESH_S = 2
IDLE_REFRESH_S = 10  # so that a run that starts now shows up
PAGE_ROWS = 100
NEWEST = 8  # offered for comparison when nothing is chosen
COLUMN_METRICS_MAX = 8
CONTENT_ROWS = 24  # a longer table scrolls inside itself


def page() -> None:
    url.enter("runs")
    try:
        project = header.project()
        runs = data.runs(project).runs if project else ()
        names = data.metric_names(project) if project else ()
    except StorageError as error:
        states.storage_failed(error)
        return
    if project is None or not runs:
        states.no_runs()
        st.fragment(_wait_for_a_run, run_every=LIVE_REFRESH_S)()
        return
    _controls(runs, names)
    live = any(run.live for run in runs)
    st.fragment(_table, run_every=LIVE_REFRESH_S if live else IDLE_REFRESH_S)(project, tuple(_columns(names)))


def _wait_for_a_run() -> None:
    try:
        if data.projects():
            st.rerun()
    except StorageError:
        st.rerun()


def _controls(runs: Sequence[Run], names: Sequence[str]) -> None:
    counts = {state: sum(run.state == state for run in runs) for state in status.STATES}
    present = [state for state in status.STATES if counts[state]]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text_input(
            "Filter", key=url.widget("q", url.text("q")), on_change=url.taken("q", default="", drop=["page"]),
            type="search", live=True, width=420, placeholder="Words, or config.lr > 0.01 and last.loss < 2",
            label_visibility="collapsed",
        )  # fmt: skip
        st.pills(
            "Status", present, key=url.widget("state", url.some_of("state", present)),
            on_change=url.taken("state", default=[], drop=["page"]), selection_mode="multi",
            label_visibility="collapsed",
            format_func=lambda state: f":{status.colour(state)}[{status.label(state)[0]}] {state} {counts[state]:,}",
        )  # fmt: skip
        by = order.choices(_columns(names))
        st.selectbox(
            "Order", list(by), key=url.widget("sort", url.one_of("sort", by, "")), format_func=by.__getitem__,
            on_change=url.taken("sort", default="", drop=["page"]), label_visibility="collapsed", width=200,
        )  # fmt: skip
        with st.popover("Columns", icon=":material/view_column:"):
            st.multiselect(
                "Metrics in the table", list(dict.fromkeys([*metrics.ordered(names), *_columns(names)])),
                key=url.widget("columns", _columns(names)), on_change=url.taken("columns"),
                max_selections=COLUMN_METRICS_MAX, width=420, help="The first one is drawn as a sparkline.",
            )  # fmt: skip


def _columns(names: Sequence[str]) -> list[str]:
    """The metrics that have columns."""
    return url.some_of("columns")[:COLUMN_METRICS_MAX] if url.says("columns") else metrics.most_telling(names)


def _table(project: str, shown_metrics: tuple[str, ...]) -> None:
    try:
        listed = data.runs(project)
        wanted = _ordered(_filtered(project, listed.runs), shown_metrics)
        if not wanted:
            _no_match(len(listed.runs))
            return
        first = _page_of(len(wanted))
        now = [run.ref for run in wanted[first : first + PAGE_ROWS]]
        rows, chosen, waiting = _rows(
            now, (project, shown_metrics, *map(url.text, ("q", "page", "sort")), url.some_of("state"))
        )
        summaries = data.summaries(tuple(rows), shown_metrics)
        sparks = data.sparklines(tuple(rows), shown_metrics[0]) if shown_metrics else {}
        verdicts = data.verdicts(tuple(rows))
    except FilterError as error:
        _bad_filter(error)
        return
    except StorageError as error:
        states.storage_failed(error)
        return
    by_ref = {run.ref: run for run in (*listed.runs, *wanted)}
    _actions(project, listed, wanted, waiting, chosen)
    arrow, columns = table.build(
        [by_ref[ref] for ref in rows], shown_metrics, summaries, sparks, verdicts, datetime.now(UTC)
    )
    st.dataframe(
        arrow, key=_table_key(), column_config=columns, hide_index=True, on_select="rerun", selection_mode="multi-row",
        selection_default={"selection": {"rows": selection.places(chosen, rows)}},
        height="content" if len(rows) <= CONTENT_ROWS else 36 * CONTENT_ROWS, row_height=36, placeholder="–",
        alt=f"{formats.count(len(rows), 'run')} with status, metrics, duration and start",
    )  # fmt: skip


def _rows(now: Sequence[str], filters: tuple[object, ...]) -> tuple[list[str], list[str], int]:
    """(the rows to show, those of them that are selected, how many new ones wait).

    The table knows its selection by position. While it shows the same list, rows keep their places; another list is
    another table, in which the same runs are selected anew.
    """
    state = st.session_state
    shown: list[str] = state.get("_shown", [])
    mounted = state.get(_table_key())
    chosen = selection.chosen(mounted["selection"]["rows"], shown) if mounted else state.get("_chosen", [])
    take_new = state.pop("_take_new", False)
    if mounted and filters == state.get("_shown_for") and not take_new:
        rows, waiting = selection.hold(shown, now, holding=bool(chosen))
    else:
        rows, waiting = list(now), 0
        state._generation = state.get("_generation", 0) + 1
    chosen = [ref for ref in chosen if ref in rows]
    state._shown, state._shown_for, state._chosen = rows, filters, chosen
    return rows, chosen, waiting


def _table_key() -> str:
    """A new key is a new table."""
    return f"runs_table_{st.session_state.get('_generation', 0)}"


def _clear_selection() -> None:
    st.session_state.pop(_table_key(), None)
    st.session_state._generation = st.session_state.get("_generation", 0) + 1
    st.session_state._chosen = []


def _take_new() -> None:
    st.session_state._take_new = True


def _filtered(project: str, listed: Sequence[Run]) -> list[Run]:
    """The runs that pass: those that are listed, by words; any of the project, by the filter language."""
    words, wanted = url.text("q"), url.some_of("state", status.STATES)
    if table.is_filter(words):
        found, _ = data.find(data.passing(project, words), listed)
    else:
        found = [run for run in listed if table.matches(run, words)]
    return [run for run in found if not wanted or run.state in wanted]


def _ordered(runs: Sequence[Run], shown_metrics: Sequence[str]) -> list[Run]:
    by = url.one_of("sort", order.choices(shown_metrics), "")
    metric = order.metric_of(by)
    summaries = data.summaries(tuple(run.ref for run in runs), (metric,)) if metric else {}
    return order.ordered(runs, by, summaries, datetime.now(UTC))


def _bad_filter(error: FilterError) -> None:
    st.warning("**This filter can't be read.**", icon=":material/filter_alt_off:")
    st.code(f"{error.pointer}\n{error}", language=None)
    st.caption(
        'For example `config.lr > 0.01 and last.loss < 2`, `tags has "prod"`, `state = "failed" and started > 7d ago`. '
        "Without an operator, words are looked for in names, groups, tags and hosts."
    )


def _page_of(total: int) -> int:
    """Index of the first row of the chosen page."""
    return (url.whole("page", 1, max(1, -(-total // PAGE_ROWS)), 1) - 1) * PAGE_ROWS


def _clear_filters() -> None:
    for name in ("q", "state", "page"):
        url.put(name, None)


def _no_match(total: int) -> None:
    hiding = [part for name, part in (("q", "the text filter"), ("state", "the status filter")) if url.text(name)]
    st.info(f"None of {formats.count(total, 'run')} passes {' and '.join(hiding)}.", icon=":material/filter_alt_off:")
    if st.button("Clear filters", on_click=_clear_filters):
        st.rerun()


def _actions(project: str, listed: data.RunList, wanted: Sequence[Run], waiting: int, chosen: Sequence[str]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        newest = [run.ref for run in wanted[:NEWEST]]
        first = "first" if url.text("sort") else "newest"
        label = f"Compare {formats.count(len(chosen), 'run')}" if chosen else f"Compare the {first} {len(newest)}"
        if st.button(label, type="primary" if chosen else "secondary", icon=":material/show_chart:", key="compare"):
            refs = (chosen or newest)[: data.RUNS_MAX]
            st.switch_page("views/compare.py", query_params={"project": project, "runs": url.joined(refs, project)})
        if len(chosen) == 1 and st.button("Open the run", icon=":material/science:", key="open_run"):
            run_id = chosen[0].removeprefix(f"{project}/")
            st.switch_page("views/run.py", query_params={"project": project, "run": run_id})
        if chosen:
            st.button("Clear", type="tertiary", on_click=_clear_selection)
        if len(chosen) > data.RUNS_MAX:
            st.caption(f"The first {data.RUNS_MAX} of them: more curves can't be told apart.")
        if waiting:
            st.button(f"Show {formats.count(waiting, 'new run')}", type="tertiary", on_click=_take_new)
        pages = -(-len(wanted) // PAGE_ROWS)
        words = formats.count(len(wanted), "run")
        if len(wanted) < len(listed.runs):
            words += f" of {len(listed.runs):,}"
        if listed.total > len(listed.runs):
            words += f" · the newest {len(listed.runs):,} of {listed.total:,}: older ones are not listed here"
        if not chosen:
            words = f"Tick runs to compare them · {words}"
        st.caption(words, width="content")
        if pages > 1:
            key = url.widget("page", url.whole("page", 1, pages, 1))
            st.number_input(
                "Page", 1, pages, key=key, on_change=url.taken("page", default=1), width=110,
                label_visibility="collapsed",
            )  # fmt: skip
            st.caption(f"of {pages}", width="content")


page()
