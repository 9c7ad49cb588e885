"""Fixes whom a run is compared with, once, as soon as enough of it is known."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from runtide_storage.cohorts import Cohorts, Facts
from runtide_storage.goals import Goal
from runtide_workers.alerting import families
from runtide_workers.alerting.baselines import Baselines, Cohort, Table
from runtide_workers.alerting.calibration import Calibration
from runtide_workers.alerting.config import AlertSettings
from runtide_workers.alerting.families import Family

CAPTURE_S = 2.0  # how long a run may take to say what hardware it has; a producer of another kind never does
CAPTURED = "meta.cpu/count"
CANDIDATES_MAX = 200
RANK_FROM = 2**63  # the earlier plan has the higher rank


@dataclass(slots=True)
class Plan:
    """A run, its goals, and its baselines."""

    facts: Facts
    family: int
    goals: dict[str, Goal]
    primary: str
    threshold: float | None  # of the statistic; None: the default
    cohort: Cohort
    member_ids: dict[int, str] = field(default_factory=dict)


class Planner:
    """Plans runs. Not thread safe; every method raises `StorageError`."""

    def __init__(
        self, cohorts: Cohorts, storage: Table, settings: AlertSettings, clock: Callable[[], float] = time.time
    ) -> None:
        self._cohorts = cohorts
        self._storage = storage
        self._settings = settings
        self._clock = clock
        self._calibration = Calibration(cohorts, settings, clock)
        self.baselines = Baselines(cohorts, storage)

    def plan(self, waiting_since_s: Mapping[int, float], begin: Callable[[int], None]) -> Iterator[tuple[int, Plan]]:
        """(run, plan) of those of the runs that are ready, the oldest first.

        `waiting_since_s`: run -> when it was first seen (this clock); `begin` is told which one is worked on.
        """
        facts = self._cohorts.facts(waiting_since_s)
        stored = self._cohorts.plans(facts)
        for run, known in sorted(facts.items(), key=lambda each: (each[1].started_ms, each[0])):
            begin(run)
            if run in stored:
                row = stored[run]
                goals = json.loads(row["goals"])
                yield run, self._made(known, row["family"], row["members"], goals, row["primary"], row["threshold"])
            elif self._is_ready(known, waiting_since_s[run]):
                yield run, self._new(known)

    def _is_ready(self, facts: Facts, since_s: float) -> bool:
        return CAPTURED in facts.values or facts.ended_ms > 0 or self._clock() - since_s >= CAPTURE_S

    def refresh(self, facts: Facts) -> None:
        """A run ended: make the baselines that the next one of its family will be compared with."""
        family = families.family_of(facts, self._settings.family_fields)
        self._draft(facts, family, before_ms=int(self._clock() * 1000), own=0)

    def _new(self, facts: Facts) -> Plan:
        family = families.family_of(facts, self._settings.family_fields)
        plan = self._draft(facts, family, before_ms=facts.started_ms, own=facts.run)
        now_ns = int(self._clock() * 1e9)
        self._storage.rows(
            "run_plans",
            [
                {
                    "run": facts.run,
                    "family": family.id,
                    "fields": family.text,
                    "members": list(plan.cohort.members),
                    "goals": json.dumps(plan.goals, ensure_ascii=False),
                    "primary": plan.primary,
                    "threshold": plan.threshold,
                    "stall_s": plan.cohort.stall_s,
                    "planned_at": now_ns // 1_000_000,
                    "rank": RANK_FROM - now_ns,
                }
            ],
        )
        return plan

    def _draft(self, facts: Facts, family: Family, *, before_ms: int, own: int) -> Plan:
        marks = self._cohorts.marks(facts.project, facts.group)
        candidates = self._cohorts.candidates(family.id, before_ms, CANDIDATES_MAX)
        pinned = self._cohorts.pinned(facts.project, marks, CANDIDATES_MAX) if _pins(marks) else []
        members = families.choose(candidates, pinned, marks, own)
        others = self._cohorts.facts(members)
        # The run's own definitions first, then those of its latest baselines.
        definitions = [facts.goals, *(others[member].goals for member in reversed(members) if member in others)]
        explicit = [name for known in definitions[:2] for name in known]
        metrics = dict.fromkeys([*(name for name in explicit if not _is_glob(name)), *self.baselines.metrics(members)])
        goals = families.goals(metrics, *definitions)
        primary = families.primary(goals, explicit, self._settings.project(facts.project).primary)
        return self._made(facts, family.id, members, goals, primary, self._calibration.threshold(facts.project))

    def _made(
        self,
        facts: Facts,
        family: int,
        members: Sequence[int],
        goals: dict[str, Goal],
        primary: str,
        threshold: float | None,
    ) -> Plan:
        ordered = dict(sorted(goals.items(), key=lambda each: each[0] != primary))  # the primary one is never cut off
        cohort = self.baselines.of(family, members, ordered, primary)
        return Plan(facts, family, goals, primary, threshold, cohort, self._cohorts.run_ids(members))


def _pins(marks: Mapping[str, Sequence[str]]) -> bool:
    return any(marks.get(kind) for kind in ("run", "tag", "alias"))


def _is_glob(name: str) -> bool:
    return "*" in name or "?" in name
