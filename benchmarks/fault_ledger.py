"""What must be stored, against what is: every call of log that returned, once, with its own value; and the alerts."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.fault_producers import FAMILY_PROJECT, LOSS_KEY, STEADY_KEYS, STEPS, Producer
from runtide.events import ALERTS_TOPIC
from tests.fixtures.trainer import losses
from tests.fixtures.workers import PROJECT, Services

ARRIVED = """
SELECT run, max(step) + 1 AS calls FROM points
WHERE run IN {runs:Array(UInt64)} AND key IN {keys:Array(UInt64)} GROUP BY run
"""
# What is stored of steps `low` up to `high`, without the latter, of each process of the crowd.
WINDOWS = """
SELECT number, count() AS points, uniqExact(key, step) AS places,
       countIf(value != ((number * 1000003 + step * 1009
                          + (indexOf({keys:Array(UInt64)}, key) - 1) * 17) % 1000000) / 1000) AS wrong
FROM (SELECT run, key, step, value FROM points FINAL
      WHERE run IN {runs:Array(UInt64)} AND key IN {keys:Array(UInt64)}) AS p
INNER JOIN (
    SELECT t.1 AS run, toInt64(t.2) AS number, toInt64(t.3) AS low, toInt64(t.4) AS high FROM (
        SELECT arrayJoin(arrayZip({runs:Array(UInt64)}, {numbers:Array(Int64)}, {lows:Array(Int64)},
                                  {highs:Array(Int64)})) AS t)
) AS w USING (run)
WHERE step >= low AND step < high GROUP BY number
"""
CURVES = """
SELECT run, groupArray((step, value)) AS points
FROM (SELECT run, step, value FROM points FINAL
      WHERE run IN {runs:Array(UInt64)} AND key IN {keys:Array(UInt64)} ORDER BY run, step)
GROUP BY run
"""
# People are told once per incident: rows that are quiet go along with one that is not, and what was over before the
# message went out needs none any more.
PAGES = """
SELECT r.project AS project, r.run_id AS run_id, groupArrayIf(a.id, NOT a.quiet AND a.state = 'open') AS due,
       groupArrayIf(a.id, a.id IN (SELECT alert FROM deliveries FINAL WHERE state = 'sent')) AS sent,
       uniqExact(a.incident) AS incidents, groupUniqArray(toString(a.kind)) AS kinds
