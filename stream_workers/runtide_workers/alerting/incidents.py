"""From what detection finds to what people are told: one incident per run, and no more noise than that.

A page is raised when the primary metric alarms, or so many metrics do that chance alone would bring about as many in
fewer than one of 200 healthy runs; until then an alarm is a warning. People are told once per incident, and once per
cause: runs that changed the same way share one. Whatever the order in which alarms are found, the rows end up the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson
import xxhash

from runtide_storage.goals import is_throughput
from runtide_workers.alerting import explain
from runtide_workers.alerting.followed import PACE, Followed, Series
from runtide_workers.alerting.message import compare_link
from runtide_workers.alerting.plans import Plan
from runtide_workers.detection import Alert

COMPARED = frozenset(("regression", "plateau", "divergence", "final_regression", "throughput"))  # with a baseline
ALARM_RATE = 0.01  # of a healthy run's metric, by itself
SPEED = "speed"
CHANCE_MAX = 0.005  # that so many metrics of a healthy run alarm

Row = dict[str, Any]


def alert_id(run: int, metric: str, kind: str) -> str:
    """One per run, metric and kind (of rules: each rule), whoever finds it how often."""
    return xxhash.xxh3_128_hexdigest(f"{run}/{metric}/{kind}".encode("utf-8", "surrogatepass"))


def incident_id(run: int) -> str:
    """Of all alerts of a run."""
    return xxhash.xxh3_64_hexdigest(f"{run}".encode())


@cache
def metrics_for_page(watched: int) -> int:
    """How many of `watched` metrics (at most some hundred) must alarm to page when none is the primary one.

    The smallest k with P(K >= k) <= CHANCE_MAX for K binomial (watched, ALARM_RATE), and never one: metrics of one run
    are not independent.
    """
    chance = (1 - ALARM_RATE) ** watched  # of exactly k
    tail, k = 1.0, 0
    while tail > CHANCE_MAX and k <= watched:
        tail -= chance
        chance *= (watched - k) / (k + 1) * ALARM_RATE / (1 - ALARM_RATE)
        k += 1
    return max(2, k)


@dataclass(slots=True)
class Told:
    """What people were told lately, by cause: (incident, when in ms)."""

    causes: dict[str, tuple[str, int]] = field(default_factory=dict)

    def before(self, cause: str, now_ms: int, cooldown_s: float) -> str | None:
        """The incident that stands for this cause already, or None."""
        incident, at_ms = self.causes.get(cause, ("", 0))
        return incident if incident and now_ms - at_ms < 1000 * cooldown_s else None

    def forget(self, now_ms: int, cooldown_s: float) -> None:
        """Drop what is too long ago to stand for anything."""
        self.causes = {cause: told for cause, told in self.causes.items() if now_ms - told[1] < 1000 * cooldown_s}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a row says besides what was found."""

    link: str  # to the pages, without the run; "": no pages
    cooldown_s: float
    quiet: bool  # of the project


