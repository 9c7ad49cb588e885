"""How a run compares with its baseline: as the worker found when it ended, or worked out now.

For `verdict`, `compare` and `gate`. Nothing is written: what is worked out here is forgotten again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

from runtide.cli import CommandError
from runtide_storage import Client
from runtide_storage.cohorts import Cohorts
from runtide_storage.connect import connect
from runtide_storage.ids import run_key
from runtide_storage.settings import clickhouse_url
from runtide_workers.alerting import config, families, judging
from runtide_workers.alerting.baselines import MEMBERS_MIN, Baselines, Cohort
from runtide_workers.alerting.plans import Plan, Planner

WAYS = ("tag", "alias", "group")
METRICS_SHOWN_MAX = 12
PAGES_MAX = 1_000
SAID_BY_PEOPLE = ("user", "rule")  # kinds of alerts that say nothing against a run as a baseline
CLOCK_SKEW = timedelta(seconds=30)  # between a trainer, which says when it ended, and a worker
_FIELDS = ("verdict", "reason", "goal", "step", "value", "baseline", "effect", "low", "high", "n")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A verdict, and where it is from. Rows have the columns of v_verdicts from `metric` to `n`."""

    run: Mapping[str, Any]  # as `Client.run` gives it
    whole: Row
    metrics: list[Row]
    members: list[str]  # the baseline's runs, as PROJECT/RUN, the oldest first
    stored: bool

    @property
    def ref(self) -> str:
        return f"{self.run['project']}/{self.run['run_id']}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "run": self.ref,
            "name": self.run["name"],
            "state": self.run["state"],
            **{name: self.whole[name] for name in _FIELDS},
            "metrics": self.metrics,
            "baseline_runs": self.members,
            "stored": self.stored,
        }


class Nowhere:
    """Takes rows and forgets them: a reader may not write, and need not."""

    def rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        pass


