"""Follows runs while their points arrive, and says what it finds: a thread beside the sink.

A run's alerts are a function of its stored points and its frozen baseline. So there is nothing to save: whoever begins
to follow a run fixes its plan (once, in `run_plans`), reads what is stored of it, and goes on from there with each
stored batch. A worker that was killed, one that gets another's partitions, and one whose detector fell behind all do
the same, find the same, and write only what is not written yet.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from runtide_storage.cohorts import Cohorts, Facts
from runtide_storage.errors import Unreachable
from runtide_workers.alerting import explain
from runtide_workers.alerting.baselines import Table
from runtide_workers.alerting.config import AlertSettings
from runtide_workers.alerting.followed import Feed, Followed, Points, Roster, Series
from runtide_workers.alerting.incidents import Board, Surroundings, Told, describe
from runtide_workers.alerting.judging import judge
from runtide_workers.alerting.plans import Plan, Planner
from runtide_workers.alerting.ruling import rules_for
from runtide_workers.decode import Decoded
from runtide_workers.detection import Alert
from runtide_workers.outlet import Outgoing, alert_message
from runtide_workers.sink import Stored

log = logging.getLogger(__name__)

WAITING_POINTS_MAX = 5_000_000  # between sink and detector, about 300 MB; beyond that runs are read again later
PERIOD_S = 0.2
PLAN_PERIOD_S = 0.2  # between two looks whether waiting runs are ready
CHORES_S = 2.0
UNKNOWN_S = 60.0  # a run that storage still knows nothing of is none
IDLE_S = 3600.0  # a run without points is left; its next point makes it followed again
REPAIR_S = 20.0  # after partitions moved, the worker that had them may still have been storing
ATTACHED_MAX = 100  # runs at a time
CATCH_UP_POINTS_MAX = 20_000_000  # of a run; of a longer one only what has a baseline is read
HISTORY_S = 600.0  # a run that ended longer ago than this, and nobody followed, is judged but raises no alarm
ADOPTED_MAX = 5_000
PAUSE_S = 0.5


class Detector:
    """`cohorts` reads, `storage` writes and `publish` sends; all three block. `link`: base URL of the pages, or ""."""

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
        self._link = link.rstrip("/")
        self._on_alerts = on_alerts
        self._planner = Planner(cohorts, storage, settings)
        self._told: Told | None = None  # until it is loaded
        self._start_over({})
        # Shared with other threads:
        self._lock = threading.Lock()
        self._batches: list[Decoded] = []
        self._waiting_points = 0
        self._shed: set[int] = set()
        self._owns: Callable[[str], bool] = lambda _: True
        self._adopt_at_s: list[float] = []
        self._wake = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="detector", daemon=True)
        # For /metrics:
        self.alerts = self.failures = self.shed = 0
        self.seconds = 0.0  # of CPU

    # ------------------------------------------------------------------ from other threads

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Finish the round in hand. What was not said yet the next worker will find again."""
        self._ending = True
        self._wake.set()
        self._thread.join(timeout_s)

    def note(self, stored: Stored) -> None:
        """A batch is stored."""
        with self._lock:
            if self._waiting_points + stored.points > WAITING_POINTS_MAX:
                self.shed += 1
                for decoded in stored.fresh:
                    self._shed.update(np.unique(decoded.points["run"]).tolist())
                    decoded.points = {name: column[:0] for name, column in decoded.points.items()}
            self._batches += stored.fresh
            self._waiting_points += sum(len(decoded) for decoded in stored.fresh)
        self._wake.set()

    def own(self, owns: Callable[[str], bool]) -> None:
        """Partitions were assigned: `owns(run id)` tells whether a run is ours."""
        with self._lock:
            self._owns = owns
            self._adopt_at_s = [time.monotonic(), time.monotonic() + REPAIR_S]
        self._wake.set()

    @property
    def followed(self) -> int:
        return len(self._roster.runs)

    @property
    def series(self) -> int:
        return len(self._roster.series)

    @property
    def waiting_points(self) -> int:
        return self._waiting_points

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        unreachable = False
        while not self._ending:
            self._wake.wait(PERIOD_S)
            self._wake.clear()
            try:
                self._round()
                unreachable = False
            except Unreachable as error:
                log.log(logging.DEBUG if unreachable else logging.WARNING, "detection waits: %s", error)
                unreachable = True
                time.sleep(PAUSE_S)
            except Exception:
                self.failures += 1
                log.exception("detection failed and starts over: what it follows is read again")
                self._start_over(self._pending | dict.fromkeys(self._roster.runs, time.time()))
                time.sleep(PAUSE_S)
            self.seconds = time.thread_time()

    def _start_over(self, pending: dict[int, float]) -> None:
        self._roster = Roster(self._rules_for)
        self._boards: dict[int, Board] = {}
        self._pending = pending  # run -> since when (wall clock)
        self._ended: set[int] = set()
        self._findings: list[tuple[Series, Alert]] = []
        self._unsaid: list[dict[str, Any]] = []
        self._explained: dict[int, tuple[str, dict[str, Any]]] = {}  # run -> nearest baseline and what changed
        self._next_plan_s = self._next_chores_s = 0.0

    def _round(self) -> None:
        """One look at everything. Whatever raises leaves what is not done yet for the next round."""
        self._load_told()
        self._adopt()
        for decoded in self._take_batches():
            self._take(decoded)
        self._judge_findings()
        now_s = time.monotonic()
        if self._pending and now_s >= self._next_plan_s:
            self._attach()
            self._next_plan_s = time.monotonic() + PLAN_PERIOD_S
        self._end()
        if now_s >= self._next_chores_s:
            self._next_chores_s = now_s + CHORES_S
            self._chores()

    def _take_batches(self) -> Iterable[Decoded]:
        with self._lock:
            batches, self._batches = self._batches, []
            shed, self._shed = self._shed, set()
        for run in shed:
            self._again(run)
        for decoded in batches:
            with self._lock:
                self._waiting_points -= len(decoded)
            yield decoded

    def _take(self, decoded: Decoded) -> None:
        """Feed a stored batch."""
        feed = Feed()
        points = decoded.points
        run, writer, seq, attempt = (points[name] for name in ("run", "writer", "seq", "attempt"))
        cuts = np.flatnonzero((run[1:] != run[:-1]) | (writer[1:] != writer[:-1])) + 1
        for first, after in zip([0, *cuts.tolist()], [*cuts.tolist(), len(run)], strict=True):
            if first == after:
                continue
            followed = self._roster.runs.get(int(run[first]))
            if followed is None:
                self._pending.setdefault(int(run[first]), time.time())
                continue
            if int(attempt[after - 1]) > followed.attempt:  # relaunched: what it supersedes must not count any more
                self._again(followed.run)
                continue
            by, part = int(writer[first]), slice(first, after)
            known = followed.fed.get(by, -1)
            followed.fed[by] = max(known, int(seq[after - 1]))
            chosen: Any = part if int(seq[first]) > known else first + np.flatnonzero(seq[part] > known)
            followed.last_fed_s = time.monotonic()
            columns = (points[name][chosen] for name in ("key", "step", "ts", "value"))
            self._roster.feed(followed, Points(*columns), decoded.metrics, feed)
        self._findings += feed.into(self._roster)
        for event in decoded.events:
            if event.kind in ("finish", "end"):
                self._ended.add(event.envelope.run)
                if event.envelope.run not in self._roster.runs:
                    self._pending.setdefault(event.envelope.run, time.time())
            elif event.kind == "define_metric" and event.data.get("alert") is not None:
                self._again(event.envelope.run)

    def _again(self, run: int) -> None:
        """Read a run anew."""
        if run in self._roster.runs:
            self._leave(run)
        self._pending.setdefault(run, time.time())

    def _leave(self, run: int) -> None:
        self._roster.leave(run)
        self._boards.pop(run, None)
        self._explained.pop(run, None)

    # ------------------------------------------------------------------ beginning and end of a run

    def _attach(self) -> None:
        """Begin to follow those of the waiting runs that are ready."""
        for run in self._roster.runs.keys() & self._pending.keys():
            del self._pending[run]
        some = dict(list(self._pending.items())[:ATTACHED_MAX])
        plans = self._planner.plan(some)
        for run in some.keys() - plans.keys():
            since_s = self._pending.pop(run)
            if time.time() - since_s < UNKNOWN_S:  # the others' turn comes first next time
                self._pending[run] = since_s
        history = [plan for plan in plans.values() if self._is_history(plan.facts)]
        for plan in history:
            self._write_verdict(plan, plan.facts.state, [])
            del self._pending[plan.facts.run]
            del plans[plan.facts.run]
        if not plans:
            return
        boards: dict[int, list[dict[str, Any]]] = {run: [] for run in plans}
        for row in self._cohorts.alerts(plans):
            boards[row["run"]].append(row)
        names = self._cohorts.metric_names(plans)
        counts = self._cohorts.counts(plans)
        feed = Feed()
        for group in _by_size(plans.values(), counts):
            keys = _worth_reading(group, names) if counts.get(group[0].facts.run, 0) > CATCH_UP_POINTS_MAX else None
            table = self._cohorts.points([plan.facts.run for plan in group], keys)
            for plan in group:
                self._begin(plan, table, names, feed)
        for run, rows in boards.items():
            self._boards[run] = Board(rows)
            del self._pending[run]
            if plans[run].facts.state != "running":
                self._ended.add(run)
        self._findings += feed.into(self._roster)
        self._judge_findings()

    def _is_history(self, facts: Facts) -> bool:
        return 0 < facts.ended_ms < 1000 * (time.time() - HISTORY_S) and facts.run not in self._ended

    def _begin(self, plan: Plan, table: pa.Table, names: dict[int, str], feed: Feed) -> None:
        columns = {name: table[name].to_numpy() for name in table.column_names}
        own = np.flatnonzero(columns["run"] == np.uint64(plan.facts.run))
        own = own[np.lexsort((columns["seq"][own], columns["writer"][own], columns["ts_ms"][own]))]
        writer, seq, attempt = (columns[name][own] for name in ("writer", "seq", "attempt"))
        points = Points(*(columns[name][own] for name in ("key", "step", "ts_ms", "value")))
        latest = max(plan.facts.attempt, int(attempt.max(initial=1)))
        followed = self._roster.follow(plan, latest, plan.facts.started_ms)
        followed.last_fed_s = time.monotonic()
        for by in np.unique(writer).tolist():
            followed.fed[by] = int(seq[writer == np.uint64(by)].max())
        self._roster.feed(followed, points[_current(points, attempt)], names, feed)

    def _end(self) -> None:
        """Judge the runs that have ended."""
        candidates = [run for run in self._ended if run in self._roster.runs]
        if not candidates:
            return
        facts = self._cohorts.facts(candidates)
        for run in candidates:
            if run in facts and facts[run].state != "running":
                followed = self._roster.runs[run]
                self._findings += self._roster.finish(followed)
                self._judge_findings()
                board = self._boards[run]
                pages = [row["title"] for row in board.rows.values() if row["severity"] == "page" and _is_open(row)]
                self._write_verdict(followed.plan, facts[run].state, pages)
                self._leave(run)
            self._ended.discard(run)  # a rank that says goodbye before the lead

    def _write_verdict(self, plan: Plan, state: str, pages: Sequence[str]) -> None:
        self._storage.rows("verdicts", judge(self._cohorts, plan, state, pages, _now_ms()))

    def _adopt(self) -> None:
        """After partitions were assigned: leave what is others', take up what nobody has finished."""
        with self._lock:
            due = [moment for moment in self._adopt_at_s if moment <= time.monotonic()]
            owns = self._owns
        if not due:
            return
        unjudged = self._cohorts.unjudged(ADOPTED_MAX)
        for run, followed in list(self._roster.runs.items()):
            self._leave(run)
            if owns(followed.plan.facts.run_id):
                self._pending.setdefault(run, time.time())
        for run, run_id in unjudged:
            if owns(run_id):
                self._pending.setdefault(run, time.time())
        with self._lock:
            self._adopt_at_s = [moment for moment in self._adopt_at_s if moment not in due]

    # ------------------------------------------------------------------ what was found

    def _judge_findings(self) -> None:
        """Turn findings into rows, and say them."""
        while self._findings:
            run = self._findings[0][0].run
            followed = self._roster.runs.get(run)
            mine = [each for each in self._findings if each[0].run == run]
            if followed is not None and run in self._boards:
                self._judge(followed, mine)
            self._findings = [each for each in self._findings if each[0].run != run]
        self._say()

    def _judge(self, followed: Followed, findings: Sequence[tuple[Series, Alert]]) -> None:
        board, facts, now_ms = self._boards[followed.run], followed.plan.facts, _now_ms()
        nearest = self._nearest(followed) if any(alert.severity != "info" for _, alert in findings) else ("", {})
        project = self._settings.project(facts.project)
        around = Surroundings(self._link, project.cooldown_s, project.quiet)
        for series, alert in findings:
            row = board.apply(followed, series, alert, now_ms)
            if row is not None:
                describe(row, followed, alert, around, nearest)
        board.settle(self._told or Told(), around, now_ms)
        self._unsaid += board.take()

    def _nearest(self, followed: Followed) -> tuple[str, dict[str, Any]]:
        """The baseline run that is most like this one, and what differs."""
        known = self._explained.get(followed.run)
        if known is None:
            members = followed.plan.cohort.members
            values = self._cohorts.explanations([followed.run, *members])
            others = [(followed.plan.member_ids.get(member, ""), values.get(member, {})) for member in members]
            known = self._explained[followed.run] = explain.nearest(values.get(followed.run, {}), others)
        return known

    def _say(self) -> None:
        """To the topic first: who dies in between finds no row, and says it again under the same id."""
        if not self._unsaid:
            return
        self._publish([alert_message(row) for row in self._unsaid])
        self._storage.rows("alerts", self._unsaid)
        self.alerts += sum(row["state"] == "open" for row in self._unsaid)
        self._unsaid = []
        self._on_alerts()

    # ------------------------------------------------------------------ small things

    def _load_told(self) -> None:
        if self._told is None:
            within_s = max((project.cooldown_s for project in self._settings.projects.values()), default=0.0)
            default_s = self._settings.project("").cooldown_s
            self._told = Told(dict(self._cohorts.told(int(max(within_s, default_s)) + 1)))

    def _chores(self) -> None:
        idle = [run for run, each in self._roster.runs.items() if time.monotonic() - each.last_fed_s > IDLE_S]
        for run in idle:
            self._leave(run)

    def _rules_for(self, plan: Plan, metric: str) -> Any:
        return rules_for(self._settings, plan, metric)


