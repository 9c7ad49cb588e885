"""Runs side by side: what each metric came to, and how that compares with other runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from runtide_storage.reader import Reader, integers
from runtide_storage.runs import RunName
from runtide_storage.statements import statements

Row = Mapping[str, Any]

_OF_RUN = ("project", "run_id", "run", "metric", "goal")
_NUMBERS = (
    "n", "nonfinite", "first", "first_step", "last", "last_step", "min", "min_step", "max", "max_step", "mean", "best",
    "best_step",
)  # fmt: skip
_COMPARED = pa.schema(
    [
        ("value", pa.float64()),
        ("baseline", pa.float64()),
        ("baseline_low", pa.float64()),
        ("baseline_high", pa.float64()),
        ("baseline_n", pa.int64()),
        ("delta", pa.float64()),
        ("relative", pa.float64()),
        ("verdict", pa.string()),
    ]
)


def repeated(reader: Reader, a: RunName, b: RunName) -> pa.Table:
    """The table that `Client.repeated` describes."""
    return reader.arrow(statements("compare.sql")["repeated"], {"a": a.key, "b": b.key})


def compare(
    reader: Reader, runs: Sequence[RunName], baseline: Sequence[RunName] | None, metrics: Sequence[str] | None
) -> pa.Table:
    """The table that `Client.compare` describes."""
    wanted = {run.key: at for at, run in enumerate(runs)}
    ids = integers(wanted | dict.fromkeys(run.key for run in baseline or ()))
    sql = statements("compare.sql")["summaries"].format(runs=ids or "NULL")
    table = reader.arrow(sql, {"all": metrics is None, "metrics": list(metrics or ())})
    rows = table.select(["key", "metric", "goal", "last", "min", "max"]).to_pylist()
    order = {name: at for at, name in enumerate(metrics or ())}
    mine = [at for at, row in enumerate(rows) if row["key"] in wanted]
    mine.sort(key=lambda at: (order.get(rows[at]["metric"], 0), rows[at]["metric"], wanted[rows[at]["key"]]))
    found = table.take(pa.array(mine, pa.int64())).select([*_OF_RUN, *_NUMBERS])
    if baseline is None:
        return found
    known = {run.key for run in baseline}
    others: dict[str, list[Row]] = {}
    for row in rows:
        if row["key"] in known:
            others.setdefault(row["metric"], []).append(row)
    judged = [_judged(rows[at], others.get(rows[at]["metric"], ())) for at in mine]
    compared = pa.Table.from_pylist(judged, _COMPARED)
    for name in _COMPARED.names:
        found = found.append_column(name, compared[name])
    return found


def _judged(row: Row, others: Iterable[Row]) -> dict[str, Any]:
    """How a run came out in one metric, beside all `others` but itself."""
    goal = row["goal"]
    value = _value(row, goal)
    reached = (_value(other, goal) for other in others if other["key"] != row["key"])
    levels = np.array([level for level in reached if np.isfinite(level)])
    if not len(levels):
        return {"value": value, "baseline_n": 0, "verdict": None}
    level = float(np.mean(levels))
    low, high = float(levels.min()), float(levels.max())
    delta = value - level
    return {
        "value": value, "baseline": level, "baseline_low": low, "baseline_high": high, "baseline_n": len(levels),
        "delta": delta, "relative": delta / abs(level) if level else None, "verdict": _verdict(value, low, high, goal),
    }  # fmt: skip


def _value(row: Row, goal: str | None) -> float:
    """What a run came to in a metric: its best where there is a goal, else its last. NaN if that is no number."""
    return float(row[{"minimize": "min", "maximize": "max"}.get(goal or "", "last")])


def _verdict(value: float, low: float, high: float, goal: str | None) -> str | None:
    """Within what the others reached it is the same."""
    if goal is None:
        return None
    if not np.isfinite(value):
        return "worse"
    if low <= value <= high:
        return "same"
    return "better" if (value < low) == (goal == "minimize") else "worse"
