"""What detection reads: facts of runs, the members of families, their curves in bins, and what was said before.

Runs and metrics are named by their integer ids here (`ids.py`). Every method is one query or two, blocking, and raises
`Unreachable` or `QueryError`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from clickhouse_connect.driver.client import Client as Driver

from runtide_storage import differences
from runtide_storage.reader import Reader, integers
from runtide_storage.sources import current_points, several_attempts
from runtide_storage.statements import statements

Pair = tuple[int, int]  # (run, key)


@dataclass(slots=True)
class Facts:
    """A run as detection sees it. `values` has config and meta as "config.lr", "meta.git/commit"."""

    run: int
    project: str
    run_id: str
    name: str
    group: str
    job_type: str
    tags: tuple[str, ...]
    state: str
    attempt: int
    started_ms: int
    ended_ms: int  # 0 while it runs
    values: dict[str, Any] = field(default_factory=dict)
    goals: dict[str, str] = field(default_factory=dict)  # name or glob -> goal, in the order of definition
    rules: dict[str, Any] = field(default_factory=dict)  # name or glob -> what define_metric(alert=) was given

    @property
    def ref(self) -> str:
        return f"{self.project}/{self.run_id}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A finished run that may be a baseline. `alarmed`: something on it should have paged and is not settled."""

    run: int
    run_id: str
    tags: tuple[str, ...]
    ended_ms: int
    alarmed: bool


@dataclass(frozen=True, slots=True)
class Extent:
    """Where the points of one curve lie, as far as the tiers know."""

    run: int
    key: int
    metric: str
    n: int
    nonfinite: int
    lo_step: int
    hi_step: int
    lowest: float  # of the finite values
    highest: float
    last: float  # may be NaN or infinite