def _current(points: Points, attempt: np.ndarray[Any, Any]) -> Any:
    """Which points no later attempt superseded: of each metric, those before the first step of any later one."""
    kept = np.ones(len(points), dtype=bool)
    if not len(points) or attempt.min() == attempt.max():
        return kept
    for key in np.unique(points.key):
        own = np.flatnonzero(points.key == key)
        limit = np.iinfo(np.int64).max
        for number in sorted(set(attempt[own].tolist()), reverse=True):
            of_this = own[attempt[own] == number]
            kept[of_this] = points.step[of_this] < limit
            limit = min(limit, int(points.step[of_this].min()))
    return kept


def _by_size(plans: Iterable[Plan], counts: dict[int, int]) -> Iterable[list[Plan]]:
    """Groups that can be read at once; a run with more points than that comes alone."""
    group: list[Plan] = []
    size = 0
    for plan in plans:
        n = counts.get(plan.facts.run, 0)
        if group and size + n > CATCH_UP_POINTS_MAX:
            yield group
            group, size = [], 0
        group.append(plan)
        size += n
    if group:
        yield group


def _worth_reading(group: Sequence[Plan], names: dict[int, str]) -> list[int]:
    wanted = {metric for plan in group for metric in plan.cohort.values}
    return [key for key, name in names.items() if name in wanted]


def _is_open(row: dict[str, Any]) -> bool:
    return bool(row["state"] == "open")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
