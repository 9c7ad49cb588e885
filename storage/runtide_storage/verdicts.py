"""Verdicts on runs, whom they are compared with, and what people said of that. A Reader reads, a Writer marks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import pyarrow as pa

from runtide_storage.reader import Reader
from runtide_storage.runs import RunName
from runtide_storage.statements import statements

Mark = Literal["run", "tag", "alias", "exclude", "accept"]


class Table(Protocol):
    """The part of `Writer` that is needed here."""

    def rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None: ...


def verdicts(reader: Reader, runs: Sequence[RunName] | None, project: str | None) -> pa.Table:
    """The rows of v_verdicts of these runs, or of a project; None: all."""
    return _of_runs(reader, "verdicts", runs, project)


def plans(reader: Reader, runs: Sequence[RunName] | None, project: str | None) -> pa.Table:
    """Likewise of v_plans, the newest first."""
    return _of_runs(reader, "plans", runs, project)


def baselines(reader: Reader, family: str | None, project: str | None) -> pa.Table:
    """What was fitted on the members of a family (its id in hex), or of the families of a project."""
    given = {"family": (family or "").upper(), "project": project or ""}
    return reader.arrow(statements("verdicts.sql")["baselines"], given)


def marks(reader: Reader, project: str | None) -> pa.Table:
    """What people marked and did not lift: project, group, kind, value, who, reason, at."""
    return reader.arrow(statements("verdicts.sql")["marks"], {"project": project or ""})


def mark(
    storage: Table, *, project: str, group: str, kind: Mark, value: str, active: bool, who: str, reason: str
) -> None:
    """Pin, exclude or accept for the runs of a group, or take that back. Raises `Unreachable`."""
    row = {
        "project": project, "group": group, "kind": kind, "value": value, "who": who, "reason": reason,
        "active": int(active), "at": time.time_ns() // 1_000_000,
    }  # fmt: skip
    storage.rows("baseline_marks", [row])


def _of_runs(reader: Reader, statement: str, runs: Sequence[RunName] | None, project: str | None) -> pa.Table:
    given = {"all": runs is None, "refs": [run.ref for run in runs or ()], "project": project or ""}
    return reader.arrow(statements("verdicts.sql")[statement], given)
