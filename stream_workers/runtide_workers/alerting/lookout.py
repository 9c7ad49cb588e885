"""Follows runs while their points arrive, and says what it finds.

A run's alerts are a function of its stored points and its frozen plan. So there is nothing to save: whoever begins to
follow a run fixes its plan (once, in `run_plans`), reads what is stored of it, and goes on from there with each stored
batch. A worker that was killed, one that gets another's partitions, and one whose detector fell behind all do the same,
find the same, and write only what is not written yet.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from runtide_storage.cohorts import Cohorts, Facts
from runtide_workers.alerting import explain
from runtide_workers.alerting.baselines import Table
from runtide_workers.alerting.config import AlertSettings
from runtide_workers.alerting.followed import Feed, Followed, Points, Roster, Series, in_order
from runtide_workers.alerting.incidents import Board, Surroundings, Told, describe
from runtide_workers.alerting.judging import judge
from runtide_workers.alerting.plans import Plan, Planner
from runtide_workers.alerting.ruling import rules_for
from runtide_workers.alerting.stored import by_size, current, parts
from runtide_workers.decode import Decoded
from runtide_workers.detection import Alert
from runtide_workers.outlet import Outgoing, alert_message
from runtide_workers.records import ENDS

PLAN_PERIOD_S = 0.2  # between two looks whether waiting runs are ready
CHORES_PERIOD_S = 5.0
UNKNOWN_S = 60.0  # a run that storage still knows nothing of is none
IDLE_S = 3600.0  # a run without points is left; its next point makes it followed again
ATTACHED_MAX = 100  # runs at a time
TURN_S = 0.5  # of planning, and of judging, at a time: runs that go on don't wait for all that begin or end
HISTORY_S = 3600  # of a run that ended longer ago nobody is told; one that nobody ever followed is only judged
HISTORY_PERIOD_S = 0.25  # for such runs, at a time: those that go on come first
ADOPTED_MAX = 5_000


class Lookout:
    """All of it on one thread. Every method raises `StorageError`, and may then be called again: nothing is forgotten.

    `link`: base URL of the pages, or "".
    """

    def __init__(
        self,
        cohorts: Cohorts,
        storage: Table,
        publish: Callable[[Sequence[Outgoing]], None],
        settings: AlertSettings,
        link: str,
        on_alerts: Callable[[], None],
    ) -> None:
        self._cohorts = cohorts
        self._storage = storage
        self._publish = publish
        self._settings = settings
        self._link = link
        self._on_alerts = on_alerts
        self._planner = Planner(cohorts, storage, settings)
        self._roster = Roster(lambda plan, metric: rules_for(settings, plan, metric))
        self._boards: dict[int, Board] = {}
        self._nearest: dict[int, tuple[str, dict[str, Any]]] = {}  # run -> its nearest baseline, and what changed
        self._told: Told | None = None  # until it is loaded
        self._pending: dict[int, float] = {}  # run -> since when (wall clock)
        self._ended: set[int] = set()
        self._renewed: dict[int, Facts] = {}  # family -> its run that ended last, since baselines were made
        self._history: deque[int] = deque()  # runs to be judged when there is nothing else to do
        self._history_may_have_more = False
        self._owns: Callable[[str], bool] = lambda _: True
        self._findings: list[tuple[Series, Alert]] = []
        self._unsaid: list[dict[str, Any]] = []
        self._next_plan_s = self._next_chores_s = 0.0
        self.at_work: int | None = None  # the run that is being planned or judged
        self.left_alone: set[int] = set()
        self.said = 0  # alerts

    @property
    def followed(self) -> int:
        return len(self._roster.runs)

    @property
    def series(self) -> int:
        return len(self._roster.series)

    @property
    def busy(self) -> bool:
        """Is there anything to do without new points?"""
        return bool(self._pending or self._ended or self._history or self._findings or self._unsaid)

    def runs(self) -> set[int]:
        """All that are followed or wait for it."""
        return {*self._roster.runs, *self._pending}

    def again(self, run: int) -> None:
        """Read a run anew, as soon as it is ready."""
        if run in self._roster.runs:
            self._leave(run)
        if run not in self.left_alone:
            self._pending.setdefault(run, time.time())

    def take(self, decoded: Decoded) -> None:
        """A stored batch."""
        self.at_work = None
        feed = Feed()
        points = decoded.points
        run, attempt = points["run"], points["attempt"]
        cuts = np.flatnonzero(run[1:] != run[:-1]) + 1
        for first, after in zip([0, *cuts.tolist()], [*cuts.tolist(), len(run)], strict=True):
            if first == after:
                continue
            part = slice(first, after)
            followed = self._roster.runs.get(int(run[first]))
            if followed is None or int(attempt[part].max()) > followed.attempt:
                self.again(int(run[first]))  # relaunched: what it supersedes must not count any more
                continue
            chosen = followed.not_fed(points["writer"][part], points["seq"][part])
            followed.last_fed_s = time.monotonic()
            followed.seen_points += after - first
            columns = Points(*(points[name][part] for name in ("key", "step", "ts", "value")))
            self._roster.feed(followed, columns if chosen is None else columns[chosen], decoded.metrics, feed)
        self._findings += feed.into(self._roster)
        for event in decoded.events:
            if event.kind == "heartbeat":
                continue
            run_id = event.envelope.run
            if event.kind in ENDS:
                self._ended.add(run_id)
            is_rule = event.kind == "define_metric" and event.data.get("alert") is not None
            if is_rule or run_id not in self._roster.runs:
                self.again(run_id)

    def look(self) -> None:
        """Do what there is to do."""
        self.at_work = None
        self._load_told()
        self._judge_findings()
        now_s = time.monotonic()
        if self._pending and now_s >= self._next_plan_s:
            self._attach()
            self._next_plan_s = time.monotonic() + PLAN_PERIOD_S
        self._end()
        self._judge_history()
        if now_s >= self._next_chores_s:
            self._next_chores_s = now_s + CHORES_PERIOD_S
            self._chores(now_s)

    def _chores(self, now_s: float) -> None:
        for run, each in list(self._roster.runs.items()):
            if now_s - each.last_fed_s > IDLE_S:
                self._leave(run)
        if self._told is not None:
            self._told.forget(_now_ms(), self._settings.cooldown_s_max)
        while self._renewed and not self._pending and time.monotonic() < now_s + TURN_S:
            family, facts = next(iter(self._renewed.items()))
            self._begin_work(facts.run)
            self._planner.refresh(facts)
            del self._renewed[family]

    def adopt(self, owns: Callable[[str], bool]) -> None:
        """Leave what is others', read again of what points are missing here, and take up what nobody has finished."""
        self._owns = owns
        counts = self._cohorts.counts(self._roster.runs)
        self._find_unjudged()
        for run, followed in list(self._roster.runs.items()):
            if not owns(followed.plan.facts.run_id):
                self._leave(run)
            elif counts.get(run, 0) != followed.seen_points:
                self.again(run)

    def _leave(self, run: int) -> None:
        self._roster.leave(run)
        self._boards.pop(run, None)
        self._nearest.pop(run, None)

    # ------------------------------------------------------------------ beginning and end of a run

    def _attach(self) -> None:
        """Begin to follow those of the waiting runs that are ready."""
        some = dict(list(self._pending.items())[:ATTACHED_MAX])
        plans: dict[int, Plan] = {}
        until_s = time.monotonic() + TURN_S
        for run, plan in self._planner.plan(some, self._begin_work):
            plans[run] = plan
            if time.monotonic() >= until_s:
                break
        else:
            for run in some.keys() - plans.keys():
                since_s = self._pending.pop(run)
                if time.time() - since_s < UNKNOWN_S:  # the others' turn comes first next time
                    self._pending[run] = since_s
        if not plans:
            return
        boards: dict[int, list[dict[str, Any]]] = {run: [] for run in plans}
        for row in self._cohorts.alerts(plans):
            boards[row["run"]].append(row)
        names = self._cohorts.metric_names(plans)
        counts = self._cohorts.counts(plans)
        for group in by_size(plans.values(), counts):
            self._findings += self._catch_up(group, names, counts)
            for plan in group:
                run = plan.facts.run
                self._boards[run] = Board(boards[run])
                del self._pending[run]
                if plan.facts.state != "running":
                    self._ended.add(run)
        self._judge_findings()
        for run in plans:
            if self._roster.runs[run].attempt > 1:
                self._boards[run].relaunched(_now_ms())
                self._unsaid += self._boards[run].take()
        self._say()

    def _catch_up(
        self, group: Sequence[Plan], names: Mapping[int, str], counts: Mapping[int, int]
    ) -> list[tuple[Series, Alert]]:
        """Follow these runs, and feed what is stored of them. All of it, or nothing if storage fails."""
        runs = [plan.facts.run for plan in group]
        last_lines = self._cohorts.last_lines(runs)  # before the points: what is stored meanwhile comes again, live
        findings: list[tuple[Series, Alert]] = []
        try:
            for plan in group:
                run = plan.facts.run
                followed = self._roster.follow(plan, plan.facts.attempt, plan.facts.started_ms)
                followed.fed, followed.seen_points = last_lines.get(run, {}), counts.get(run, 0)
                followed.last_fed_s = time.monotonic()
            for keys in parts(group, names, counts):
                table = self._cohorts.points(runs, keys)
                columns = {name: table[name].to_numpy() for name in table.column_names}
                feed = Feed()
                for run in runs:
                    self._feed_stored(self._roster.runs[run], columns, names, feed)
                findings += feed.into(self._roster)
        except Exception:
            for run in runs:
                self._leave(run)
            raise
        return sorted(findings, key=in_order)

    def _feed_stored(
        self, followed: Followed, columns: Mapping[str, Any], names: Mapping[int, str], feed: Feed
    ) -> None:
        own = np.flatnonzero(columns["run"] == np.uint64(followed.run))
        own = own[np.lexsort((columns["seq"][own], columns["writer"][own], columns["ts_ms"][own]))]
        writers = np.array(sorted(followed.fed), np.uint64)
        if not len(writers):
            return
        last = np.array([followed.fed[writer] for writer in writers.tolist()], np.uint64)
        at = np.minimum(np.searchsorted(writers, columns["writer"][own]), len(writers) - 1)
        own = own[(writers[at] == columns["writer"][own]) & (columns["seq"][own] <= last[at])]
        points = Points(*(columns[name][own] for name in ("key", "step", "ts_ms", "value")))
        attempt = columns["attempt"][own]
        followed.attempt = max(followed.attempt, int(attempt.max(initial=1)))
        self._roster.feed(followed, points[current(points, attempt)], names, feed)

    def _end(self) -> None:
        """Judge the runs that have ended."""
        self._ended.intersection_update(self.runs())
        candidates = [run for run in self._ended if run in self._roster.runs][:ATTACHED_MAX]
        facts = self._cohorts.facts(candidates)
        until_s = time.monotonic() + TURN_S
        for run in candidates:
            if run in facts and facts[run].state != "running":
                followed = self._roster.runs[run]
                self._begin_work(run)
                self._findings += self._roster.finish(followed)
                self._judge_findings()
                rows = self._boards[run].rows.values()
                pages = [row["title"] for row in rows if row["severity"] == "page" and row["state"] == "open"]
                self._write_verdict(followed.plan, facts[run].state, pages)
                self._renewed[followed.plan.family] = facts[run]
                self._leave(run)
            self._ended.discard(run)  # or a rank said goodbye before the lead
            if time.monotonic() >= until_s:
                break

    def _write_verdict(self, plan: Plan, state: str, pages: Sequence[str]) -> None:
        self._storage.rows("verdicts", judge(self._cohorts, plan, state, pages, _now_ms()))

    def _find_unjudged(self) -> None:
        rows = self._cohorts.unjudged(HISTORY_S, ADOPTED_MAX)
        self._history_may_have_more = len(rows) == ADOPTED_MAX
        self._history.clear()
        for row in rows:
            run = row["run"]
            if not self._owns(row["run_id"]) or run in self._roster.runs or run in self.left_alone:
                continue
            if row["is_history"]:
                self._history.append(run)
            else:
                self._pending.setdefault(run, time.time())

    def _judge_history(self) -> None:
        """Plan and judge runs that ended long ago, the oldest first: each may be a baseline of the next."""
        until_s = time.monotonic() + HISTORY_PERIOD_S
        while self._history and not self._pending and time.monotonic() < until_s:
            for _, plan in self._planner.plan({self._history[0]: 0.0}, self._begin_work):
                self._write_verdict(plan, plan.facts.state, [])
            self._history.popleft()
        if not self._history and self._history_may_have_more:
            self._find_unjudged()

    def _begin_work(self, run: int) -> None:
        self.at_work = run

    # ------------------------------------------------------------------ what was found

    def _judge_findings(self) -> None:
        """Turn findings into rows, and say them."""
        while self._findings:
            run = self._findings[0][0].run
            followed = self._roster.runs.get(run)
            if followed is not None:
                self._judge(followed, [each for each in self._findings if each[0].run == run])
            self._findings = [each for each in self._findings if each[0].run != run]
        self._say()

    def _judge(self, followed: Followed, findings: Sequence[tuple[Series, Alert]]) -> None:
        board, facts, now_ms = self._boards[followed.run], followed.plan.facts, _now_ms()
        is_worth_it = any(alert.severity != "info" for _, alert in findings)
        nearest = self._nearest_of(followed) if is_worth_it else ("", {})
        project = self._settings.project(facts.project)
        is_old = 0 < facts.ended_ms < now_ms - 1000 * HISTORY_S
        around = Surroundings(self._link, project.cooldown_s, project.quiet or is_old)
        for series, alert in findings:
            row = board.apply(followed, series, alert, now_ms)
            if row is not None:
                describe(row, followed, alert, around, nearest)
        board.settle(self._told or Told(), around, now_ms)
        self._unsaid += board.take()

    def _nearest_of(self, followed: Followed) -> tuple[str, dict[str, Any]]:
        """The baseline run that is most like this one, and what differs."""
        if followed.run not in self._nearest:
            members = followed.plan.cohort.members
            values = self._cohorts.explanations([followed.run, *members])
            others = [(followed.plan.member_ids.get(member, ""), values.get(member, {})) for member in members]
            self._nearest[followed.run] = explain.nearest(values.get(followed.run, {}), others)
        return self._nearest[followed.run]

    def _say(self) -> None:
        """To the topic first: who dies in between finds no row, and says it again under the same id."""
        if self._unsaid:
            self._publish([alert_message(row) for row in self._unsaid])
            self._storage.rows("alerts", self._unsaid)
            self.said += sum(row["state"] == "open" for row in self._unsaid)
            self._unsaid = []
            self._on_alerts()

    def _load_told(self) -> None:
        if self._told is None:
            self._told = Told(dict(self._cohorts.told(int(self._settings.cooldown_s_max) + 1)))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
