"""`runtide baseline`: which runs a run is compared with, how they were, and what people say of that."""

from __future__ import annotations

import getpass
import json
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from runtide.cli import CommandError
from runtide_storage import verdicts
from runtide_storage.connect import connect
from runtide_storage.ids import run_key
from runtide_storage.settings import clickhouse_url
from runtide_storage.verdicts import Mark
from runtide_storage.writer import Writer
from runtide_workers.alerting import families
from runtide_workers.alerting.baselines import MEMBERS_MIN, Cohort
from runtide_workers.alerting.incidents import metrics_for_page
from runtide_workers.alerting.plans import CANDIDATES_MAX, Plan, Planner
from runtide_workers.cli import output
from runtide_workers.cli.comparing import Comparer, Nowhere
from runtide_workers.detection.baseline import Baseline

FAMILIES_MAX = 10
METRICS_MAX = 20
PLACES = (0.25, 0.5, 0.75, 1.0)  # of the run: where mean and spread are shown
PINS: tuple[Mark, ...] = ("run", "tag", "alias")

Row = dict[str, Any]


def show(ref: str | None, project: str | None, group: str | None, metrics: Sequence[str], as_json: bool) -> int:
    """One run's baseline as it was fixed at its start, or that of the next run of each family of a project."""
    comparer = Comparer()
    found = [_of_run(comparer, ref, project)] if ref else _of_families(comparer, _project(project), group)
    wanted = [_narrowed(each, metrics) for each in found]
    if as_json:
        print(output.as_json({"baselines": wanted}))
        return 0
    if not wanted:
        print("no family yet: the first run that the worker plans makes one")
    for each in wanted:
        _print(each)
    return 0


def pin(ref: str, group: str | None, project: str | None, reason: str, as_json: bool, *, active: bool) -> int:
    """Pin a run, a tag or an alias for the runs of a group, or take that back."""
    kind, colon, name = ref.partition(":")
    if colon and kind in ("tag", "alias"):
        where = _project(project)
        if not name:
            raise CommandError(f"{ref}: expected {kind}:NAME")
        return _mark(kind, name, where, group or "", reason, as_json, active=active)  # type: ignore[arg-type]
    return mark_run("run", ref, group, project, reason, as_json, active=active)


def mark_run(
    kind: Mark, ref: str, group: str | None, project: str | None, reason: str, as_json: bool, *, active: bool
) -> int:
    """Mark a run, for the runs of its own group if no other is named."""
    run = Comparer().client.run(ref, project=project)
    return _mark(
        kind, run["run_id"], run["project"], run["group"] if group is None else group, reason, as_json, active=active
    )


def _mark(kind: Mark, value: str, project: str, group: str, reason: str, as_json: bool, *, active: bool) -> int:
    try:
        who = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        who = ""
    client = connect(clickhouse_url("writer"))
    try:
        writer = Writer(client)
        verdicts.mark(
            writer, project=project, group=group, kind=kind, value=value, active=active, who=who, reason=reason
        )
    finally:
        client.close()
    row = {"project": project, "group": group, "kind": kind, "value": value, "active": active, "reason": reason}
    if as_json:
        print(output.as_json(row))
    else:
        of = f"group {output.clean(group)} of {project}" if group else f"{project} (every group)"
        print(f"{_SAID[kind, active].format(output.clean(value))} for {of}; it counts for runs that start from now on")
    return 0


_SAID: Mapping[tuple[Mark, bool], str] = {
    ("run", True): "run {} is pinned", ("run", False): "run {} is no longer pinned",
    ("tag", True): "tag {} is pinned", ("tag", False): "tag {} is no longer pinned",
    ("alias", True): "alias {} is pinned", ("alias", False): "alias {} is no longer pinned",
    ("exclude", True): "run {} is excluded", ("exclude", False): "run {} is included again",
    ("accept", True): "run {} is accepted", ("accept", False): "run {} is no longer accepted",
}  # fmt: skip


def _project(project: str | None) -> str:
    found = project or os.environ.get("RUNTIDE_PROJECT", "")
    if not found:
        raise CommandError("which project? --project NAME, or RUNTIDE_PROJECT")
    return found


# ---------------------------------------------------------------------- what is shown


