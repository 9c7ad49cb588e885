"""When the final or best values of a family's runs changed for good, in which direction, and between which commits.

Pure: from the rows of `Client.finals`. What a change is, `changes` says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from runtide_storage.changes import SEGMENT_MIN, Change, change_points, commit_change
from runtide_storage.goals import goal_of

By = Literal["final", "best"]
Direction = Literal["worse", "better", "changed"]

RUNS_MIN = 2 * SEGMENT_MIN
COMMIT_CHARS = 10
FIELDS_SHOWN_MAX = 6
_COLUMN: dict[By, str] = {"final": "last", "best": "best"}
_KNOWN_ANYWAY = ("project", "group", "job_type")  # fields of a family that are shown elsewhere

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """One change of level of a family's runs."""

    change: Change
    direction: Direction
    last_before: Row  # the run, as `Client.finals` gives it
    first_after: Row

    @property
    def effect(self) -> float | None:
        """The relative difference, > 0 is worse. None: nobody knows which way is worse."""
        size = abs(self.change.ratio)
        return {"worse": size, "better": -size, "changed": None}[self.direction]

    @property
    def commits(self) -> str:
        """`a1b2c3..d4e5f6`: what may have done it. A + marks changes that were not committed."""
        last, first = commit(self.last_before), commit(self.first_after)
        if not (last and first):
            return "unknown"
        return f"{last}..{first}" if last != first else f"{first} on both sides"

    def as_dict(self) -> dict[str, Any]:
        change = self.change
        return {
            "direction": self.direction, "effect": self.effect, "change": change.ratio, "before": change.before,
            "after": change.after, "p": change.p, "runs_before": change.runs_before, "runs_after": change.runs_after,
            "last_before": _named(self.last_before), "first_after": _named(self.first_after),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class History:
    """The runs of one family by one metric, oldest first, and what was found in them."""

    rows: Sequence[Row]
    by: By
    goal: str | None
    changes: list[Found] = field(default_factory=list)
    suspect: Found | None = None  # the newest commit, which has too few runs to be sure

    @property
    def newest(self) -> str:
        """How the present level compares with the one before it."""
        if self.changes:
            return self.changes[-1].direction
        return "steady" if self.known >= RUNS_MIN else "too few runs"

    @property
    def known(self) -> int:
        """Runs with a finite value."""
        return sum(math.isfinite(value) for value in values(self.rows, self.by))

    @property
    def name(self) -> str:
        """PROJECT/GROUP and what else makes the family."""
        fields = {k: v for k, v in json.loads(self.rows[0]["fields"] or "{}").items() if k not in _KNOWN_ANYWAY}
        shown = [f"{name.partition('.')[2] or name}={_plain(value)}" for name, value in fields.items()]
        more = f" and {len(shown) - FIELDS_SHOWN_MAX} more" if len(shown) > FIELDS_SHOWN_MAX else ""
        where = self.rows[0]["project"] + (f"/{self.rows[0]['group']}" if self.rows[0]["group"] else "")
        return f"{where} ({', '.join(shown[:FIELDS_SHOWN_MAX])}{more})" if shown else where

    def as_dict(self) -> dict[str, Any]:
        first = self.rows[0]
        return {
            "project": first["project"], "group": first["group"], "family": first["family"],
            "fields": json.loads(first["fields"] or "{}"), "metric": first["metric"], "goal": self.goal, "by": self.by,
            "runs": len(self.rows), "runs_with_a_value": self.known, "newest": self.newest,
            "changes": [each.as_dict() for each in self.changes],
            "suspect": self.suspect.as_dict() if self.suspect else None,
        }  # fmt: skip


def histories(rows: Iterable[Row], by: By) -> list[History]:
    """The rows of `Client.finals`, family by family, with the changes in them."""
    families: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        families.setdefault((row["project"], row["family"]), []).append(row)
    return [_history(members, by) for members in families.values()]


def values(rows: Iterable[Row], by: By) -> list[float]:
    """Their final or best values; NaN where there is none."""
    return [math.nan if row[_COLUMN[by]] is None else row[_COLUMN[by]] for row in rows]


def _history(rows: list[Row], by: By) -> History:
    goal = next((row["goal"] for row in reversed(rows) if row["goal"]), None) or goal_of(rows[0]["metric"])

    def found(change: Change) -> Found:
        direction: Direction = "changed"
        if goal is not None:
            direction = "worse" if (change.ratio > 0) == (goal == "minimize") else "better"
        return Found(change, direction, rows[change.last_before], rows[change.first_after])

    finals = values(rows, by)
    changes = change_points(finals)
    suspect = None
    start = _newest_commit(rows)
    if 0 < len(rows) - start < SEGMENT_MIN:
        change = commit_change(finals[:start], finals[start:])
        suspect = found(change) if change else None
    return History(rows, by, goal, [found(change) for change in changes], suspect)


def _newest_commit(rows: Sequence[Row]) -> int:
    """Where the runs of the newest commit begin; their number if nobody knows its commit."""
    start = len(rows)
    while start and commit(rows[start - 1]) and commit(rows[start - 1]) == commit(rows[-1]):
        start -= 1
    return start


def commit(row: Row) -> str:
    return f"{row['commit'][:COMMIT_CHARS]}{'+' if row['dirty'] else ''}" if row["commit"] else ""


def _named(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("run_id", "run", "started_at", "commit", "dirty")}


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
