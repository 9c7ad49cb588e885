"""SQL: any question over the views, read-only and within the analyst's limits."""

from __future__ import annotations

import pyarrow as pa
import streamlit as st

from runtide_dashboard import console, data, formats, header, metrics, states, url
from runtide_storage.errors import StorageError, Unreachable

TEXT_PX = 180
TABLE_PX = 420
CONTENT_ROWS = 10  # a longer answer scrolls inside itself
CHARTS = {"line": "Line", "points": "Points", "bars": "Bars"}


def page() -> None:
    url.enter("sql")
    try:
        project = header.project() or ""
        names = metrics.ordered(data.metric_names(project)) if project else []
    except StorageError as error:
        states.storage_failed(error)
        return
    metric = _controls(names)
    statement = st.text_area(
        "Statement", key=url.widget("sql", url.text("sql")), on_change=url.taken("sql", default=""), height=TEXT_PX,
        placeholder="SELECT … FROM v_runs WHERE project = {project:String}",
        help="Ctrl+Enter runs it. {project:String} and {metric:String} are what is chosen above.",
    )  # fmt: skip
    if not statement.strip():
        st.info("Write a question, or take an example and change it.", icon=":material/database:")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Run again", icon=":material/refresh:"):
            data.console.clear()
        st.caption("Read-only: nothing can be changed from here.", width="content")
    try:
        answer, took_s = data.console(statement, project, metric)
    except Unreachable as error:
        states.storage_failed(error)
        return
    except StorageError as error:
        st.error("**ClickHouse refused it.**", icon=":material/error:")
        st.code(str(error), language=None, wrap_lines=True)
        return
    _answer(answer, took_s)


def _controls(names: list[str]) -> str:
    def take() -> None:
        url.put("sql", console.EXAMPLES[st.session_state._example])

    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Example", list(console.EXAMPLES), index=None, key="_example", on_change=take, placeholder="Example",
            label_visibility="collapsed", width=300,
        )  # fmt: skip
        chosen = url.text("sql_metric") or next(iter(names), "")
        st.selectbox(
            "Metric", list(dict.fromkeys([chosen, *names])), key=url.widget("sql_metric", chosen), width=300,
            on_change=url.taken("sql_metric"), label_visibility="collapsed",
        )  # fmt: skip
    return chosen


def _answer(answer: pa.Table, took_s: float) -> None:
    is_cut = len(answer) > console.ROWS_MAX
    answer = answer.slice(0, console.ROWS_MAX)
    table = console.shown(answer)
    words = f"{formats.count(len(table), 'row')} in {1000 * took_s:,.0f} ms"
    st.caption(f"Only the first {words}: ask for fewer, or use `runtide sql` for a file." if is_cut else words)
    st.dataframe(
        table, hide_index=True, key="answer", placeholder="–", alt="The answer",
        height="content" if len(table) <= 10 else TABLE_PX,
    )  # fmt: skip
    with st.container(horizontal=True):
        st.download_button("CSV", console.as_csv(answer), "answer.csv", "text/csv", icon=":material/download:")
        st.download_button("Parquet", console.as_parquet(answer), "answer.parquet", icon=":material/download:")
    if len(table):
        _chart(table)


def _chart(table: pa.Table) -> None:
    along, numbers = console.axes(table)
    if not numbers:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        kind = st.pills(
            "Chart", list(CHARTS), key=url.widget("chart", url.one_of("chart", CHARTS, "") or None),
            on_change=url.taken("chart"), format_func=CHARTS.__getitem__, label_visibility="collapsed",
        )  # fmt: skip
        if kind is None:
            return
        x = st.selectbox(
            "Along", along, key=url.widget("chart_x", url.one_of("chart_x", along, along[0])),
            on_change=url.taken("chart_x"), width=220,
        )  # fmt: skip
        y = st.selectbox(
            "Value", numbers, key=url.widget("chart_y", url.one_of("chart_y", numbers, numbers[-1])),
            on_change=url.taken("chart_y"), width=220,
        )  # fmt: skip
    draw = {"line": st.line_chart, "points": st.scatter_chart, "bars": st.bar_chart}[kind]
    # Fixed names: in a name from the answer, a dot or a bracket would be taken for a path.
    draw(pa.table({"x": table[x], "y": table[y]}), x="x", y="y", x_label=x, y_label=y)


page()