def _of_run(comparer: Comparer, ref: str, project: str | None) -> Row:
    run = comparer.client.run(ref, project=project)
    key = run_key(run["project"], run["run_id"])
    stored = comparer.cohorts.plans([key])
    plan = comparer.plan(key)
    fields = (
        json.loads(stored[key]["fields"])
        if key in stored
        else families.family_of(plan.facts, comparer.settings.family_fields).fields
    )
    title = f"{plan.facts.ref} is compared with" if key in stored else f"{plan.facts.ref} would be compared with"
    return _described(comparer, title, fields, plan)


def _of_families(comparer: Comparer, project: str, group: str | None) -> list[Row]:
    """Of the families planned last: whom their next run would be compared with."""
    newest: dict[str, Mapping[str, Any]] = {}
    for plan in comparer.client.plans(project=project):
        if group is None or plan["group"] == group:
            newest.setdefault(plan["family"], plan)
    prototypes = [run_key(project, plan["run_id"]) for plan in list(newest.values())[:FAMILIES_MAX]]
    facts, stored = comparer.cohorts.facts(prototypes), comparer.cohorts.plans(prototypes)
    planner = Planner(comparer.cohorts, Nowhere(), comparer.settings)
    now_ms = time.time_ns() // 1_000_000
    found = []
    for key in prototypes:
        plan = stored[key]
        marks = comparer.cohorts.marks(project, facts[key].group)
        candidates = comparer.cohorts.candidates(plan["family"], now_ms, CANDIDATES_MAX)
        pins = any(marks.get(kind) for kind in PINS)
        pinned = comparer.cohorts.pinned(project, marks, CANDIDATES_MAX) if pins else []
        members = families.choose(candidates, pinned, marks, own=0)
        goals = {**families.goals(planner.baselines.metrics(members), facts[key].goals), **json.loads(plan["goals"])}
        cohort = planner.baselines.of(plan["family"], members, goals, plan["primary"])
        if not cohort.members:  # too few: they are shown all the same
            cohort = Cohort(tuple(members))
        next_plan = Plan(facts[key], plan["family"], goals, plan["primary"], plan["threshold"], cohort)
        title = "the next run of this family will be compared with"
        found.append(_described(comparer, title, json.loads(plan["fields"]), next_plan))
    return found


def _described(comparer: Comparer, title: str, fields: Mapping[str, Any], plan: Plan) -> Row:
    """A plan in plain values."""
    cohort, facts, primary = plan.cohort, plan.facts, plan.primary
    members = comparer.cohorts.facts(cohort.members)
    marks = [row for row in comparer.client.marks(facts.project) if row["group"] in ("", facts.group)]
    names = {run: each.run_id for run, each in members.items()}
    return {
        "title": title,
        "family": f"{plan.family:016X}",
        "fields": dict(fields),
        "primary": primary or None,
        "members": [
            {
                "run": members[run].ref,
                "name": members[run].name or None,
                "ended_at": datetime.fromtimestamp(members[run].ended_ms / 1000, UTC),
                "wild": sorted(
                    metric
                    for metric, used in cohort.used.items()
                    if run in [used[at] for at in cohort.values[metric].wild]
                ),
            }
            for run in cohort.members
            if run in members
        ],
        "marks": [{name: row[name] for name in ("kind", "value", "group", "who", "reason", "at")} for row in marks],
        "metrics": [
            _metric(metric, baseline, [names.get(run, "") for run in cohort.used[metric]], plan.threshold)
            for metric, baseline in sorted(cohort.values.items(), key=lambda each: (each[0] != primary, each[0]))
        ],
        "calibration": _calibration(cohort, primary, plan.threshold),
    }


def _metric(metric: str, baseline: Baseline, members: Sequence[str], threshold: float | None) -> Row:
    limit = baseline.threshold if threshold is None else threshold
    steps = [float(baseline.edges[0] + place * baseline.length) for place in PLACES]
    steps[-1] = float(baseline.centres[-1])
    return {
        "metric": metric,
        "goal": baseline.goal,
        "scale": baseline.scale,
        "n": baseline.n,
        "wild": [members[at] for at in baseline.wild],
        "levels": [
            {"step": round(step), "mean": mean, "low": low, "high": high}
            for step, (mean, low, high) in ((step, baseline.level(step)) for step in steps)
        ],
        "threshold": limit,
        "tested": len(_tested(baseline)),
        "alarms": int((baseline.peaks[_tested(baseline)] > limit).sum()),
    }


