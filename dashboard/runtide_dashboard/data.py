"""What the pages ask of storage: cached for a moment across all readers, limited, and in the pages' own words.

Everything raises `runtide_storage.errors.StorageError`; failures are not cached. A page that many people look at asks
ClickHouse once per `LIVE_S`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import streamlit as st

from runtide_dashboard import history, status
from runtide_dashboard.asking import ask, connection, keys, ref_of, these
from runtide_dashboard.console import ROWS_MAX as CONSOLE_ROWS_MAX
from runtide_dashboard.console import parameters
from runtide_dashboard.live import JUST_ENDED
from runtide_dashboard.records import Alert, Curve, Health, Judgement, Project, Run, Summary
from runtide_storage import regressions
from runtide_storage.errors import Ambiguous, NotFound, StorageError
from runtide_storage.goals import defined
from runtide_storage.lineage import Item
from runtide_storage.regressions import By, History

RUNS_MAX = 100  # curves in a panel
PANELS_MAX = 8
ALERTS_MAX = 500  # in the feed
LISTED_MAX = 2_000  # runs in the table
METRICS_MAX = 2_000  # names to choose from
SPARK_POINTS = 40
LIVE_S = 1.5  # a bit below the pages' refresh, so that each refresh sees something new
SPARK_S = 10.0  # a sparkline of 40 points hardly changes in that time
SLOW_S = 15.0  # what hardly changes: names, settings

Window = tuple[float, float]


@dataclass(frozen=True, slots=True)
class RunList:
    """The newest runs of a project, the newest first; `total` is how many there are."""

    runs: tuple[Run, ...]
    total: int


def answers() -> bool:
    """Whether storage answers now."""
    try:
        ask("SELECT 1")
    except StorageError:
        return False
    return True


_JUDGEMENT = tuple(field.name for field in fields(Judgement))
_SUMMARY = tuple(field.name for field in fields(Summary))
_ALERT = tuple(field.name for field in fields(Alert))
_HEALTH = tuple(field.name for field in fields(Health))


@st.cache_data(ttl=LIVE_S, show_spinner=False, max_entries=4)
def projects() -> tuple[Project, ...]:
    """All projects, the one that started a run last first."""
    sql = "SELECT project, count() AS runs FROM run_states GROUP BY project ORDER BY max(started_at) DESC, project"
    return tuple(Project(row["project"], row["runs"]) for row in ask(sql))


# A run's rank is counted over its whole project, whichever runs are asked for. No `refs`: all; `since_s`: only those
# that run, or were heard of in so many seconds (0: all).
_RUNS = """
    SELECT * FROM (
        SELECT project, run_id, name, `group`, tags, host, attempt, state, health, started_at, ended_at, seen_at,
               row_number() OVER (PARTITION BY project ORDER BY started_at, run_id DESC) - 1 AS rank,
               count() OVER (PARTITION BY project) AS total
        FROM run_states WHERE project IN {projects:Array(String)}
    )
    WHERE (empty({refs:Array(String)}) OR concat(project, '/', run_id) IN {refs:Array(String)})
        AND ({since_s:UInt32} = 0 OR state = 'running'
            OR coalesce(ended_at, seen_at, started_at) > now64(3) - toIntervalSecond({since_s:UInt32}))
    ORDER BY rank DESC LIMIT {limit:UInt32}
"""


@st.cache_data(ttl=LIVE_S, show_spinner=False, max_entries=64)
def runs(project: str) -> RunList:
    """The newest LISTED_MAX runs of a project."""
    rows = ask(_RUNS, projects=[project], refs=[], since_s=0, limit=LISTED_MAX)
    return RunList(tuple(_run(row) for row in rows), rows[0]["total"] if rows else 0)


@st.cache_data(ttl=SLOW_S, show_spinner=False, max_entries=64, refresh_mode="background")
def offered(project: str) -> tuple[Run, ...]:
    """The runs to choose among, the newest first: as they were a moment ago, so that nobody waits for them."""
    return runs(project).runs


@st.cache_data(ttl=LIVE_S, show_spinner=False, max_entries=64)
def going_on(project: str) -> tuple[Run, ...]:
    """The runs that run now or did so a moment ago, however long ago they began; the newest LISTED_MAX of them."""
    since_s = round(JUST_ENDED.total_seconds())
    return tuple(map(_run, ask(_RUNS, projects=[project], refs=[], since_s=since_s, limit=LISTED_MAX)))


@st.cache_data(ttl=LIVE_S, show_spinner=False, max_entries=256)
def _named(refs: tuple[str, ...]) -> dict[str, Run]:
    named = these(refs)
    rows = ask(_RUNS, projects=named["projects"], refs=named["refs"], since_s=0, limit=len(refs))
    return {run.ref: run for run in map(_run, rows)}


def find(refs: tuple[str, ...], listed: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """These runs in this order, as they are now, and those that don't exist. `listed` are known already."""
    known = {run.ref: run for run in listed}
    missing = tuple(ref for ref in refs if ref not in known)
    if missing:
        known |= _named(missing)
    return [known[ref] for ref in refs if ref in known], [ref for ref in refs if ref not in known]


