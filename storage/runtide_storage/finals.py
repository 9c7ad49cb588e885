"""What the finished runs of each family came to, run over run; and how healthy ones fared against each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from runtide_storage.ids import key_id
from runtide_storage.reader import Reader, integers
from runtide_storage.runs import RunName
from runtide_storage.sources import current_points, which
from runtide_storage.statements import statements

Rows = Sequence[Mapping[str, Any]]

_SCHEMA = pa.schema(
    [
        ("project", pa.string()),
        ("group", pa.string()),
        ("family", pa.string()),
        ("fields", pa.string()),
        ("metric", pa.string()),
        ("goal", pa.string()),
        ("run_id", pa.string()),
        ("run", pa.string()),
        ("started_at", pa.timestamp("ms", "UTC")),
        ("last", pa.float64()),
        ("last_step", pa.int64()),
        ("best", pa.float64()),
        ("commit", pa.string()),
        ("dirty", pa.bool_()),
    ]
)


def finals(reader: Reader, project: str, metric: str | None, group: str | None, limit: int) -> pa.Table:
    """The table that `Client.finals` describes."""
    sql = statements("finals.sql")
    given = {"project": project, "any_group": group is None, "group": group or "", "limit": limit}
    planned = reader.rows(sql["planned"].format(), given)
    families: dict[str, list[dict[str, Any]]] = {}
    for row in planned:
        families.setdefault(row["family"], []).append(row)
    judged = {family: _judged_by(rows, metric) for family, rows in families.items()}
    wanted = [row for row in planned if judged[row["family"]][0]]
    if not wanted:
        return _SCHEMA.empty_table()
    curves = which([(row["run"], key_id(judged[row["family"]][0])) for row in wanted])
    levels = {row["run"]: row for row in reader.rows(sql["levels"].format(curves=curves))}
    runs = integers(row["run"] for row in wanted)
    commits = {row["run"]: row for row in reader.rows(sql["commits"].format(runs=runs))}
    found = []
    for row in wanted:
        level, commit = levels.get(row["run"]), commits.get(row["run"], {"commit": "", "dirty": 0})
        if level is None:  # it never logged this metric
            continue
        name, goal = judged[row["family"]]
        best = {"minimize": level["lowest"], "maximize": level["highest"]}.get(goal) if level["is_finite"] else None
        found.append(
            {name: row[name] for name in ("project", "group", "family", "fields", "run_id", "started_at")}
            | {"run": row["name"], "metric": name, "goal": goal or None, "best": best}
            | {"last": level["last"], "last_step": level["last_step"]}
            | {"commit": commit["commit"] or None, "dirty": bool(commit["dirty"])}
        )
    return pa.Table.from_pylist(found, _SCHEMA)


def _judged_by(rows: Rows, metric: str | None) -> tuple[str, str]:
    """Metric and goal of a family: its plans' newest word on each. Empty: nobody knows yet."""
    primary = metric or next((row["primary"] for row in reversed(rows) if row["primary"]), "")
    goals = (json.loads(row["goals"] or "{}").get(primary, "") for row in reversed(rows))
    return primary, next((goal for goal in goals if goal), "")


def peaks(reader: Reader, project: str) -> pa.Table:
    """The table that `Client.peaks` describes."""
    return reader.arrow(statements("finals.sql")["peaks"].format(), {"project": project})


def points(reader: Reader, run: RunName, metric: str) -> Iterator[pa.Table]:
    """The tables that `Client.points` describes."""
    source = current_points([(run.key, key_id(metric))], [run.key] if run.attempts > 1 else [])
    return reader.stream(statements("finals.sql")["points"].format(source=source))
