"""How long the runs of a project are kept: what was said, which runs are due, and their deletion."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

from runtide_storage.deletion import Deletions
from runtide_storage.reader import Reader
from runtide_storage.runs import RunName
from runtide_storage.statements import statements

WHO = "retention"
DAYS_MAX = 36_500


class Table(Protocol):
    """The part of `Writer` that is needed here."""

    def rows(self, table: str, rows: Sequence[dict[str, Any]]) -> None: ...


def policies(reader: Reader) -> list[dict[str, Any]]:
    """What holds, by project: project, days, keep_tags, who, at."""
    return reader.rows(statements("retention.sql")["policies"])


def keep(storage: Table, project: str, days: int | None, keep_tags: Sequence[str], who: str) -> None:
    """Keep the runs of a project for so many days; None: for ever."""
    row = {"project": project, "days": days or 0, "keep_tags": list(keep_tags), "who": who}
    storage.rows("retention", [row | {"active": int(days is not None), "at": time.time_ns() // 1_000_000}])


def due(reader: Reader, project: str | None = None) -> list[tuple[RunName, int]]:
    """The runs that are older than their project allows, the oldest first, and its days.

    A run's age counts from its end, else from its last sign of life. Runs that go on stay, and so do those with a tag
    that is kept and those that people pinned as baselines.
    """
    rows = reader.rows(statements("retention.sql")["due"], {"project": project or ""})
    found = []
    for row in rows:
        days = row.pop("days")
        found.append((RunName(**row), days))
    return found


def apply(reader: Reader, deletions: Deletions, project: str | None = None) -> list[RunName]:
    """Delete what is due, and return that. Any number of workers may do it at once."""
    runs = due(reader, project)
    for days in sorted({days for _, days in runs}):
        some = [run for run, allowed in runs if allowed == days]
        deletions.delete(some, WHO, f"kept for {days} days")
    return [run for run, _ in runs]