class Comparer:
    """Reads through the reader's URL. Raises `StorageError`, and `CommandError` for what makes no sense."""

    def __init__(self) -> None:
        self.client = Client()
        self.cohorts = Cohorts(connect(clickhouse_url("reader")))
        self.settings = config.load()

    def compare(self, run: Mapping[str, Any], baseline: Sequence[str] = (), metrics: Sequence[str] = ()) -> Comparison:
        """The stored verdict, or one that is worked out: against other runs, or for some metrics, or if none is stored.

        `run`: as `Client.run` gives it. `baseline`: what `baseline_runs` takes. `metrics`: names or globs.
        """
        if not baseline and not metrics:
            found = self.stored(run)
            if found is not None:
                return found
        members = self.baseline_runs(baseline, run) if baseline else None
        return self._worked_out(run, members, metrics)

    def stored(self, run: Mapping[str, Any]) -> Comparison | None:
        """The verdict that the worker stored when the run ended, if it did; not that of an earlier attempt."""
        ref = _ref(run)
        found = {row["metric"]: row for row in self.client.verdicts([ref])}
        if "" not in found or run["state"] == "running":
            return None
        if run["ended_at"] is not None and found[""]["made_at"] < run["ended_at"] - CLOCK_SKEW:
            return None
        rows = [_row(row) for row in found.values()]
        whole = next(row for row in rows if not row["metric"])
        plans = self.client.plans([ref]).to_pylist()
        members = [f"{run['project']}/{member}" for member in plans[0]["members"]] if plans else []
        return Comparison(run, whole, [row for row in rows if row["metric"]], members, stored=True)

    def plan(self, run: int) -> Plan:
        """The run's plan as it was fixed, or as it would be if its first points were seen now."""
        plans = Planner(self.cohorts, Nowhere(), self.settings).plan({run: 0.0}, begin=lambda _: None)
        return dict(plans)[run]

    def baseline_runs(self, given: Iterable[str], run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The runs that these references mean, the oldest first, at most as many as a baseline has.

        Each is a run, or `tag:NAME`, `alias:NAME` (of an artifact) or `group:NAME`: finished runs of the run's project
        without those that people excluded, of a group also without those on which detection alarmed and that nobody
        accepted. The run itself is never among them. Raises `CommandError` if nothing is left.
        """
        found: dict[str, Mapping[str, Any]] = {}
        parts = [part.strip() for each in given for part in each.split(",") if part.strip()]
        for part in parts:
            way, colon, name = part.partition(":")
            if colon and way in WAYS:
                found |= {_ref(row): row for row in self._selected(way, name, run)}
            else:
                row = self.client.run(part, project=run["project"])
                found[_ref(row)] = row
        found.pop(_ref(run), None)
        if not found:
            raise CommandError(f"no run to compare with: {', '.join(parts)} is no finished run besides {_ref(run)}")
        newest = sorted(found.values(), key=lambda row: (row["started_at"], row["run_id"]))
        return newest[-families.MEMBERS_MAX :]

    def _selected(self, way: str, name: str, run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        project = run["project"]
        marks = self.cohorts.marks(project, run["group"])
        excluded = set(marks.get("exclude", ()))
        if way == "group":
            alerts = self.client.alerts(project, PAGES_MAX, state=("open", "acknowledged"), severity="page")
            alarmed = {row["run_id"] for row in alerts if row["kind"] not in SAID_BY_PEOPLE}
            excluded |= alarmed - set(marks.get("accept", ()))
            where = {"group": name, "state": "finished"}
            rows = self.client.runs(project, where).to_pylist()
        else:
            limit = families.MEMBERS_MAX + len(excluded) + 1
            ids = [each.run_id for each in self.cohorts.pinned(project, {way: [name]}, limit)]
            rows = self.client.runs(project, {"run_id": ids}).to_pylist() if ids else []
        return [row for row in rows if row["run_id"] not in excluded]

    def _worked_out(
        self, run: Mapping[str, Any], members: Sequence[Mapping[str, Any]] | None, metrics: Sequence[str]
    ) -> Comparison:
        key = run_key(run["project"], run["run_id"])
        if members is None:
            plan = self.plan(key)
        else:
            plan = self._plan_with(key, [run_key(row["project"], row["run_id"]) for row in members])
        chosen: list[str] = []
        if metrics:
            chosen = self._chosen(run, plan, metrics)
            plan.goals = {metric: plan.goals[metric] for metric in chosen}
            plan.primary = chosen[0] if len(chosen) == 1 else ""
        alerts = self.client.alerts(run=_ref(run), state="open", severity="page")
        pages = [row["title"] for row in alerts if not chosen or row["metric"] in (None, *chosen)]
        rows = [
            _row(row) for row in judging.judge(self.cohorts, plan, run["state"], pages, time.time_ns() // 1_000_000)
        ]
        judged = {row["metric"]: row for row in rows}
        for metric in chosen:
            judged.setdefault(metric, _without_baseline(metric, plan.goals[metric]))
        whole = judged.pop("")
        names = [_ref(row) for row in members] if members is not None else self._names(plan.cohort.members)
        return Comparison(run, whole, [judged[metric] for metric in sorted(judged)], names, stored=False)

    def _plan_with(self, run: int, members: list[int]) -> Plan:
        """As if these were the run's baseline."""
        facts = self.cohorts.facts([run, *members])
        extents = self.cohorts.extents([run, *members])
        definitions = [facts[each].goals for each in (run, *reversed(members)) if each in facts]
        goals = families.goals(dict.fromkeys(each.metric for each in extents), *definitions)
        explicit = [name for known in definitions[:2] for name in known]
        primary = families.primary(goals, explicit, self.settings.project(facts[run].project).primary)
        if len(members) >= MEMBERS_MIN:
            cohort = Baselines(self.cohorts, Nowhere()).of(0, members, goals, "")
        else:  # too few for a baseline along the steps, but their last values say something
            cohort = Cohort(tuple(members))
            for each in extents:
                if each.run != run and each.metric in goals:
                    cohort.lasts.setdefault(each.metric, {})[each.run] = each.last
        return Plan(facts[run], family=0, goals=goals, primary=primary, threshold=None, cohort=cohort)

    def _chosen(self, run: Mapping[str, Any], plan: Plan, wanted: Sequence[str]) -> list[str]:
        """The metrics that are meant. Raises `CommandError` for one that the run does not have, or that has no goal."""
        known = [row["metric"] for row in self.client.metrics(_ref(run))]
        chosen: list[str] = []
        for each in wanted:
            fitting = [each] if each in known else [metric for metric in known if fnmatchcase(metric, each)]
            if not fitting:
                listed = ", ".join(known[:METRICS_SHOWN_MAX]) + (", …" if len(known) > METRICS_SHOWN_MAX else "")
                raise CommandError(f"{_ref(run)} has no metric {each}; it has {listed or 'none'}")
            plan.goals = families.goals(fitting, plan.facts.goals) | plan.goals
            with_goal = [metric for metric in fitting if metric in plan.goals]
            if not with_goal:
                raise CommandError(f"{each} has no goal, so it can't be better or worse: define_metric(..., goal=...)")
            chosen += [metric for metric in with_goal if metric not in chosen]
        return chosen

    def _names(self, members: Iterable[int]) -> list[str]:
        found = self.cohorts.facts(members)
        return [found[member].ref for member in members if member in found]


def _ref(run: Mapping[str, Any]) -> str:
    return f"{run['project']}/{run['run_id']}"


def _row(row: Mapping[str, Any]) -> Row:
    return {"metric": row["metric"], **{name: row[name] for name in _FIELDS}, "goal": row["goal"] or None}


def _without_baseline(metric: str, goal: str) -> Row:
    empty = dict.fromkeys(_FIELDS)
    reason = "there is no baseline run with this metric"
    return {"metric": metric, **empty, "verdict": "no baseline", "reason": reason, "goal": goal, "n": 0}
