"""`runtide regressions`: when the final values of a family's runs changed for good, and between which commits."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from runtide_storage import Client
from runtide_workers.cli import output
from runtide_workers.detection.direction import goal_of
from runtide_workers.detection.history import SEGMENT_MIN, Change, change_points, commit_change
from runtide_workers.detection.verdict import difference

By = Literal["final", "best"]
Direction = Literal["worse", "better", "changed"]

RUNS_MIN = 2 * SEGMENT_MIN
COMMIT_CHARS = 10
FIELDS_SHOWN_MAX = 6
_COLUMN: dict[By, str] = {"final": "last", "best": "best"}
_PROJECTS = "SELECT DISTINCT project FROM v_runs WHERE state = 'finished' ORDER BY project"
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
        last, first = _commit(self.last_before), _commit(self.first_after)
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


def regressions(project: str | None, group: str | None, metric: str | None, by: By, as_json: bool) -> int:
    """Changes per family, the oldest first. 1 if the present level of any family is a regression."""
    client = Client()
    projects = [project] if project else [row["project"] for row in client.sql(_PROJECTS)]
    rows = [row for each in projects for row in client.finals(each, metric, group).to_pylist()]
    found = histories(rows, by)
    worse = [each for each in found if each.newest == "worse"]
    if as_json:
        print(output.as_json({"families": [each.as_dict() for each in found], "regressions": len(worse)}))
    elif not found:
        print(_nothing(project, group, metric))
    else:
        _print(found)
    return 1 if worse else 0


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
    while start and _commit(rows[start - 1]) and _commit(rows[start - 1]) == _commit(rows[-1]):
        start -= 1
    return start


def _commit(row: Row) -> str:
    return f"{row['commit'][:COMMIT_CHARS]}{'+' if row['dirty'] else ''}" if row["commit"] else ""


def _named(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("run_id", "run", "started_at", "commit", "dirty")}


def _plain(value: object) -> str:
    return value if isinstance(value, str) else output.as_json(value)


# ---------------------------------------------------------------------- for people


def _print(found: Sequence[History]) -> None:
    for each in found:
        first = each.rows[0]
        output.heading(output.clean(each.name))
        which = "final" if each.by == "final" else "best"
        goal = f", to {each.goal}" if each.goal else ", no goal known"
        print(f"  {which} {output.clean(first['metric'])}{goal}; {_state(each)}")
        if each.changes:
            columns = ("since", "change", "from", "to", "first run", "commits", "runs before", "since then")
            rows = [_line(change) for change in each.changes]
            output.table(columns, rows, right=("from", "to", "runs before", "since then"))
        if each.suspect:
            run = each.suspect.first_after
            print(
                f"  suspected: {output.clean(run['run'])} on commit {_commit(run)} is {_size(each.suspect)}"
                f" than {each.suspect.change.runs_before} runs before it;"
                f" with {SEGMENT_MIN} runs of this commit it will be sure"
            )


def _state(history: History) -> str:
    missing = len(history.rows) - history.known
    without = f" ({missing} without a finite value)" if missing else ""
    if history.by == "best" and not history.known and history.goal is None:
        return "without a goal there is no best value: define_metric(goal=...), or --by final"
    runs = f"{len(history.rows)} run{'s' if len(history.rows) != 1 else ''}{without}"
    if history.newest == "too few runs":
        return f"{runs}: at least {RUNS_MIN} are needed"
    return f"{runs}, steady" if not history.changes else f"{runs}, now {history.newest}"


def _line(found: Found) -> tuple[object, ...]:
    change, run = found.change, found.first_after
    return (
        run["started_at"], _size(found), change.before, change.after, f"{run['project']}/{run['run_id']}",
        found.commits, change.runs_before, change.runs_after,
    )  # fmt: skip


def _size(found: Found) -> str:
    return difference(found.effect) if found.effect is not None else f"{100 * found.change.ratio:+.2g} %"


def _nothing(project: str | None, group: str | None, metric: str | None) -> str:
    where = "".join(
        f" {word} {output.clean(text)}"
        for word, text in (("in project", project), ("of group", group), ("with metric", metric))
        if text is not None
    )
    return (
        f"no finished runs{where} that belong to a family yet: a worker gives each run its family"
        " (`runtide runs --state finished` lists runs)"
    )