@st.cache_data(ttl=LIVE_S, show_spinner=False, max_entries=128)
def passing(project: str, where: str) -> tuple[str, ...]:
    """The newest LISTED_MAX runs of the project that pass a filter. Raises `FilterError`, which points at the fault."""
    with connection().client() as client:
        return tuple(ref_of(row) for row in client.runs(project, where, limit=LISTED_MAX).to_pylist())


@st.cache_data(ttl=SPARK_S, show_spinner=False, max_entries=128)
def verdicts(refs: tuple[str, ...]) -> dict[str, str]:
    """Run -> how the whole of it compares with its baseline; without entry while there is no verdict."""
    sql = """
        SELECT project, run_id, verdict FROM v_verdicts
        WHERE metric = '' AND project IN {projects:Array(String)} AND run_id IN {run_ids:Array(String)}
            AND concat(project, '/', run_id) IN {refs:Array(String)}
    """
    return {ref_of(row): row["verdict"] for row in ask(sql, **these(refs))} if refs else {}


@st.cache_data(ttl=SLOW_S, show_spinner=False, max_entries=128)
def judgements(refs: tuple[str, ...], metrics: tuple[str, ...]) -> dict[tuple[str, str], Judgement]:
    """(run, metric) -> its verdict against the baseline; without entry while there is none."""
    sql = """
        SELECT * FROM v_verdicts
        WHERE metric IN {metrics:Array(String)} AND project IN {projects:Array(String)}
            AND run_id IN {run_ids:Array(String)} AND concat(project, '/', run_id) IN {refs:Array(String)}
    """
    return {
        (ref_of(row), row["metric"]): Judgement(**{name: row[name] for name in _JUDGEMENT})
        for row in ask(sql, metrics=list(metrics), **these(refs))
    }


def _run(row: dict[str, Any]) -> Run:
    return Run(
        ref=ref_of(row),
        project=row["project"],
        id=row["run_id"],
        name=row["name"] or row["run_id"],
        state=status.state_of(row["state"], row["health"]),
        group=row["group"],
        tags=tuple(row["tags"]),
        host=row["host"],
        attempt=row["attempt"],
        started_at=utc(row["started_at"]),
        ended_at=utc(row["ended_at"]) if row["ended_at"] else None,
        seen_at=utc(row["seen_at"]) if row["seen_at"] else None,
        rank=row["rank"],
    )


def utc(when: datetime) -> datetime:
    """Storage's times are UTC, whatever they say."""
    return when if when.tzinfo else when.replace(tzinfo=UTC)


@st.cache_data(ttl=SLOW_S, show_spinner=False, max_entries=64, refresh_mode="background")
def metric_names(project: str) -> tuple[str, ...]:
    """The metrics of a project, those of the most runs first."""
    sql = """
        SELECT metric FROM v_summary WHERE project = {project:String}
        GROUP BY metric ORDER BY count() DESC, metric LIMIT {limit:UInt32}
    """
    return tuple(row["metric"] for row in ask(sql, project=project, limit=METRICS_MAX))


