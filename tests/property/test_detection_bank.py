"""What a bank finds is a function of the points of each curve: not of their batches, nor of its other curves."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtide_workers.detection import Alert, Bank, Baseline, Monitor

PLAIN = settings(max_examples=12)
Curve = tuple[np.ndarray, np.ndarray]


def curve(rng: np.random.Generator, points: int, steps: int, worse: float = 0.0, onset: float = 0.5) -> Curve:
    """A loss curve: a power law, a run's own offset, noise; `worse` is added to its logarithm from `onset` on."""
    x = np.sort(rng.choice(steps, size=min(points, steps), replace=False)).astype(float)
    y = 4 * (x / steps + 0.01) ** -0.2 * np.exp(rng.normal(0, 0.01) + rng.normal(0, 0.02, len(x)))
    return x, y * np.exp(worse * (x >= onset * steps))


def baseline(seed: int, points: int, of: str) -> Baseline:
    rng = np.random.default_rng(seed)
    curves = [curve(rng, points, 1000) for _ in range(6)]
    if of == "pace":
        return Baseline.fit([(x, np.cumsum(rng.uniform(0.9, 1.1, len(x)))) for x, _ in curves], of="pace")
    return Baseline.fit(curves)


def batches(rng: np.random.Generator, length: int) -> Sequence[slice]:
    cuts = np.unique(np.concatenate([[0, length], rng.integers(0, length + 1, rng.integers(0, 12))]))
    return [slice(begin, end) for begin, end in pairwise(cuts)]


def told(alerts: Sequence[Alert]) -> list[tuple[object, ...]]:
    """Comparable, to the last bit; NaN equals NaN."""
    return sorted((each.slot, each.step, each.kind, each.severity, repr(each.detail)) for each in alerts)


def points(rng: np.random.Generator, seed: int, of: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of six curves, interleaved, with late and repeated steps, and values that are no numbers."""
    parts = []
    for slot in range(6):
        own, worse = np.random.default_rng([seed, slot]), float(rng.choice([0.0, 0.05, 3.0]))
        x, y = curve(own, int(rng.integers(1, 400)), 1100, worse, 0.3)
        if of == "pace":
            y = np.cumsum(np.where(x > 500, 1.5, 1.0) * rng.uniform(0.9, 1.1, len(x)))
        y[rng.random(len(y)) < rng.choice([0.0, 0.02])] = rng.choice([math.nan, math.inf])
        swapped = np.argsort(np.arange(len(x)) + rng.uniform(0, rng.choice([0.1, 30.0]), len(x)))
        parts.append((np.full(len(x), slot), x[swapped], y[swapped]))
    slots, x, y = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = np.lexsort((np.arange(len(slots)), rng.permutation(len(slots)) // 7))
    return slots[order], x[order], y[order]


@pytest.mark.parametrize("of", ["value", "pace"])
@PLAIN
@given(seed=st.integers(0, 10_000), dense=st.booleans())
def test_any_batching_gives_the_same_alerts(of: str, seed: int, dense: bool) -> None:
    rng = np.random.default_rng(seed)
    kept = baseline(seed, 300 if dense else 20, of)
    slot, x, y = points(rng, seed, of)

    def watch(cuts: Sequence[slice]) -> list[Alert]:
        bank = Bank()
        slots = [bank.add(kept if each % 3 or of == "pace" else None, goal="minimize") for each in range(6)]
        found = [alert for cut in cuts for alert in bank.update(slot[cut], x[cut], y[cut])]
        return found + bank.finish(slots)

    whole = told(watch([slice(0, len(x))]))
    assert told(watch(batches(rng, len(x)))) == whole
    assert told(watch([slice(index, index + 1) for index in range(len(x))])) == whole
    assert len({(each[0], each[2]) for each in whole}) == len(whole), "an alert of a kind comes once per slot"


@PLAIN
@given(seed=st.integers(0, 10_000), dense=st.booleans())
def test_a_slot_of_a_bank_finds_what_a_monitor_finds(seed: int, dense: bool) -> None:
    rng = np.random.default_rng(seed)
    kept = [baseline(seed + each, 300 if dense else 20, "value") for each in range(3)]
    slot, x, y = points(rng, seed, "value")
    bank = Bank()
    slots = [bank.add(kept[each % 3]) for each in range(6)]
    together = [alert for cut in batches(rng, len(x)) for alert in bank.update(slot[cut], x[cut], y[cut])]
    together += bank.finish(slots)
    for each in slots:
        monitor = Monitor(kept[each % 3])
        alone = monitor.update(x[slot == each], y[slot == each]) + monitor.finish()
        assert [row[1:] for row in told(alone)] == [row[1:] for row in told(together) if row[0] == each]


@PLAIN
@given(seed=st.integers(0, 10_000), dense=st.booleans(), of=st.sampled_from(["value", "pace"]))
def test_a_stored_baseline_gives_the_same_alerts(seed: int, dense: bool, of: str) -> None:
    kept = baseline(seed, 300 if dense else 20, of)
    read = Baseline.from_row(kept.as_row(), of=kept.of)
    _, x, y = points(np.random.default_rng(seed), seed, of)
    found = []
    for each in (kept, read):
        monitor = Monitor(each)
        found.append(told(monitor.update(x, y) + monitor.finish()))
    assert found[0] == found[1]
    np.testing.assert_array_equal(kept.peaks, read.peaks)
