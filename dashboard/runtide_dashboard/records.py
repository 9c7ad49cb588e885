"""What the pages know of runs, in plain values: the line between the query API and everything that draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtide_dashboard import status
from runtide_dashboard.curves import Mark

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Project:
    name: str
    runs: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `state` is one of `status.STATES`; `rank` its place by start in its project, from 0."""

    ref: str
    project: str
    id: str
    name: str
    state: str
    group: str
    tags: tuple[str, ...]
    host: str
    attempt: int
    started_at: datetime
    ended_at: datetime | None
    seen_at: datetime | None
    rank: int

    @property
    def live(self) -> bool:
        return status.is_live(self.state)

    def seconds(self, now: datetime) -> float:
        """How long it took; for a live run, so far; for one that vanished, until it was last heard of."""
        end = self.ended_at or (now if self.live else self.seen_at or self.started_at)
        return max(0.0, (end - self.started_at).total_seconds())


@dataclass(frozen=True, slots=True)
class Summary:
    """What one run logged in one metric: the current points only, extremes over the finite ones. Times since 1970."""

    n: int
    nonfinite: int
    first_step: int
    last: float
    last_step: int
    min: float
    min_step: int
    max: float
    max_step: int
    first_ms: int
    last_ms: int
    goal: str | None


@dataclass(frozen=True, slots=True)
class Curve:
    """One run in one metric, as it is drawn: arrays (n,). `lo` and `hi` are None where every point is drawn itself."""

    x: Floats
    mean: Floats
    lo: Floats | None
    hi: Floats | None
    marks: Sequence[tuple[float, Mark]]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A run's verdict on one metric. `effect` is relative, above 0 is worse; `low` to `high` is its 95 % interval."""

    verdict: str
    reason: str
    step: int | None
    value: float | None
    baseline: float | None
    effect: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. `run` is the run's name; `detail` what was measured, as whoever raised it wrote it down."""

    id: str
    project: str
    run_id: str
    run: str
    ts: datetime
    kind: str
    severity: str
    state: str
    title: str
    text: str
    metric: str
    step: int | None
    quiet: bool
    who: str
    reason: str
    detail: Mapping[str, Any]

    @property
    def ref(self) -> str:
        return f"{self.project}/{self.run_id}"


@dataclass(frozen=True, slots=True)
class Health:
    """The pipeline as a whole. `behind_s` is None while no worker runs."""

    behind_s: float | None
    workers: int
    points_per_s: float | None
    lag: int | None
    dead_letters: int
