"""The two tables under the curves, as Streamlit draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from runtide_dashboard import status
from runtide_dashboard.comparison import Results
from runtide_dashboard.records import Run

ROW_PX = 34
UNPINNED_METRICS_MAX = 2
CONTENT_ROWS = 20  # a longer table scrolls inside itself
WIDE_RUNS_MAX = 6  # more runs than this become rows, so that the table grows downwards


def show_results(results: Results, base: str | None) -> None:
    """One row per run; per metric the last and best value and the change against `base`; the best of all in bold."""
    column = st.column_config
    frame: dict[str, list[Any]] = {
        "run": [row.name for row in results.rows],
        "status": [[status.label(row.run.state)] for row in results.rows],
    }
    shape: dict[str, Any] = {
        "run": column.TextColumn("Run", pinned=len(results.metrics) > UNPINNED_METRICS_MAX, width=230),
        "status": column.MultiselectColumn(
            "Status", width=118,
            options=[status.label(state) for state in status.STATES],
            color=[status.colour(state) for state in status.STATES],
        ),
    }  # fmt: skip
    bold: set[tuple[int, str]] = set()
    for i, metric in enumerate(results.metrics):
        goal, winner = results.goals[i], results.winners[i]
        last, best, step, change = ([row.cells[i][part] for row in results.rows] for part in range(4))
        if goal:
            frame[f"best{i}"], frame[f"step{i}"] = _floats(best), step
            shape[f"best{i}"] = column.NumberColumn(
                f"{metric}, {'lowest' if goal == 'minimize' else 'highest'}", format="%.5g"
            )
            shape[f"step{i}"] = column.NumberColumn("at step", format="localized", width=80)
            if winner is not None:
                bold.add((winner, f"best{i}"))
        else:
            frame[f"last{i}"] = _floats(last)
            shape[f"last{i}"] = column.NumberColumn(f"{metric}, last", format="%.5g")
        if base is not None:
            frame[f"change{i}"] = _floats(change)
            shape[f"change{i}"] = column.NumberColumn("against base", format="%+.2f %%", width=104)
        if goal:
            frame[f"last{i}"] = _floats(last)
            shape[f"last{i}"] = column.NumberColumn("last", format="%.5g")
    table = pd.DataFrame(frame)
    for i in range(len(results.metrics)):
        if f"step{i}" in table:
            table[f"step{i}"] = table[f"step{i}"].astype("Int64")
    styled = table.style.apply(_emphasis(bold, results), axis=None)
    st.dataframe(
        styled, column_config=shape, hide_index=True, row_height=ROW_PX, height="content", placeholder="–",
        key="results", alt="Best and last value of each run in each metric",
    )  # fmt: skip


def _floats(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _emphasis(bold: set[tuple[int, str]], results: Results) -> Any:
    """A function for Styler.apply: bold for the best, green and red text for better and worse than the base."""

    def style(frame: pd.DataFrame) -> pd.DataFrame:
        css = pd.DataFrame("", index=frame.index, columns=frame.columns)
        for row, name in bold:
            css.loc[row, name] = "font-weight: 700"
        for i, goal in enumerate(results.goals):
            if goal is None or f"change{i}" not in frame:
                continue
            for row, change in enumerate(frame[f"change{i}"]):
                if abs(change) >= 0.005:  # false for NaN
                    better = (change < 0) == (goal == "minimize")
                    css.loc[row, f"change{i}"] = "color: #16956a" if better else "color: #dc4f47"
        return css

    return style


def show_differences(
    rows: Sequence[tuple[str, Sequence[str]]], runs: Sequence[Run], names: Sequence[str], *, key: str
) -> None:
    """Keys as rows and runs as columns; with many runs the other way round."""
    text = st.column_config.TextColumn
    if len(runs) <= WIDE_RUNS_MAX:
        frame = pd.DataFrame(
            {"key": [name for name, _ in rows]} | {f"run{i}": [v[i] for _, v in rows] for i in range(len(runs))}
        )
        shape = {"key": text("Name", pinned=True)} | {f"run{i}": text(name) for i, name in enumerate(names)}
    else:
        frame = pd.DataFrame({"run": list(names)} | {f"key{i}": list(values) for i, (_, values) in enumerate(rows)})
        shape = {"run": text("Run", pinned=True, width=230)} | {
            f"key{i}": text(name) for i, (name, _) in enumerate(rows)
        }
    st.dataframe(
        frame, column_config=shape, hide_index=True, row_height=ROW_PX, key=key,
        height="content" if len(frame) <= CONTENT_ROWS else ROW_PX * CONTENT_ROWS,
        alt="What is not the same in all runs",
    )  # fmt: skip
