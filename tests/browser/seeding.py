"""Runs written straight into ClickHouse, as the worker would: quick, with any name, time and state a page may meet."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtide_storage.ids import key_id, run_key, writer_key
from runtide_storage.rollup import Touched
from runtide_storage.writer import Writer

Values = NDArray[np.float64]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class SeededRun:
    """One run with one writer. `seq` counts its lines."""

    writer: Writer
    project: str
    id: str
    started_ms: int
    seq: int = 0
    last_step: int = 0
    known: set[str] = field(default_factory=set)

    @property
    def ref(self) -> str:
        return f"{self.project}/{self.id}"

    @property
    def run(self) -> int:
        return run_key(self.project, self.id)

    @property
    def by(self) -> int:
        return writer_key(f"seed-{self.ref}")

    def begin(
        self, *, name: str = "", group: str = "", tags: Sequence[str] = (), config: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None, host: str = "gpu-1",
    ) -> None:  # fmt: skip
        self.writer.rows(
            "writers",
            [
                {
                    "run": self.run, "writer": self.by, "project": self.project, "run_id": self.id,
                    "writer_id": f"seed-{self.ref}", "attempt": 1, "rank": 0, "host": host, "pid": 1,
                    "started_at": self.started_ms,
                }
            ],
        )  # fmt: skip
        self.event("start", {"name": name, "group": group, "tags": list(tags)}, self.started_ms)
        self.values("config", config or {})
        self.values("meta", meta or {})

    def values(self, section: str, values: Mapping[str, Any]) -> None:
        rows = [
            {
                "run": self.run, "section": section, "name": name, "value": json.dumps(value),
                "number": float(value) if isinstance(value, int | float) else None, "ts": self.started_ms * 1_000_000,
            }
            for name, value in values.items()
        ]  # fmt: skip
        self.writer.rows("run_values", rows)

    def log(
        self, metrics: Mapping[str, Values], steps: NDArray[np.int64], ts_ms: NDArray[np.int64] | None = None
    ) -> None:
        """One point per step and metric; without `ts_ms` the last was logged just now, a second between two."""
        n = len(steps)
        times = now_ms() - 1000 * np.arange(n - 1, -1, -1, dtype=np.int64) if ts_ms is None else ts_ms
        new = set(metrics) - self.known
        self.writer.rows("metrics", [{"id": key_id(name), "name": name} for name in sorted(new)])
        self.known |= new
        for name, values in metrics.items():
            self.writer.points(
                {
                    "run": np.full(n, self.run, np.uint64),
                    "key": np.full(n, key_id(name), np.uint64),
                    "step": steps.astype(np.int64),
                    "ts": times,
                    "value": np.asarray(values, np.float64),
                    "attempt": np.full(n, 1, np.uint16),
                    "writer": np.full(n, self.by, np.uint64),
                    "seq": np.arange(self.seq, self.seq + n, dtype=np.uint64),
                }
            )
        self.writer.rollup([Touched(self.run, int(steps.min()), int(steps.max()))])
        self.seq += n
        self.last_step = int(steps.max())
        self.progress(int(times.max()))

    def go_on(self, metric: str, count: int) -> int:
        """Log `count` more points of a metric, just now. The last step."""
        self.log(
            {metric: np.full(count, 2.5)}, np.arange(self.last_step + 1, self.last_step + count + 1, dtype=np.int64)
        )
        return self.last_step

    def progress(self, point_ms: int, stored_ms: int | None = None) -> None:
        """As if the worker had stored all lines so far at `stored_ms` (default: now)."""
        self.writer.rows(
            "ingest_progress",
            [
                {
                    "run": self.run, "writer": self.by, "first": 0, "next": self.seq,
                    "stored_at": stored_ms or now_ms(), "point_at": point_ms,
                }
            ],
        )  # fmt: skip

    def end(self, state: str, at_ms: int) -> None:
        kind, data = (
            ("end", {"state": state})
            if state == "killed"
            else ("finish", {"state": state, "exit_code": int(state != "finished")})
        )
        self.event(kind, data, at_ms)

    def event(self, kind: str, data: Mapping[str, Any], at_ms: int) -> None:
        self.writer.rows(
            "run_events",
            [
                {
                    "run": self.run, "ts": at_ms * 1_000_000, "writer": self.by, "seq": self.seq, "attempt": 1,
                    "kind": kind, "body": json.dumps(data),
                }
            ],
        )  # fmt: skip
        self.seq += 1
        self.writer.refold([self.run])


def beat(writer: Writer, *, behind_ms: int = 300, points: int = 1_000_000, dead: int = 0) -> None:
    """What a healthy worker says of itself every few seconds."""
    at = now_ms()
    writer.rows(
        "worker_beats",
        [
            {
                "worker": "0", "at": at, "fresh_to": at - behind_ms, "messages": points // 500, "points": points,
                "duplicates": 0, "dead": dead, "lag": 0,
            }
        ],
    )  # fmt: skip


def loss_curve(steps: NDArray[np.int64], *, floor: float, speed: float, noise: float, seed: int) -> Values:
    """Looks like a training loss."""
    rng = np.random.default_rng(seed)
    drift = np.cumsum(rng.normal(0, noise / 40, len(steps)))
    return (
        floor
        + 9.2 * np.exp(-speed * steps / 900) / (1 + steps / 700) ** 0.35
        + rng.normal(0, noise, len(steps))
        + drift
    )