class Board:
    """The alerts of one run: `rows` as they are stored, and the run's findings on top, in their order."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows: dict[str, Row] = {row["id"]: dict(row) for row in rows}
        self._changed: dict[str, Row] = {}
        self._alarmed: dict[str, set[str]] = {}  # subject -> ids of what is wrong with it now, by what is replayed
        self._found: set[str] = set()  # ids of all that was found

    def take(self) -> list[Row]:
        """The rows that are new or changed since the last call."""
        changed, self._changed = list(self._changed.values()), {}
        return changed

    def apply(self, followed: Followed, series: Series, alert: Alert, now_ms: int) -> Row | None:
        """Note one finding; the new row, if it is one. Its texts are not filled in yet.

        Where enough metrics are alarmed, warnings become pages.
        """
        if alert.kind == "recovered":
            self._resolve(series, now_ms)
            return None
        which = f"rule {alert.detail.get('rule')}" if alert.kind == "rule" else alert.kind
        key = alert_id(followed.run, series.metric, which)
        severity = severity_of(followed, series, alert)
        if severity is None:
            return None
        self._found.add(key)
        row = None if key in self.rows else self._add(key, followed, series, alert, severity, now_ms)
        if alert.kind in COMPARED and alert.severity == "page":
            self._alarmed.setdefault(_subject(series), set()).add(key)
            if len(self._alarmed) >= metrics_for_page(followed.watched):
                for alarmed in set().union(*self._alarmed.values()):
                    if self.rows[alarmed]["severity"] == "warn":
                        self._change(self.rows[alarmed], now_ms, severity="page")
        return row

    def _add(self, key: str, followed: Followed, series: Series, alert: Alert, severity: str, now_ms: int) -> Row:
        row: Row = {
            "id": key, "run": followed.run, "ts": now_ms, "kind": alert.kind, "severity": severity, "title": "",
            "text": "", "metric": series.metric, "step": int(alert.step), "state": "open", "detail": "{}",
            "incident": incident_id(followed.run), "quiet": 0, "version": now_ms,
        }  # fmt: skip
        self.rows[key] = self._changed[key] = row
        return row

    def settle(self, told: Told, around: Surroundings, now_ms: int) -> None:
        """Decide whom to tell of what is new: people hear once of an incident, and once of a cause."""
        # Of those of a run the last one is told. Not the pace: it comes and goes, and what is over is told no more.
        for key in sorted(self._changed, key=lambda key: (self._changed[key]["kind"] != "throughput", key)):
            row = self._changed[key]
            if row["state"] != "open" or row["quiet"] or row["severity"] != "page":
                continue
            cause = orjson.loads(row["detail"]).get("cause", "")
            others = told.before(cause, now_ms, around.cooldown_s) if cause else None
            is_told = any(
                other["severity"] == "page" and not other["quiet"] and other["incident"] == row["incident"]
                for other in self.rows.values()
                if other is not row and other["kind"] != "rule"
            )
            if others and others != row["incident"]:
                self._change(row, now_ms, incident=others, quiet=1)
            elif is_told and row["kind"] != "rule":
                self._change(row, now_ms, quiet=1)
            elif cause:
                told.causes[cause] = row["incident"], now_ms

    def relaunched(self, now_ms: int) -> None:
        """The run was read again after a relaunch: what only its superseded points showed is over."""
        for key, row in self.rows.items():
            if key not in self._found and row["state"] == "open" and row["kind"] in COMPARED | {"nan"}:
                self._change(row, now_ms, state="resolved")

    def _resolve(self, series: Series, now_ms: int) -> None:
        kinds = {"throughput"} if series.aspect == PACE else COMPARED - {"throughput"}
        over = {key for key, row in self.rows.items() if row["metric"] == series.metric and row["kind"] in kinds}
        left = self._alarmed.get(_subject(series), set()) - over
        self._alarmed = {name: ids for name, ids in self._alarmed.items() if name != _subject(series)}
        if left:
            self._alarmed[_subject(series)] = left
        for row in self.rows.values():
            if row["metric"] == series.metric and row["kind"] in kinds and row["state"] == "open":
                self._change(row, now_ms, state="resolved")

    def _change(self, row: Row, now_ms: int, **changed: Any) -> None:
        row |= changed
        row["version"] = max(now_ms, row.get("version", 0) + 1)
        self._changed[row["id"]] = row


def _subject(series: Series) -> str:
    """What counts as one when several metrics must alarm: the pace and all metrics of speed are the same fact."""
    return SPEED if series.aspect == PACE or is_throughput(series.metric) else series.metric


def severity_of(followed: Followed, series: Series, alert: Alert) -> str | None:
    """How bad it is before others are looked at; None: not worth a row."""
    plan, metric = followed.plan, series.metric
    if alert.kind == "nan":
        if metric in plan.cohort.nonfinite:
            return None
        return "page" if _matters(plan, metric) else "warn"
    if alert.kind == "spike" and not _matters(plan, metric):
        return None  # counters and schedules jump
    if alert.kind in COMPARED and alert.severity == "page":
        return "page" if metric == plan.primary and series.aspect != PACE else "warn"
    return alert.severity


def _matters(plan: Plan, metric: str) -> bool:
    return metric in plan.goals or "loss" in metric.lower() or "grad" in metric.lower()


def describe(
    row: Row,
    followed: Followed,
    alert: Alert,
    around: Surroundings,
    nearest: tuple[str, Mapping[str, Any]],
) -> None:
    """Fill in title, text, detail and whether it is quiet."""
    plan, facts = followed.plan, followed.plan.facts
    other, changed = nearest
    baseline = plan.cohort.values.get(row["metric"])
    members = [plan.member_ids.get(member, "") for member in plan.cohort.used.get(row["metric"], ())]
    name = facts.name or facts.run_id
    words = [explain.text(alert, row["metric"], baseline.edges[-1] if baseline is not None else 0.0)]
    if alert.kind in COMPARED:
        words.append(explain.changed_text(changed, other))
    row["title"] = explain.title(alert, row["metric"], name)
    row["text"] = " ".join(filter(None, words))
    row["quiet"] = int(around.quiet)
    detail = alert.detail | {
        "grade": alert.severity, "primary": row["metric"] == plan.primary, "members": members, "nearest": other,
        "changes": changed, "cause": explain.cause(changed), "attempt": followed.attempt,
        "link": compare_link(around.link, facts.project, facts.run_id, members, row["metric"]),
    }  # fmt: skip
    row["detail"] = orjson.dumps(_plain(detail), option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _plain(value: Any) -> Any:
    """JSON has no NaN: the strings of the event contract stand for what is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