@st.cache_data(ttl=LIVE_S * 2, show_spinner=False, max_entries=256)
def metrics_of(refs: tuple[str, ...]) -> tuple[str, ...]:
    """The metrics of these runs, those of the most runs first."""
    sql = """
        SELECT m.name AS metric
        FROM (SELECT DISTINCT run, key FROM tiers WHERE run IN {keys:Array(UInt64)} AND n > 0) AS t
        INNER JOIN (SELECT id, name FROM metrics FINAL) AS m ON t.key = m.id
        GROUP BY metric ORDER BY count() DESC, metric LIMIT {limit:UInt32}
    """
    return tuple(row["metric"] for row in ask(sql, limit=METRICS_MAX, keys=keys(refs))) if refs else ()


@st.cache_data(ttl=LIVE_S, show_spinner=False, max_entries=256)
def summaries(refs: tuple[str, ...], metrics: tuple[str, ...]) -> dict[tuple[str, str], Summary]:
    """(run, metric) -> what was logged; without entry where nothing was."""
    if not refs or not metrics:
        return {}
    sql = """
        SELECT project, run_id, metric, n, nonfinite, first_step, last, last_step, min, min_step, max, max_step,
            toUnixTimestamp64Milli(first_ts) AS first_ms, toUnixTimestamp64Milli(last_ts) AS last_ms
        FROM summaries WHERE key IN {keys:Array(UInt64)} AND metric IN {metrics:Array(String)}
    """
    goals = _goals(refs)
    found = {}
    for row in ask(sql, metrics=list(metrics), keys=keys(refs)):
        ref, metric = ref_of(row), row["metric"]
        row["goal"] = defined(goals.get(ref, {}), metric) or None
        found[ref, metric] = Summary(**{name: row[name] for name in _SUMMARY})
    return found


