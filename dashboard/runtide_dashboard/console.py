"""What the SQL console shows of an answer: columns that a browser can draw, examples, files. No Streamlit in here."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROWS_MAX = 10_000
EXACT_MAX = 2**53  # larger whole numbers are rounded by browsers
EXAMPLES = {
    "Runs by last value": (
        "SELECT run_id, run, last, last_step, best FROM v_summary\n"
        "WHERE project = {project:String} AND metric = {metric:String}\n"
        "ORDER BY last LIMIT 20"
    ),
    "Runs by state": (
        "SELECT state, count() AS runs, round(avg(duration_s)) AS seconds FROM v_runs\n"
        "WHERE project = {project:String} GROUP BY state ORDER BY runs DESC"
    ),
    "The newest notes and decisions": (
        "SELECT ts, run, kind, body FROM v_events\n"
        "WHERE project = {project:String} AND kind IN ('note', 'decision') ORDER BY ts DESC LIMIT 50"
    ),
    "What can be asked": (
        "SELECT table AS view, groupArray(name) AS columns FROM system.columns\n"
        "WHERE database = currentDatabase() AND table LIKE 'v\\\\_%' GROUP BY view ORDER BY view"
    ),
}


def parameters(statement: str, **values: str) -> dict[str, str]:
    """Those of the values that the statement names, as in `{project:String}`."""
    return {name: value for name, value in values.items() if re.search(rf"\{{\s*{name}\s*:", statement)}


def shown(answer: pa.Table) -> pa.Table:
    """The answer with distinct names, and as text what a browser would round or can't draw."""
    columns = [_drawable(column.combine_chunks()) for column in answer.columns]
    return pa.Table.from_arrays(columns, names=distinct(answer.column_names))


def distinct(names: Sequence[str]) -> list[str]:
    """The names; what occurs again gets a number."""
    found: list[str] = []
    for name in names:
        again, number = name, 1
        while again in found:
            number += 1
            again = f"{name} ({number})"
        found.append(again)
    return found


def axes(answer: pa.Table) -> tuple[list[str], list[str]]:
    """(what can be drawn along x, along y): everything but lists; numbers."""
    flat = [field for field in answer.schema if not pa.types.is_nested(field.type)]
    return [field.name for field in flat], [
        field.name for field in flat if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    ]


def as_csv(answer: pa.Table) -> bytes:
    """With a line of names; lists as JSON."""
    flat = [_text(column) if pa.types.is_nested(column.type) else column for column in answer.columns]
    text: str = pa.Table.from_arrays(flat, names=answer.column_names).to_pandas().to_csv(index=False)
    return text.encode()


def as_parquet(answer: pa.Table) -> bytes:
    target = io.BytesIO()
    pq.write_table(answer, target)
    return target.getvalue()


def _drawable(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_map(kind) or pa.types.is_struct(kind):
        return _text(column)
    if pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind) or pa.types.is_large_binary(kind):
        return _text(column)
    if pa.types.is_integer(kind) and _is_beyond(column):
        return column.cast(pa.string())
    return column


def _is_beyond(numbers: pa.Array) -> bool:
    edges = pc.min_max(numbers).as_py()
    return edges["max"] is not None and (edges["max"] > EXACT_MAX or edges["min"] < -EXACT_MAX)


def _text(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    def text(value: object) -> str | None:
        if value is None or isinstance(value, bytes):
            return None if value is None else value.decode(errors="backslashreplace")
        return json.dumps(value, ensure_ascii=False, default=str)

    return pa.array([text(value) for value in column.to_pylist(maps_as_pydicts="lossy")], pa.string())
