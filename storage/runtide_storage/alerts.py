"""Alerts, and what people do about them: acknowledge and mute. Reads through a Reader, writes through a Writer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import pyarrow as pa

from runtide_storage.errors import Ambiguous, NotFound, QueryError
from runtide_storage.reader import Reader
from runtide_storage.runs import RunName
from runtide_storage.statements import statements

STATES = ("open", "acknowledged", "resolved")
SEVERITIES = ("page", "warn", "info")  # the worst first
ID_SHOWN_CHARS = 8  # enough to tell alerts apart in a list, and to name one
CANDIDATES_MAX = 20

Action = Literal["acknowledge", "reopen"]
Row = dict[str, Any]


class Table(Protocol):
    """The part of `Writer` that is needed here."""

    def rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None: ...


def find(
    reader: Reader,
    project: str | None,
    run: RunName | None,
    states: Iterable[str],
    severities: Iterable[str],
    limit: int,
) -> pa.Table:
    """Alerts, the newest first. Nothing given: all."""
    given = {
        "project": run.project if run else project or "",
        "run_id": run.run_id if run else "",
        "states": _known("state", states, STATES),
        "severities": _known("severity", severities, SEVERITIES),
        "limit": limit,
    }
    return reader.arrow(statements("alerts.sql")["alerts"], given)


def one(reader: Reader, prefix: str) -> Row:
    """The alert whose id begins so. Raises `NotFound` or `Ambiguous`."""
    given = {"id": prefix, "limit": CANDIDATES_MAX}
    rows = reader.rows(statements("alerts.sql")["beginning_with"], given) if prefix else []
    shown = prefix if len(prefix) <= 100 else f"{prefix[:99]}…"
    if not rows:
        raise NotFound(f"there is no alert {shown!r}: `runtide alerts` lists them")
    if len(rows) > 1:
        ids = [row["id"] for row in rows]
        more = " or more" if len(ids) == CANDIDATES_MAX else ""
        raise Ambiguous(f"{shown!r} could be any of {len(ids)}{more} alerts: {', '.join(ids[:5])}", ids)
    return rows[0]


def mutes(reader: Reader) -> pa.Table:
    """What is muted now, the newest first."""
    return reader.arrow(statements("alerts.sql")["mutes"])


def say(storage: Table, ids: Iterable[str], action: Action, who: str, reason: str) -> None:
    """Acknowledge alerts, or reopen them; the latest word on an alert counts. Raises `Unreachable`."""
    at = time.time_ns() // 1_000_000
    rows = [{"id": each, "action": action, "who": who, "reason": reason, "at": at} for each in ids]
    storage.rows("alert_actions", rows)


def mute(
    storage: Table, *, project: str, group: str, metric: str, kind: str, for_s: float | None, who: str, reason: str
) -> str:
    """Tell nobody of such alerts, for so long or until it is lifted; the new mute's id. Raises `Unreachable`."""
    now_ms = time.time_ns() // 1_000_000
    until = None if for_s is None else now_ms + round(for_s * 1000)
    row = {
        "id": uuid.uuid4().hex[:8], "project": project, "group": group, "metric": metric, "kind": kind, "until": until,
        "who": who, "reason": reason, "active": 1, "at": now_ms,
    }  # fmt: skip
    storage.rows("mutes", [row])
    return str(row["id"])


def lift(storage: Table, lifted: Iterable[Mapping[str, Any]], who: str) -> None:
    """End mutes, given as rows of `mutes`. Raises `Unreachable`."""
    now_ms = time.time_ns() // 1_000_000
    fixed = {"until": None, "who": who, "active": 0, "at": now_ms}
    named = ("id", "project", "group", "metric", "kind", "reason")
    storage.rows("mutes", [{name: row[name] for name in named} | fixed for row in lifted])


def _known(what: str, values: Iterable[str], known: Sequence[str]) -> list[str]:
    found = list(values)
    for value in found:
        if value not in known:
            raise QueryError(f"{what}: there is no {value!r}, only {', '.join(known)}")
    return found