@st.cache_data(ttl=SLOW_S, show_spinner=False, max_entries=256)
def _goals(refs: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Run -> name or pattern -> goal, as it defined them, the latest last."""
    sql = "SELECT run, name, goal FROM metric_defs FINAL WHERE run IN {keys:Array(UInt64)} ORDER BY ts"
    named = dict(zip(keys(refs), refs, strict=True))
    found: dict[str, dict[str, str]] = {}
    for row in ask(sql, keys=list(named)):
        found.setdefault(named[row["run"]], {})[row["name"]] = row["goal"]
    return found


@st.cache_data(ttl=SPARK_S, show_spinner=False, max_entries=64)
def sparklines(refs: tuple[str, ...], metric: str) -> dict[str, list[float]]:
    """Run -> a few points of its curve, without those that are no numbers."""
    if not refs:
        return {}
    with connection().client() as client:
        found = history.split(client.history(refs, metric, points=SPARK_POINTS).arrow)
    return {ref: curve.mean[np.isfinite(curve.mean)].tolist() for ref, curve in found.get(metric, {}).items()}


@st.cache_data(ttl=LIVE_S, show_spinner=False, max_entries=128, max_size="256MB")
def curves(
    refs: tuple[str, ...], metrics: tuple[str, ...], x: str, window: Window | None, points: int
) -> dict[str, dict[str, Curve]]:
    """metric -> run -> curve within `window` (None: all), about `points` points each. One question for all.

    `x`: step, time, relative, or a metric.
    """
    with connection().client() as client:
        return history.split(client.history(refs, metrics, points=points, x=x, window=window).arrow)


@st.cache_data(ttl=SLOW_S, show_spinner=False, max_entries=128)
def values(refs: tuple[str, ...], section: str) -> dict[str, dict[str, Any]]:
    """Run -> key -> value of its `config` or `meta`."""
    found: dict[str, dict[str, Any]] = {}
    sql = """
        SELECT project, run_id, name, value FROM v_values
        WHERE project IN {projects:Array(String)} AND run_id IN {run_ids:Array(String)}
            AND concat(project, '/', run_id) IN {refs:Array(String)} AND section = {section:String}
    """
    for row in ask(sql, section=section, **these(refs)):
        found.setdefault(ref_of(row), {})[row["name"]] = json.loads(row["value"])
    return found


@st.cache_data(ttl=LIVE_S, show_spinner=False, max_entries=64)
def events(ref: str) -> list[dict[str, Any]]:
    """Everything a run said besides metrics, the oldest first, as `Client.events` has it."""
    with connection().client() as client:
        return [row | {"ts": utc(row["ts"])} for row in client.events(ref).to_pylist()]


@st.cache_data(ttl=SLOW_S, show_spinner=False, max_entries=32)
def recorded(refs: tuple[str, ...]) -> dict[str, dict[str, dict[str, Any]]]:
    """Run -> part -> name -> value: everything by which runs may differ. Raises `NotFound` if one is gone."""
    with connection().client() as client:
        return client.recorded(refs)


@st.cache_data(ttl=LIVE_S, show_spinner=False, max_entries=64)
def lineage(ref: str) -> list[Item]:
    """What a run used and made, who made that, and who else used it."""
    with connection().client() as client:
        return client.lineage(ref)


@st.cache_data(ttl=LIVE_S, show_spinner=False, max_entries=64)
def processes(ref: str) -> list[dict[str, Any]]:
    """The processes that wrote into a run: attempt, rank, host, pid, started_at, seen_at, lines; at most LISTED_MAX."""
    sql = """
        SELECT attempt, rank, host, pid, started_at, seen_at, lines FROM v_writers
        WHERE project = {project:String} AND run_id = {run_id:String}
        ORDER BY attempt DESC, rank, started_at LIMIT {limit:UInt32}
    """
    project, _, run_id = ref.partition("/")
    return ask(sql, project=project, run_id=run_id, limit=LISTED_MAX)


@st.cache_data(ttl=LIVE_S, show_spinner=False, max_entries=64)
def alerts_of(ref: str) -> tuple[Alert, ...]:
    """The alerts of a run, the newest first."""
    with connection().client() as client:
        return tuple(_alert(row | {"detail": _detail(row["detail"])}) for row in client.alerts(run=ref))


@st.cache_data(ttl=LIVE_S, show_spinner=False, max_entries=32)
def alerts(project: str) -> tuple[Alert, ...]:
    """The newest ALERTS_MAX alerts of a project, the newest first."""
    with connection().client() as client:
        return tuple(_alert(row | {"detail": _detail(row["detail"])}) for row in client.alerts(project, ALERTS_MAX))


@st.cache_data(ttl=LIVE_S, show_spinner=False, max_entries=128)
def alert(project: str, prefix: str) -> Alert | None:
    """The alert of the project whose id is, or begins with, `prefix`; None if there is none, or no single one."""
    try:
        with connection().client() as client:
            found = _alert(client.alert(prefix))
    except (NotFound, Ambiguous):
        return None
    return found if found.project == project else None


@st.cache_data(ttl=LIVE_S, show_spinner=False, max_entries=32)
def mutes(project: str) -> list[dict[str, Any]]:
    """What is muted now in the project, or in all of them, the newest first, as `Client.mutes` has it."""
    with connection().client() as client:
        rows = [row for row in client.mutes().to_pylist() if row["project"] in ("", project)]
    return [row | {"until": utc(row["until"]) if row["until"] else None} for row in rows]


def _alert(row: Mapping[str, Any]) -> Alert:
    return Alert(
        **{name: row[name] for name in _ALERT if name not in ("ts", "metric", "who", "reason")},
        ts=utc(row["ts"]),
        metric=row["metric"] or "",
        who=row["who"] or "",
        reason=row["reason"] or "",
    )


def _detail(text: str) -> dict[str, Any]:
    found = json.loads(text or "{}")
    return found if isinstance(found, dict) else {}


@st.cache_data(ttl=SLOW_S, show_spinner=False, max_entries=16)
def histories(project: str, by: By) -> list[History]:
    """The families of a project, each with its finished runs and where their values changed."""
    with connection().client() as client:
        return regressions.histories(client.finals(project).to_pylist(), by)


@st.cache_data(ttl=2.0, show_spinner=False, max_entries=2)
def pipeline() -> Health:
    """How the pipeline is."""
    with connection().client() as client:
        [row] = client.pipeline().to_pylist()
    return Health(**{name: row[name] for name in _HEALTH})


@st.cache_data(ttl=SLOW_S, show_spinner="Asking …", max_entries=32, max_size="128MB")
def console(statement: str, project: str, metric: str) -> tuple[pa.Table, float]:
    """The answer to people's own SQL, one row more than is shown of it, and the seconds it took."""
    started = time.perf_counter()
    params = parameters(statement, project=project, metric=metric)
    with connection().client() as client:
        found = client.sql(statement, params, limit=CONSOLE_ROWS_MAX + 1).arrow
    return found, time.perf_counter() - started
