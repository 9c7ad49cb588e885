"""The query API: runs, curves, summaries and people's own SQL, all as Arrow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from runtide_storage import alerts, finals, verdicts
from runtide_storage import history as curves
from runtide_storage.connect import connect
from runtide_storage.questions import ask
from runtide_storage.reader import Reader
from runtide_storage.result import Result
from runtide_storage.runs import RunName, Where, resolve, runs_query
from runtide_storage.settings import clickhouse_url
from runtide_storage.statements import statements

RUNS_LIMIT = 1_000
FINALS_LIMIT = 1_000  # runs per family


class Client:
    """Reads what is stored. Threads may share it.

    `url` as http://user:password@host:port/database; without it RUNTIDE_CLICKHOUSE, or what `runtide up` wrote. Every
    method raises `Unreachable` when ClickHouse is not there and `QueryError` when the question can't be answered.
    A run is named by `project/run_id`, its id, its name, or the beginning of its id.
    """

    def __init__(self, url: str | None = None) -> None:
        self._reader = Reader(connect(url or clickhouse_url("reader")))
        # People's SQL goes through the analyst where there is one; with a URL of the caller's, through that.
        self._analyst_url = None if url else clickhouse_url("analyst")
        self._analyst: Reader | None = None
        self._sql = statements("client.sql")

    def runs(
        self,
        project: str | None = None,
        where: Where | None = None,
        order_by: str = "-started_at",
        limit: int = RUNS_LIMIT,
        offset: int = 0,
    ) -> Result:
        """The runs table, newest first.

        `where` filters by equality: project, run_id, name, state, health, group, job_type, host, tag; a list means any
        of them (of tags: all). `order_by` is a column, with `-` for descending.
        """
        filters = dict(where or {})
        if project is not None:
            filters["project"] = project
        return Result(self._reader.arrow(*runs_query(filters, order_by, limit, offset)))

    def run(self, ref: str, project: str | None = None) -> dict[str, Any]:
        """One run's row of `runs()`, with its `config`, `summary` and `meta` as dicts of plain values."""
        found = self._resolve(ref, project)
        [row] = self.runs(where={"project": found.project, "run_id": found.run_id}).to_pylist()
        row |= {"config": {}, "summary": {}, "meta": {}}
        for value in self._of(found, "values").to_pylist():
            row[value["section"]][value["name"]] = json.loads(value["value"])
        return row

    def values(self, ref: str) -> Result:
        """config, summary and meta of a run: section, name, value (JSON), number, ts."""
        return self._of(self._resolve(ref), "values")

    def events(self, ref: str) -> Result:
        """Everything a run said besides metrics, oldest first: ts, attempt, rank, writer, seq, kind, body (JSON)."""
        return self._of(self._resolve(ref), "events")

    def summaries(self, refs: str | Iterable[str]) -> Result:
        """One row per run and metric: n, first, last, min, max, mean, best and where they were."""
        found = resolve(self._reader, [refs] if isinstance(refs, str) else refs)
        names = {
            "refs": [run.ref for run in found],
            "projects": sorted({run.project for run in found}),
            "run_ids": sorted({run.run_id for run in found}),
        }
        return Result(self._reader.arrow(self._sql["summaries"], names))

    def metrics(self, ref: str) -> Result:
        """The metrics of a run: metric, n, first_step, last_step."""
        return self._of(self._resolve(ref), "metrics")

    def history(
        self,
        runs: str | Iterable[str],
        metrics: str | Iterable[str],
        points: int = 1000,
        x: str = "step",
        *,
        window: tuple[Any, Any] | None = None,
        attempts: str = "latest",
    ) -> Result:
        """Curves: at most about `points` rows for each run and metric, in order of x, the rows of a curve together.

        A curve of no more points comes as it is. A longer one comes in buckets of equal width (a power of two, so the
        buckets stay where they are while a run goes on), each with mean, min and max of its finite values, the last
        value, and how many were NaN or infinite; nothing is left out, and the same data give the same rows.

        `x`: "step", "time" (UTC), "relative" (since the run's start), or a metric's name: its value on the same line.
        `window`: (lowest, highest) x, both included; for times in ms or as datetime. `attempts`: "latest" leaves out
        what a later attempt superseded; "all" gives each attempt a curve of its own and a column `attempt`.
        Columns: project, run_id, metric, x, step, mean, min, max, last, n, nonfinite.
        """
        found = resolve(self._reader, [runs] if isinstance(runs, str) else runs)
        names = [metrics] if isinstance(metrics, str) else list(dict.fromkeys(metrics))
        return Result(curves.history(self._reader, found, names, points, x, window, attempts))

    def sql(self, query: str, params: Mapping[str, Any] | None = None, limit: int | None = None) -> Result:
        """The answer to a query over the views (docs/sql.md), read-only and within limits of rows, time and memory.

        Values go into `params`: `sql("SELECT ... WHERE project = {p:String}", {"p": "llm"})`. `limit` cuts the rows.
        """
        if self._analyst_url and self._analyst is None:
            self._analyst = Reader(connect(self._analyst_url))
        return Result(ask(self._analyst or self._reader, query, params, limit))

    def alerts(
        self,
        project: str | None = None,
        limit: int = 1_000,
        *,
        run: str | None = None,
        state: str | Iterable[str] = (),
        severity: str | Iterable[str] = (),
    ) -> Result:
        """Alerts, the newest first. `state` and `severity`: one or several of them; none: all."""
        found = self._resolve(run, project) if run else None
        return Result(alerts.find(self._reader, project, found, _several(state), _several(severity), limit))

    def alert(self, id: str) -> dict[str, Any]:  # noqa: A002 - it is called id everywhere
        """One alert, by its id or the beginning of it; `detail` as a dict."""
        row = alerts.one(self._reader, id)
        return row | {"detail": json.loads(row["detail"] or "{}")}

    def mutes(self) -> Result:
        """Of which alerts nobody is told now: id, project, group, metric, kind ("": any), until, who, reason, at."""
        return Result(alerts.mutes(self._reader))

    def verdicts(self, refs: str | Iterable[str] | None = None, project: str | None = None) -> Result:
        """How ended runs compare with their baselines: a row per metric, and one with metric "" for the whole run."""
        return Result(verdicts.verdicts(self._reader, self._several_runs(refs), project))

    def plans(self, refs: str | Iterable[str] | None = None, project: str | None = None) -> Result:
        """Whom runs are compared with, the newest first: the rows of v_plans."""
        return Result(verdicts.plans(self._reader, self._several_runs(refs), project))

    def baselines(self, family: str | None = None, project: str | None = None) -> Result:
        """What was fitted on a family (`family` of v_plans), per metric and set of members: the members' curves."""
        return Result(verdicts.baselines(self._reader, family, project))

    def marks(self, project: str | None = None) -> Result:
        """What people pinned, excluded and accepted: project, group, kind, value, who, reason, at."""
        return Result(verdicts.marks(self._reader, project))

    def finals(
        self, project: str, metric: str | None = None, group: str | None = None, limit: int = FINALS_LIMIT
    ) -> Result:
        """What the newest `limit` finished runs of each family came to, by family and start.

        `metric`: without, the one that each family is judged by. Only runs that have a plan belong to a family.
        Columns: project, group, family (hex), fields (JSON: what makes the family), metric, goal, run_id, run,
        started_at, last, last_step, best (without a goal None), commit, dirty.
        """
        return Result(finals.finals(self._reader, project, metric, group, limit))

    def peaks(self, project: str) -> Result:
        """How high the statistic of each healthy run came, tested against the other baselines of its family.

        Columns: family (hex), metric, aspect, run (integer id), peak, n (runs in its cohort). Those that could not be
        tested are left out, and those that were left out of their baseline.
        """
        return Result(finals.peaks(self._reader, project))

    def points(self, ref: str, metric: str) -> Iterator[Result]:
        """Every current point of a curve, in order of step and time, block by block: step, ts, value."""
        return map(Result, finals.points(self._reader, self._resolve(ref), metric))

    def dead_letters(self, limit: int = 1_000) -> Result:
        """What could not be stored and why, the newest first."""
        return Result(self._reader.arrow(self._sql["dead_letters"], {"limit": limit}))

    def pipeline(self) -> Result:
        """How the pipeline is, in one row; see `client.sql` for its columns."""
        return Result(self._reader.arrow(self._sql["pipeline"]))

    def close(self) -> None:
        """Give the connections back."""
        for reader in (self._reader, self._analyst):
            if reader is not None:
                reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _resolve(self, ref: str, project: str | None = None) -> RunName:
        return resolve(self._reader, [ref], project)[0]

    def _several_runs(self, refs: str | Iterable[str] | None) -> list[RunName] | None:
        return None if refs is None else resolve(self._reader, _several(refs))

    def _of(self, run: RunName, statement: str) -> Result:
        identity = {"project": run.project, "run_id": run.run_id}
        return Result(self._reader.arrow(self._sql[statement], identity))


def _several(given: str | Iterable[str]) -> Iterable[str]:
    return [given] if isinstance(given, str) else given
