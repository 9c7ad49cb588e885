"""Every few seconds: what this worker says of itself, and a look for runs that fell silent.

By the server's clock, which also says when a run was heard of: the worker's own may be wrong, and jump.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import orjson
import xxhash

from runtide_storage.errors import StorageError
from runtide_workers.health import Meter
from runtide_workers.outlet import Outgoing, alert_message
from runtide_workers.records import Row

log = logging.getLogger(__name__)

SILENT = """
SELECT key AS run, run_id, name, attempt, host, state FROM run_states WHERE state = 'crashed' OR health = 'stalled'
"""
NOW = "SELECT toUnixTimestamp64Milli(now64(3)) AS now_ms"
RAISED = """
SELECT id, run, toUnixTimestamp64Milli(ts) AS ts, kind, severity, title, text, metric, step, state, detail
FROM alerts FINAL
WHERE kind IN ('crashed', 'stalled') AND (state = 'open' OR id IN {ids:Array(String)})
"""
FRESH_S = 30.0  # behind by more than that, silence may be ours
TITLES = {"crashed": "{} gives no sign of life", "stalled": "{} lives, but logs nothing"}
SEVERITIES = {"crashed": "page", "stalled": "warn"}


class Table(Protocol):
    """The part of `Writer` that is needed here. Blocking."""

    def rows(self, table: str, rows: Sequence[Row]) -> None: ...


Read = Callable[[str, Mapping[str, Any]], Iterable[Mapping[str, Any]]]


class Liveness:
    """Beats, and alerts on runs that crashed or stalled: one per run, attempt and kind, whoever finds it how often."""

    def __init__(
        self, storage: Table, read: Read, publish: Callable[[Sequence[Outgoing]], None], meter: Meter, worker: str
    ) -> None:
        self._storage = storage
        self._read = read
        self._publish = publish
        self._meter = meter
        self._worker = worker

    async def run(self, period_s: float) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(period_s)
            try:
                await asyncio.to_thread(self.beat)
                await asyncio.to_thread(self.look)
            except StorageError as error:  # the sink tells of outages; what was not said now is said next time
                log.log(logging.DEBUG if error.retriable else logging.WARNING, "no look for silent runs: %s", error)

    def beat(self) -> None:
        """Write a row of worker_beats, and what shippers said. Raises `Unreachable`."""
        meter, now_ms = self._meter, self._now_ms()
        lags = meter.lags()
        waiting: Counter[int] = Counter()  # by number: partitions of the same one, of all topics, are one worker's
        for (_, number), lag in lags.items():
            waiting[number] += lag
        self._storage.rows(
            "worker_beats",
            [
                {
                    "worker": self._worker,
                    "at": now_ms,
                    "fresh_to": meter.fresh_to_ms(now_ms),
                    "messages": meter.messages,
                    "points": meter.points,
                    "duplicates": meter.duplicates,
                    "dead": meter.dead,
                    "lag": sum(lags.values()),
                    "partitions": list(waiting),
                    "lags": list(waiting.values()),
                }
            ],
        )
        self._storage.rows("shippers", meter.shippers.take())

    def look(self) -> None:
        """Raise, resolve and reopen alerts. Raises `Unreachable`."""
        now_ms = self._now_ms()
        if now_ms - self._meter.fresh_to_ms(now_ms) > FRESH_S * 1000:
            return
        silent = {row["id"]: row for row in map(_alert, self._read(SILENT, {}))}
        known = {row["id"]: dict(row) for row in self._read(RAISED, {"ids": list(silent)})}
        new = [row | {"ts": now_ms} for key, row in silent.items() if key not in known]
        over = [
            row | {"state": "resolved"} for key, row in known.items() if row["state"] == "open" and key not in silent
        ]
        back = [row | {"state": "open"} for key, row in known.items() if row["state"] == "resolved" and key in silent]
        for rows in (new, over, back):
            if rows:
                self._storage.rows("alerts", [row | {"version": now_ms} for row in rows])
        if new:
            self._publish([alert_message(row | {"version": now_ms}) for row in new])

    def _now_ms(self) -> int:
        [row] = self._read(NOW, {})
        return int(row["now_ms"])


def _alert(found: Mapping[str, Any]) -> Row:
    kind = "crashed" if found["state"] == "crashed" else "stalled"
    identity = f"{found['run']}/{found['attempt']}/{kind}"
    return {
        "id": xxhash.xxh3_128_hexdigest(identity.encode()),
        "run": found["run"],
        "kind": kind,
        "severity": SEVERITIES[kind],
        "title": TITLES[kind].format(found["name"] or found["run_id"]),
        "text": f"attempt {found['attempt']} on {found['host'] or 'an unknown host'}",
        "metric": "",
        "step": None,
        "state": "open",
        "detail": orjson.dumps({"attempt": found["attempt"]}).decode(),
    }
