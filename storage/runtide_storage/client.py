"""The query API: runs, curves, summaries and people's own SQL, all as Arrow."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import pyarrow as pa

from runtide_storage import alerts, bands, causes, differences, finals, verdicts
from runtide_storage import compare as comparing
from runtide_storage import export as exporting
from runtide_storage import history as curves
from runtide_storage.causes import Causes
from runtide_storage.connect import connect
from runtide_storage.differences import Difference
from runtide_storage.errors import QueryError
from runtide_storage.export import Format, Progress, What
from runtide_storage.lineage import Item, lineage
from runtide_storage.questions import ask
from runtide_storage.reader import Reader
from runtide_storage.result import Result
from runtide_storage.run_table import Where, count, run_table, shown
from runtide_storage.runs import RunName, resolve
from runtide_storage.settings import clickhouse_url
from runtide_storage.statements import statements

RUNS_LIMIT = 1_000
FINALS_LIMIT = 1_000  # runs per family
METRICS_LIMIT = 200_000
PAGE = 10_000  # runs at once, of a filter's


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
        order_by: str | Sequence[str] = "-started_at",
        limit: int = RUNS_LIMIT,
        offset: int = 0,
        columns: Sequence[str] | None = None,
    ) -> Result:
        """The runs table, newest first.

        `where`: a filter, as in `config.lr > 0.01 and last.val/acc >= 0.9 and tags has "prod"` (docs/filters.md), or a
        mapping of project, run_id, name, state, health, group, job_type, host, tag to what they equal; a list means any
        of them (of tags: all). `order_by`: fields of the filter language, with `-` for descending; missing values come
        last, and what is equal by project and run id. `columns`: fields to add, such as `config.lr` and `last.loss`.
        Raises `FilterError`, which points at the character.
        """
        return Result(run_table(self._reader, project, where, order_by, limit, offset, columns or ()))

    def count(self, project: str | None = None, where: Where | None = None) -> int:
        """How many runs pass a filter of `runs()`."""
        return count(self._reader, project, where)

    def run(self, ref: str, project: str | None = None) -> dict[str, Any]:
        """One run's row of `runs()`, with its `config`, `summary` and `meta` as dicts of plain values."""
        found = self._resolve(ref, project)
        row: dict[str, Any]
        [row] = shown(self._reader, pa.array([found.key], pa.uint64())).to_pylist()
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
        return Result(self._reader.arrow(self._sql["summaries"], {"runs": [run.key for run in found]}))

    def metrics(
        self,
        ref: str | None = None,
        search: str | None = None,
        project: str | None = None,
        limit: int = METRICS_LIMIT,
        offset: int = 0,
    ) -> Result:
        """The metrics of a run, or of all runs of `project`: metric, runs, n, first_step, last_step.

        `search` is a part of the name, or with `*` or `?` the whole of it; capital letters or not. Those of most runs
        come first, the machine's own (`system/...`) last.
        """
        if (ref is None) == (project is None):
            raise QueryError("metrics: of a run, or of a project?")
        given = {"run": self._resolve(ref).key if ref is not None else 0, "project": project or ""}
        given |= {"pattern": _like(search) if search else "", "limit": limit, "offset": offset}
        return Result(self._reader.arrow(self._sql["metrics"], given))

    def compare(
        self,
        runs: str | Iterable[str],
        baseline: str | Iterable[str] | None = None,
        metrics: str | Iterable[str] | None = None,
    ) -> Result:
        """Runs side by side: a row per metric and run, in the order of `metrics` (else by name) and of `runs`.

        Columns: project, run_id, run, metric, goal, n, nonfinite, first, first_step, last, last_step, min, min_step,
        max, max_step, mean, best, best_step; all of current points, min, max and mean of the finite ones.

        With `baseline`, one run or several, also: `value` (the best where there is a goal, else the last), the same of
        the baseline runs as `baseline` (mean), `baseline_low`, `baseline_high` and `baseline_n` (a run is never
        compared with itself), `delta` and `relative` (of value to their mean), and `verdict`: "same" within what the
        baseline runs reached, else "better" or "worse"; None without a goal or a baseline. How sure one can be of an
        ended run is in `verdicts()`, which tests it against the spread of its family.
        """
        several = resolve(self._reader, _several(runs))
        others = None if baseline is None else resolve(self._reader, _several(baseline))
        names = None if metrics is None else list(dict.fromkeys(_several(metrics)))
        return Result(comparing.compare(self._reader, several, others, names))

    def diff(self, a: str, b: str) -> list[Difference]:
        """Everything recorded of two runs, equal or not, part by part in the order of `differences.PARTS`.

        Parts: config, code (commit, uncommitted diff, branch, ...), environment, packages, hardware, dataset, input and
        output (artifacts), result (last values, best ones, summary).
        """
        return differences.diff(self._reader, *(self._resolve(ref) for ref in (a, b)))

    def causes(self, a: str, b: str, metric: str | None = None) -> Causes:
        """The recorded differences of two runs in the order in which to look for the cause of their different results.

        `metric`: the result to explain; by default one with a goal that both have, a held-out one if there is any. How
        strongly a difference goes with it is told from the project's newest 100 runs. An order, not a proof.
        """
        return causes.causes(self._reader, self._resolve(a), self._resolve(b), metric)

    def repeated(self, a: str, b: str) -> Result:
        """Whether two runs logged the same numbers, bit by bit: a row per metric, without the machine's own.

        Columns: metric, n_a, n_b, n_same (current points), first_step (where they begin to differ; None: nowhere) and
        relative (the largest difference of one point, of the larger of the two, where both have as many at a step).
        """
        return Result(comparing.repeated(self._reader, *(self._resolve(ref) for ref in (a, b))))

    def recorded(self, runs: str | Iterable[str]) -> dict[str, dict[str, dict[str, Any]]]:
        """By which runs may differ: run -> part -> name -> value, with the parts of `diff` but result."""
        named = resolve(self._reader, _several(runs))
        found = differences.recorded(self._reader, [run.key for run in named])
        return {run.ref: differences.by_part(found.get(run.key, {})) for run in named}

    def lineage(self, run: str) -> list[Item]:
        """What a run used and made, who made that, and who else used it."""
        return lineage(self._reader, self._resolve(run))

    def baseline_band(
        self,
        runs: str | Iterable[str],
        metric: str,
        points: int = 200,
        x: str = "step",
        *,
        window: tuple[Any, Any] | None = None,
        quantiles: Sequence[float] = (0.1, 0.5, 0.9),
    ) -> Result:
        """How several runs' curves of a metric are spread, at no more than about `points` places along x.

        Each run counts with its mean within the place's bucket (see `history`); its NaN and infinite points don't.
        Columns: x (the last in the bucket), n (runs that have a finite value there), mean, min, max, and a column for
        each quantile, named by its percent: q10, q50, q90. NULL where no run has any.
        """
        return Result(bands.band(self._reader, list(_several(runs)), metric, points, x, window, quantiles))

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
        refs = list(_several(runs))
        names = list(dict.fromkeys(_several(metrics)))
        return Result(curves.history(self._reader, refs, names, points, x, window, attempts))

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

    def export(
        self,
        path: str | os.PathLike[str],
        runs: str | Iterable[str] | None = None,
        *,
        project: str | None = None,
        where: Where | None = None,
        what: What = "points",
        format: Format | None = None,  # noqa: A002 - it is called format everywhere
        metrics: str | Iterable[str] | None = None,
        attempts: str = "latest",
        progress: Progress | None = None,
        overwrite: bool = False,
    ) -> int:
        """Write runs into a file, block by block, and return the number of rows.

        Which runs: `runs`, or all that `project` and `where` choose. `what`: "points" (project, run_id, metric, step,
        ts, value, attempt), "runs", "summaries", "events", "values" or "alerts". The format is that of the suffix:
        .parquet, .csv, .arrow, .feather, .jsonl, .ndjson; .csv and .jsonl also with .gz. Numbers are exact; CSV and
        JSON write NaN and infinity as texts. `metrics` narrows points and summaries, `attempts` is as in `history`.

        The file appears at the end, whole: whatever stops the export before leaves nothing. One that exists is replaced
        only with `overwrite`. `progress(rows, runs done, runs)` is called with every block.
        Raises `QueryError`, `NotFound` without any run, `OSError`.
        """
        chosen = resolve(self._reader, _several(runs)) if runs is not None else self._chosen(project, where)
        names = None if metrics is None else list(dict.fromkeys(_several(metrics)))
        return exporting.export(self._reader, path, chosen, what, format, names, attempts, progress, overwrite)

    def close(self) -> None:
        """Give the connections back."""
        for reader in (self._reader, self._analyst):
            if reader is not None:
                reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _chosen(self, project: str | None, where: Where | None) -> list[RunName]:
        """All runs of a filter."""
        refs: list[str] = []
        while page := [
            f"{row['project']}/{row['run_id']}" for row in self.runs(project, where, limit=PAGE, offset=len(refs))
        ]:
            refs += page
        return resolve(self._reader, refs)

    def _resolve(self, ref: str, project: str | None = None) -> RunName:
        return resolve(self._reader, [ref], project)[0]

    def _several_runs(self, refs: str | Iterable[str] | None) -> list[RunName] | None:
        return None if refs is None else resolve(self._reader, _several(refs))

    def _of(self, run: RunName, statement: str) -> Result:
        return Result(self._reader.arrow(self._sql[statement], {"run": run.key}))


def _several(given: str | Iterable[str]) -> Iterable[str]:
    return [given] if isinstance(given, str) else given


def _like(search: str) -> str:
    """A part of a name, or a whole one with * and ?, as a pattern of LIKE."""
    escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    if "*" in search or "?" in search:
        return escaped.replace("*", "%").replace("?", "_")
    return f"%{escaped}%"