class Cohorts:
    """Reads through one client, which threads may share."""

    def __init__(self, client: Driver) -> None:
        self._reader = Reader(client)
        self._sql = statements("cohorts.sql")

    def facts(self, runs: Iterable[int]) -> dict[int, Facts]:
        """Those of the runs that are known."""
        ids = integers(runs)
        if not ids:
            return {}
        found = {row["run"]: Facts(**row | {"tags": tuple(row["tags"])}) for row in self._rows("runs", runs=ids)}
        for row in self._rows("values", runs=ids):
            if row["run"] in found:
                found[row["run"]].values[f"{row['section']}.{row['name']}"] = json.loads(row["value"])
        for row in self._rows("definitions", runs=ids):
            if (facts := found.get(row["run"])) is not None:
                if row["goal"]:
                    facts.goals[row["name"]] = row["goal"]
                if row["alert"]:
                    facts.rules[row["name"]] = json.loads(row["alert"])
        return found

    def explanations(self, runs: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Everything by which these runs may differ: what `differences.recorded` reads."""
        return differences.recorded(self._reader, runs)

    def plans(self, runs: Iterable[int]) -> dict[int, dict[str, Any]]:
        """The rows of `run_plans`, of those that have one."""
        ids = integers(runs)
        return {row["run"]: row for row in self._rows("plans", runs=ids)} if ids else {}

    def candidates(self, family: int, before_ms: int, limit: int) -> list[Candidate]:
        """Finished runs of a family that ended before that moment, the newest first."""
        parameters = {"family": family, "before_ms": before_ms, "limit": limit}
        return [_candidate(row) for row in self._asked("candidates", parameters)]

    def marks(self, project: str, group: str) -> dict[str, list[str]]:
        """What people marked for this group: kind -> values."""
        found: dict[str, list[str]] = {}
        for row in self._asked("marks", {"project": project, "group": group}):
            found.setdefault(row["kind"], []).append(row["value"])
        return found

    def pinned(self, project: str, marks: Mapping[str, Sequence[str]], limit: int) -> list[Candidate]:
        """The finished runs that marks of the kinds run, tag and alias name, the newest first."""
        parameters = {
            "project": project,
            "run_ids": list(marks.get("run", ())),
            "tags": list(marks.get("tag", ())),
            "aliases": list(marks.get("alias", ())),
            "limit": limit,
        }
        return [_candidate(row) for row in self._asked("pinned", parameters)]

    def extents(self, runs: Iterable[int]) -> list[Extent]:
        """All curves of these runs."""
        ids = integers(runs)
        return [Extent(**row) for row in self._rows("extents", runs=ids)] if ids else []

    def bins(
        self, runs: Sequence[int], keys: Sequence[int], edges: Sequence[float], *, log: bool, pace: bool = False
    ) -> pa.Table:
        """Curves in bins along the step: run, key, edge (the bin's lower one), at_step, level, variance.

        `level` is the mean of the finite values, of their logarithms with `log`, and `variance` theirs around it. With
        `pace` instead there is no variance, and the level is the wall clock in seconds of the bin's first point, whose
        step `at_step` is then.
        """
        transformed = "log(greatest(value, 1e-12))" if log else "value"
        source = self._source(runs, keys)
        return self._reader.arrow(
            self._sql["paces" if pace else "bins"].format(
                edges=", ".join(repr(float(edge)) for edge in edges[:-1]),
                first=math.ceil(edges[0]),
                last=math.floor(edges[-1]),
                transformed=transformed,
                source=source,
            )
        )

    def curves(self, runs: Sequence[int], keys: Sequence[int]) -> pa.Table:
        """Raw current points in order of arrival: run, key, step, ts_ms, value, seq, writer."""
        return self._reader.arrow(self._sql["curves"].format(source=self._source(runs, keys)))

    def gaps_s(self, runs: Sequence[int], keys: Sequence[int]) -> dict[int, float]:
        """Run -> its longest silence between points of these metrics."""
        if not runs or not keys:
            return {}
        rows = self._rows("gaps", runs=integers(runs), keys=integers(keys))
        return {row["run"]: float(row["gap_s"]) for row in rows}

    def points(self, runs: Sequence[int], keys: Sequence[int] | None = None) -> pa.Table:
        """Every stored point of these runs, of every attempt: run, key, step, ts_ms, value, attempt, writer, seq."""
        sql = self._sql["points"].format(runs=integers(runs))
        if keys is not None:
            sql += f" AND p.key IN ({integers(keys) or '0'})"
        return self._reader.arrow(sql)

    def counts(self, runs: Iterable[int]) -> dict[int, int]:
        """Run -> about how many points it has."""
        ids = integers(runs)
        return {row["run"]: row["n"] for row in self._rows("counts", runs=ids)} if ids else {}

    def last_lines(self, runs: Iterable[int]) -> dict[int, dict[int, int]]:
        """run -> writer -> the highest seq of its points."""
        ids = integers(runs)
        found: dict[int, dict[int, int]] = {}
        for row in self._rows("last_lines", runs=ids) if ids else ():
            found.setdefault(row["run"], {})[row["writer"]] = row["last"]
        return found

    def metric_names(self, runs: Iterable[int]) -> dict[int, str]:
        """key -> name, of all metrics of these runs."""
        ids = integers(runs)
        return {row["key"]: row["name"] for row in self._rows("metric_names", runs=ids)} if ids else {}

    def run_ids(self, runs: Iterable[int]) -> dict[int, str]:
        """run -> its id as people know it."""
        ids = integers(runs)
        return {row["run"]: row["run_id"] for row in self._rows("run_ids", runs=ids)} if ids else {}

    def alerts(self, runs: Iterable[int]) -> list[dict[str, Any]]:
        """The rows of `alerts` of these runs; ts in ms."""
        ids = integers(runs)
        return self._rows("alerts", runs=ids) if ids else []

    def told(self, within_s: int) -> dict[str, tuple[str, int]]:
        """cause -> (incident, when in ms) of what people were told lately."""
        rows = self._asked("told", {"within_s": within_s})
        return {row["cause"]: (row["incident"], row["at_ms"]) for row in rows}

    def unjudged(self, history_s: int, limit: int) -> list[dict[str, Any]]:
        """run, run_id and is_history of runs that go on, or ended without a verdict; the oldest first.

        is_history: it ended more than `history_s` ago, and was never planned.
        """
        return self._asked("unjudged", {"history_s": history_s, "limit": limit})

    def baseline(self, family: int, cohort: int) -> list[dict[str, Any]]:
        """The stored rows of `baselines` of this cohort."""
        return self._asked("baseline", {"family": family, "cohort": cohort})

    def peaks(self, project: str) -> list[float]:
        """How high each healthy run of the project came in leave-one-out tests, metric by metric."""
        return [row["peak"] for row in self._asked("peaks", {"project": project})]

    def close(self) -> None:
        """Give the connections back."""
        self._reader.close()

    def _source(self, runs: Sequence[int], keys: Sequence[int]) -> str:
        curves = [(run, key) for run in dict.fromkeys(runs) for key in dict.fromkeys(keys)]
        return current_points(curves, several_attempts(self._reader, runs))

    def _rows(self, statement: str, **numbers: str) -> list[dict[str, Any]]:
        return self._reader.rows(self._sql[statement].format(**numbers))

    def _asked(self, statement: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        return self._reader.rows(self._sql[statement].format(), parameters)


def _candidate(row: Mapping[str, Any]) -> Candidate:
    return Candidate(row["run"], row["run_id"], tuple(row["tags"]), row["ended_ms"], bool(row["alarmed"]))
