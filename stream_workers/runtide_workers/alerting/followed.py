"""A run that is being followed: which slot of the bank each of its curves has, and what of it was fed already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtide_workers.alerting.families import SYSTEM_PREFIX, goals
from runtide_workers.alerting.plans import Plan
from runtide_workers.detection import Alert, Bank
from runtide_workers.detection.rules import Rule

Array = NDArray[Any]
IGNORED = -1  # the slot of what is not watched
PACE = "pace"
VALUE = "value"


@dataclass(frozen=True, slots=True)
class Series:
    """What a slot watches: a metric's values, or the pace at which its points come."""

    run: int
    metric: str
    aspect: str


@dataclass(slots=True)
class Points:
    """Points of one run, in order of arrival: equally long vectors."""

    key: Array
    step: Array
    ts_ms: Array
    value: Array

    def __getitem__(self, chosen: Any) -> Points:
        return Points(self.key[chosen], self.step[chosen], self.ts_ms[chosen], self.value[chosen])

    def __len__(self) -> int:
        return len(self.key)


@dataclass(slots=True)
class Watched:
    """A rule on one curve, and how far it is."""

    rule: Rule
    state: Any
    metric: str


@dataclass(slots=True)
class Followed:
    """One run. `fed`: per writer the highest seq that was fed, so that nothing is fed twice."""

    plan: Plan
    attempt: int
    origin_ms: int  # from which the clock of the pace counts
    fed: dict[int, int] = field(default_factory=dict)
    keys: Array = field(default_factory=lambda: np.empty(0, np.uint64))  # sorted
    slots: Array = field(default_factory=lambda: np.empty(0, np.int64))  # of the keys
    pace_key: int | None = None
    pace_slot: int = IGNORED
    rules: dict[int, list[Watched]] = field(default_factory=dict)  # by key
    last_fed_s: float = 0.0
    seen_points: int = 0  # that were there, whether watched or not

    @property
    def run(self) -> int:
        return self.plan.facts.run

    def not_fed(self, writer: Array, seq: Array) -> Array | None:
        """Which points, given by their lines, were not fed yet (None: all); they count as fed from now on."""
        is_new: Array | None = None
        writers = np.unique(writer)
        for by in writers.tolist():
            own = seq if len(writers) == 1 else seq[writer == np.uint64(by)]
            known = self.fed.get(by, -1)
            self.fed[by] = max(known, int(own.max()))
            if int(own.min()) <= known:
                is_new = np.ones(len(seq), np.bool_) if is_new is None else is_new
                is_new &= (writer != np.uint64(by)) | (seq > np.uint64(known))
        return is_new

    @property
    def watched(self) -> int:
        """How many of its curves are compared with a baseline."""
        return len(self.plan.cohort.values)


RulesFor = Callable[[Plan, str], Sequence[Rule]]


class Roster:
    """All runs that are followed, on one bank. Not thread safe."""

    def __init__(self, rules_for: RulesFor) -> None:
        self.bank = Bank()
        self.runs: dict[int, Followed] = {}
        self.series: dict[int, Series] = {}  # by slot
        self._rules_for = rules_for

    def follow(self, plan: Plan, attempt: int, origin_ms: int) -> Followed:
        """Begin with a run of which nothing is fed yet."""
        followed = Followed(plan, attempt, origin_ms)
        self.runs[followed.run] = followed
        return followed

    def leave(self, run: int) -> None:
        """Forget a run."""
        followed = self.runs.pop(run, None)
        if followed is None:
            return
        slots = [slot for slot in (*followed.slots.tolist(), followed.pace_slot) if slot != IGNORED]
        self.bank.drop(slots)
        for slot in slots:
            del self.series[slot]

    def feed(self, followed: Followed, points: Points, names: Mapping[int, str], into: Feed) -> None:
        """Put the points of a run into what the bank is fed next. `names`: of all keys among the points."""
        if not len(points):
            return
        at = np.searchsorted(followed.keys, points.key)
        at[at == len(followed.keys)] = 0
        if not len(followed.keys) or not (followed.keys[at] == points.key).all():
            self._meet(followed, np.unique(points.key), names)
            at = np.searchsorted(followed.keys, points.key)
        slots = followed.slots[at]
        watched = slots != IGNORED
        into.add(slots[watched], points.step[watched], points.value[watched])
        if followed.pace_key is not None:
            of_pace = points.key == np.uint64(followed.pace_key)
            seconds = (points.ts_ms[of_pace] - followed.origin_ms) / 1000
            into.add(np.full(len(seconds), followed.pace_slot), points.step[of_pace], seconds)
        for key, rules in followed.rules.items():
            chosen = points.key == np.uint64(key)
            for each in rules if chosen.any() else ():
                for alert in each.rule.update(each.state, points.step[chosen], points.value[chosen]):
                    into.alerts.append((Series(followed.run, each.metric, VALUE), alert))

    def _meet(self, followed: Followed, keys: Array, names: Mapping[int, str]) -> None:
        """Give slots to metrics that are seen for the first time."""
        cohort, run = followed.plan.cohort, followed.run
        threshold = followed.plan.threshold
        slots = dict(zip(followed.keys.tolist(), followed.slots.tolist(), strict=True))
        for key in keys.tolist():
            if key in slots:
                continue
            metric = names.get(key, "")
            slots[key] = IGNORED
            if metric and (metric in followed.plan.goals or not metric.startswith(SYSTEM_PREFIX)):
                goal = followed.plan.goals.get(metric) or goals([metric], followed.plan.facts.goals).get(metric)
                slots[key] = self.bank.add(cohort.values.get(metric), threshold, goal)
                self.series[slots[key]] = Series(run, metric, VALUE)
            if metric and metric == cohort.pace_of and cohort.pace is not None:
                followed.pace_key = key
                followed.pace_slot = self.bank.add(cohort.pace, threshold)
                self.series[followed.pace_slot] = Series(run, metric, PACE)
            rules = self._rules_for(followed.plan, metric) if metric else ()
            if rules:
                followed.rules[key] = [Watched(rule, rule.start(), metric) for rule in rules]
        followed.keys = np.array(sorted(slots), np.uint64)
        followed.slots = np.array([slots[key] for key in sorted(slots)], np.int64)

    def finish(self, followed: Followed) -> list[tuple[Series, Alert]]:
        """What is found only at the end of a run."""
        slots = [slot for slot in (*followed.slots.tolist(), followed.pace_slot) if slot != IGNORED]
        return [(self.series[alert.slot], alert) for alert in self.bank.finish(slots)]


class Feed:
    """Points of many runs on their way into the bank, and what was found meanwhile."""

    def __init__(self) -> None:
        self.alerts: list[tuple[Series, Alert]] = []
        self._parts: list[tuple[Array, Array, Array]] = []

    def add(self, slots: Array, steps: Array, values: Array) -> None:
        if len(slots):
            self._parts.append((slots, steps, values))

    def into(self, roster: Roster) -> Iterable[tuple[Series, Alert]]:
        """Feed the bank; everything that was found, by run in the order of steps."""
        if self._parts:
            slots, steps, values = (np.concatenate(part) for part in zip(*self._parts, strict=True))
            found = roster.bank.update(slots, steps, values)
            self.alerts += [(roster.series[alert.slot], alert) for alert in found]
        return sorted(self.alerts, key=in_order)


def in_order(found: tuple[Series, Alert]) -> tuple[int, int, bool, str]:
    """By run, step by step: whatever was read first."""
    series, alert = found
    return series.run, alert.step, alert.kind == "recovered", series.metric
