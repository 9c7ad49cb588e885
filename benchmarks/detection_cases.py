"""Labelled curves to measure detection with: real ones from a folder, or made-up ones that anyone can make again.

A made-up family is a power law that runs follow with an offset of their own (the seed's), a slow wander and noise from
point to point; families differ in all of these, in the number of baselines and in how often they log. They are easier
than real ones: nothing in them is heavy-tailed.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from runtide_storage.goals import Goal
from runtide_workers.detection import Baseline
from runtide_workers.detection.baseline import Scale

Floats = NDArray[np.float64]
Curve = tuple[Floats, Floats]
Label = Literal["healthy", "natural", "injected"]

FAMILIES = 2000
STEPS = 10_000


@dataclass(frozen=True)
class Case:
    """One run beside its baselines. `onset`: the step where it begins to be worse; `cal`: others are tuned on it."""

    baselines: list[Curve]
    steps: Floats
    values: Floats
    goal: Goal
    scale: Scale
    label: Label
    onset: float
    cal: bool

    @property
    def length(self) -> float:
        return float(self.steps[-1] - self.steps[0])

    def fit(self) -> Baseline:
        return Baseline.fit(self.baselines, goal=self.goal, scale=self.scale)


def real(folder: Path, fraction: float) -> list[Case]:
    """The cases that `cases.py` of that folder builds, a random `fraction` of them (the same ones each time).

    Without those that become NaN: they are found at once, and would only flatter.
    """
    os.environ["CURVES"] = str(folder)  # where cases.py looks for its files
    spec = importlib.util.spec_from_file_location("cases", folder / "cases.py")
    if spec is None or spec.loader is None or not (folder / "cases.py").exists():
        raise SystemExit(f"{folder} has no cases.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    chance = np.random.default_rng(3)
    labels = {"healthy": "healthy", "natural": "natural", "inject": "injected"}
    return [
        Case(
            baselines=[(np.asarray(x, float), np.asarray(y, float)) for x, y in case["base"]],
            steps=np.asarray(case["x"], float),
            values=np.asarray(case["y"], float),
            goal="minimize" if case["worse"] > 0 else "maximize",
            scale="log" if case["kind"] == "log" else "linear",
            label=cast(Label, labels[case["label"].split(":")[0]]),
            onset=float(case["x"][0] + case["onset"] * (case["x"][-1] - case["x"][0])),
            cal=case["split"] == "cal",
        )
        for case in module.build(seed=0)
        if chance.random() <= fraction and case["label"] != "inject:nan"
    ]


def synthetic(fraction: float) -> list[Case]:
    """Of each made-up family a healthy run, one of a worse recipe, and one that gets worse on the way."""
    return [case for number in range(round(FAMILIES * fraction)) for case in _family(number)]


def _family(number: int) -> Iterator[Case]:
    rng = np.random.default_rng([7, number])
    points = int(rng.choice([12, 40, 150, 1000]))
    x = np.linspace(STEPS / points, STEPS, points).round()
    share = x / STEPS
    falls, spread, wander, noise = rng.uniform(0.05, 0.6), *np.exp(rng.uniform(np.log(0.001), np.log(0.03), 3))

    def run(shift: Floats | float = 0.0) -> Curve:
        walk = np.cumsum(rng.normal(0, wander / np.sqrt(points), points))
        offset, jitter = rng.normal(0, spread), rng.normal(0, noise, points)
        return x, np.exp(-falls * np.log(share + 0.01) + offset + walk + jitter + shift)

    baselines = [run() for _ in range(int(rng.choice([4, 6, 12])))]
    sd = np.hypot(spread, wander / 2)
    onset = float(rng.uniform(0.2, 0.6))
    begun, at = share >= onset, min(int(np.searchsorted(share, onset)), points - 1)
    kind = rng.choice(["level", "slow", "plateau", "diverge"])
    learned = -falls * np.log(share + 0.01)
    slower = -falls * np.log(onset + (share - onset) / 2 + 0.01) - learned
    shifts = {
        "level": begun * rng.uniform(4, 10) * sd,
        "slow": begun * slower,
        "plateau": begun * (learned[at] - learned),
        "diverge": begun * 0.02 * np.expm1(np.clip((share - onset) / 0.06, 0, 8)),
    }
    tests: tuple[tuple[Label, Floats | float, float], ...] = (
        ("healthy", 0.0, STEPS),
        ("natural", rng.uniform(3, 12) * sd, 0.0),
        ("injected", shifts[str(kind)], onset * STEPS),
    )
    for label, shift, begins in tests:
        steps, values = run(shift)
        yield Case(baselines, steps, values, "minimize", "log", label, begins, cal=number % 2 == 0)
