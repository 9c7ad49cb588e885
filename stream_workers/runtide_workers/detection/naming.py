"""What an alarm is called, and what it says about the curve."""

from __future__ import annotations

from typing import Any

import numpy as np

from runtide_workers.detection import grid
from runtide_workers.detection.alert import Alert
from runtide_workers.detection.baseline import Baseline

EARLY = 0.3  # of the run: curves cross until then
FLAT = 0.25  # of what the baselines gained meanwhile, at most, gained or lost: a plateau
MOVED = 2.0  # standard deviations that they must have gained, or the run have lost: else the shape says nothing
LEAVING = 0.25  # of its loss came with the last window: it goes on
CLEAR = 3  # windows: two in which it gets worse may be a step between them


def alarm(slot: int, state: np.void, baseline: Baseline, step: float, known: int, z: float) -> Alert:
    """The statistic is above its threshold."""
    return Alert(_shape(state, baseline, step), "page", known, _detail(state, baseline, step, z, state["worse"]), slot)


def improvement(slot: int, state: np.void, baseline: Baseline, step: float, known: int, z: float) -> Alert:
    """Its mirror image is."""
    return Alert("improvement", "info", known, _detail(state, baseline, step, z, state["better"]), slot)


def recovered(slot: int, state: np.void, baseline: Baseline, step: float, known: int, z: float) -> Alert:
    """Nothing left of it for a while."""
    return Alert("recovered", "info", known, _detail(state, baseline, step, z, state["worse"]), slot)


def final(slot: int, state: np.void, baseline: Baseline, z: float) -> Alert:
    """The level at the end is worse, though the statistic has not said so before."""
    kind = "throughput" if baseline.of == "pace" else "final_regression"
    step = float(state["at"])
    return Alert(kind, "page", int(step), _detail(state, baseline, step, z, state["worse"]), slot)


def _shape(state: np.void, baseline: Baseline, step: float) -> str:
    """How it got worse since the evidence began: did it turn round, stand still, or just stay behind?"""
    if baseline.of == "pace":
        return "throughput"
    known = np.isfinite(baseline.mean) & np.isfinite(baseline.spread)
    before, now = np.interp([state["before_at"], step], baseline.centres[known], baseline.mean[known])
    spread = np.interp(step, baseline.centres[known], baseline.spread[known])
    lost = baseline.worse * (state["level"] - state["before"]) / spread
    gained = baseline.worse * (before - now) / spread
    last = baseline.worse * (state["level"] - state["earlier"]) / spread
    if state["windows"] >= CLEAR and lost > MOVED and last > LEAVING * lost:
        return "divergence"
    if gained > MOVED and abs(lost) < FLAT * gained:
        return "plateau"
    return "regression"


def _detail(state: np.void, baseline: Baseline, step: float, z: float, statistic: float) -> dict[str, Any]:
    """`effect` and `spread` are relative to the baselines' mean, `spread` absolute on a linear scale."""
    mean, low, high = baseline.level(step)
    value = grid.restore(float(state["level"]), baseline.scale)
    return {
        "effect": baseline.worse * (value - mean) / max(abs(mean), grid.TINY),
        "z": z,
        "statistic": float(statistic),
        "threshold": float(state["threshold"]),
        "windows": int(state["windows"]),
        "since": int(state["since"]) if np.isfinite(state["since"]) else int(step),
        "value": value,
        "baseline": mean,
        "spread": (high - low) / 2 / (max(abs(mean), grid.TINY) if baseline.scale == "log" else 1.0),
        "n": baseline.n,
        "early": bool(step < baseline.edges[0] + EARLY * baseline.length),
        "of": baseline.of,
    }