FROM (SELECT * FROM alerts FINAL WHERE severity = 'page') AS a
INNER JOIN (SELECT run, project, run_id FROM runs FINAL) AS r ON a.run = r.run
GROUP BY project, run_id
"""
ALL = 1 << 40


@dataclass
class Exactness:
    """Points that are missing, there twice, or changed."""

    expected: int = 0
    lost: int = 0
    twice: int = 0
    wrong: int = 0

    def add(self, other: Exactness) -> None:
        self.expected += other.expected
        self.lost += other.lost
        self.twice += other.twice
        self.wrong += other.wrong

    @property
    def bad(self) -> int:
        return self.lost + self.twice + self.wrong

    def __str__(self) -> str:
        return f"{self.expected:,} points expected, {self.lost} lost, {self.twice} twice, {self.wrong} wrong"


@dataclass
class Telling:
    """What was raised and told, against what had to be."""

    due: int = 0  # runs that had to be paged
    raised: int = 0  # of these, runs that were
    missed: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)  # runs with a second incident, or told of twice under two ids
    false: list[str] = field(default_factory=list)  # runs that were paged and must not be
    undecided: int = 0  # killed in the middle of the regression: paged or not, both is right
    untold: list[str] = field(default_factory=list)  # alerts that the webhook was not sent
    posts: int = 0  # times that the webhook was told of an alert
    repeated: int = 0  # of these: of one that it had been told of before

    @property
    def bad(self) -> int:
        return len(self.missed) + len(self.doubled) + len(self.false) + len(self.untold)

    def __str__(self) -> str:
        problems = {name: getattr(self, name) for name in ("missed", "doubled", "false", "untold")}
        told = ", ".join(
            f"{len(found)} {name}" + (f" {found[:4]}" if found else "") for name, found in problems.items()
        )
        return (
            f"{self.raised} of {self.due} incidents raised, {told}, {self.undecided} undecided; "
            f"the webhook was told {self.posts} times, {self.repeated} of them again"
        )


def posts(bodies: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """How often the webhook was told of an alert, and how often of one that it had been told of before."""
    ids = [alert for body in bodies for alert in re.findall(r"alert ([0-9a-f]{32})", str(body.get("message", "")))]
    return len(ids), len(ids) - len(set(ids))


@dataclass
class Ledger:
    """Asks ClickHouse, which must be there: `query(sql, **parameters)` gives rows."""

    query: Callable[..., list[dict[str, Any]]]
    checked: dict[int, int] = field(default_factory=dict)  # number -> the calls that were looked at along the way

    def arrived(self, producers: Iterable[Producer]) -> dict[int, int]:
        """number -> the calls up to the last stored one."""
        runs = {each.run: each.number for each in producers}
        rows = self.query(ARRIVED, runs=list(runs), keys=[STEADY_KEYS[0], LOSS_KEY])
        return {runs[row["run"]]: row["calls"] for row in rows}

    def news(self, calls: Mapping[int, tuple[Producer, int]]) -> Exactness:
        """Of the crowd: what came since `looked_at`. `calls`: number -> process and the calls that are stored."""
        steady = {number: each for number, each in calls.items() if not each[0].is_family}
        return self._windows([(each, self.checked.get(each.number, 0), high) for each, high in steady.values()])

    def looked_at(self, calls: Mapping[int, tuple[Producer, int]]) -> None:
        """`news` need not look at these again."""
        self.checked |= {number: high for number, (_, high) in calls.items()}

    def everything(self, calls: Mapping[int, tuple[Producer, int]], *, ended: bool = False) -> Exactness:
        """All steps of all producers from the first up to `calls`; `ended`: and that nothing else is there."""
        steady = [each for each in calls.values() if not each[0].is_family]
        found = self._windows([(each, 0, high) for each, high in steady])
        found.add(self._curves([each for each in calls.values() if each[0].is_family]))
        if ended:
            # A kill may come between the write of a line and its count: one more call may be there, and as a whole.
            rest = self._windows([(each, high, ALL) for each, high in steady], is_surplus=True)
            found.add(rest)
        return found

    def _windows(self, windows: list[tuple[Producer, int, int]], *, is_surplus: bool = False) -> Exactness:
        if not windows:
            return Exactness()
        asked = {
            "runs": [each.run for each, _, _ in windows], "numbers": [each.number for each, _, _ in windows],
            "lows": [low for _, low, _ in windows], "highs": [high for _, _, high in windows], "keys": STEADY_KEYS,
        }  # fmt: skip
        rows = {row["number"]: row for row in self.query(WINDOWS, **asked)}
        found = Exactness()
        for each, low, high in windows:
            row = rows.get(each.number, {"points": 0, "places": 0, "wrong": 0})
            if is_surplus:
                allowed = (0, each.scalars) if each.killed else (0,)
                found.add(Exactness(0, 0, row["points"] - row["places"], row["wrong"] + (row["places"] not in allowed)))
            else:
                expected = (high - low) * each.scalars
                twice = row["points"] - row["places"]
                found.add(Exactness(expected, expected - row["places"], twice, row["wrong"]))
        return found

    def _curves(self, families: list[tuple[Producer, int]]) -> Exactness:
        asked = {"runs": [each.run for each, _ in families], "keys": [LOSS_KEY]}
        stored = {row["run"]: row["points"] for row in self.query(CURVES, **asked)} if families else {}
        found = Exactness()
        for each, calls in families:
            points = [(step, value) for step, value in stored.get(each.run, []) if step < calls]
            places = len({step for step, _ in points})
            curve = losses(each.number, STEPS, each.worse)
            wrong = sum(value != curve[step] for step, value in points)
            found.add(Exactness(calls, calls - places, len(points) - places, wrong))
        return found

    def telling(
        self, producers: Iterable[Producer], ended: Iterable[Producer], bodies: Iterable[Mapping[str, Any]]
    ) -> Telling:
        """All alerts so far: what may be raised of `producers`, and must have been of those that have `ended`."""
        settled = {each.number for each in ended}
        pages = {(row["project"], row["run_id"]): row for row in self.query(PAGES)}
        told = Telling()
        for each in producers:
            least, most = each.pages()
            least = least if each.number in settled else 0
            nothing: dict[str, Any] = {"due": [], "sent": [], "incidents": 0, "kinds": []}
            row = pages.pop((FAMILY_PROJECT if each.is_family else PROJECT, each.run_id), nothing)
            tellings = len({*row["due"], *row["sent"]})
            told.due += least
            told.undecided += least != most and each.number in settled
            told.raised += bool(least and tellings)
            if tellings < least:
                told.missed.append(each.run_id)
            if tellings > max(1, most) or row["incidents"] > 1:
                told.doubled.append(f"{each.run_id} {row['kinds']}")
            elif tellings > most:
                told.false.append(f"{each.run_id} {row['kinds']}")
            told.untold += set(row["due"]) - set(row["sent"])
        told.false += [f"{project}/{run} {row['kinds']}" for (project, run), row in pages.items()]
        told.posts, told.repeated = posts(bodies)
        return told


def published(services: Services) -> Counter[str]:
    """How often each page is in topic runtide.alerts."""
    values = [json.loads(record.value) for record in services.read_topic(ALERTS_TOPIC, ALL, 5.0)]
    return Counter(value["id"] for value in values if value.get("severity") == "page")