def _calibration(cohort: Cohort, primary: str, threshold: float | None) -> Row:
    """Of the members, each tested against all others: on how many would people have been told?"""
    alarmed: dict[int, set[str]] = {}
    for metric, baseline in cohort.values.items():
        limit = baseline.threshold if threshold is None else threshold
        for at in _tested(baseline):
            above = [metric] if baseline.peaks[at] > limit else []
            alarmed.setdefault(cohort.used[metric][at], set()).update(above)
    needed = metrics_for_page(len(cohort.values))
    return {
        "runs": len(alarmed),
        "paged": sum(primary in metrics or len(metrics) >= needed for metrics in alarmed.values()),
        "alarmed": sum(bool(metrics) for metrics in alarmed.values()),
    }


def _tested(baseline: Baseline) -> list[int]:
    """The healthy members that could be tested against the others."""
    return [at for at in np.flatnonzero(np.isfinite(baseline.peaks)).tolist() if at not in baseline.wild]


def _narrowed(found: Row, metrics: Sequence[str]) -> Row:
    """Only these metrics. Raises `CommandError` for one that there is not."""
    for each in metrics:
        if not any(fnmatchcase(row["metric"], each) for row in found["metrics"]):
            known = ", ".join(row["metric"] for row in found["metrics"][:METRICS_MAX])
            raise CommandError(f"there is no baseline for {each}; there is one for {known or 'nothing'}")
    kept = [row for row in found["metrics"] if not metrics or any(fnmatchcase(row["metric"], each) for each in metrics)]
    return found | {"metrics": kept}


def _print(found: Row) -> None:
    output.heading(output.clean(f"family {found['family']}"))
    for name, value in found["fields"].items():
        print(f"  {output.clean(name):<24}  {output.short(_text(value), 100)}")
    if found["primary"]:
        print(f"  {'(primary metric)':<24}  {output.clean(found['primary'])}")
    count = len(found["members"])
    if count >= MEMBERS_MIN:
        output.heading(f"{found['title']} {count} runs")
    else:
        output.heading(f"no baseline yet: {count} of the {MEMBERS_MIN} runs that it needs")
    if found["members"]:
        rows = [(row["run"], row["name"], row["ended_at"], row["wild"] or None) for row in found["members"]]
        output.table(("run", "name", "ended", "left out of"), rows)
    for mark in found["marks"]:
        why = f": {output.clean(mark['reason'])}" if mark["reason"] else ""
        print(f"  {_MARKED[mark['kind']]} {output.clean(mark['value'])} by {output.clean(mark['who']) or '?'}{why}")
    if not found["metrics"]:
        return
    output.heading("mean ± sd between the runs")
    columns = ("metric", "goal", "runs", *(f"{place:.0%}" for place in PLACES), "left out", "would have alarmed")
    rows = [
        (
            row["metric"], row["goal"], row["n"], *(_level(each) for each in row["levels"]), row["wild"] or None,
            f"{row['alarms']} of {row['tested']}" if row["tested"] else None,
        )
        for row in found["metrics"][:METRICS_MAX]
    ]  # fmt: skip
    output.table(columns, rows, right=columns[2:-2])
    if len(found["metrics"]) > METRICS_MAX:
        print(f"  … and {len(found['metrics']) - METRICS_MAX} more: --json has them all, --metric chooses")
    tested = found["calibration"]
    if tested["runs"]:
        threshold = output.number(float(found["metrics"][0]["threshold"]))
        times = "once" if tested["paged"] == 1 else f"{tested['paged']} times"
        print(
            f"on your last {tested['runs']} healthy runs this setting (threshold {threshold})"
            f" would have alarmed {times}; on {tested['alarmed']} a metric was above it"
        )


_MARKED = {
    "run": "pinned: run",
    "tag": "pinned: tag",
    "alias": "pinned: alias",
    "exclude": "excluded:",
    "accept": "accepted:",
}


def _level(level: Mapping[str, Any]) -> str:
    if not np.isfinite(level["mean"]):
        return "-"
    spread = (level["high"] - level["low"]) / 2
    return f"{output.number(level['mean'])} ± {spread:.2g}" if np.isfinite(spread) else output.number(level["mean"])


def _text(value: object) -> str:
    return output.clean(value if isinstance(value, str) else output.as_json(value))
