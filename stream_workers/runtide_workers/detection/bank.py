"""Many curves watched at once, a batch of points at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from runtide_storage.goals import Goal
from runtide_workers.detection import cusum, naming
from runtide_workers.detection.alert import Alert
from runtide_workers.detection.baseline import Baseline
from runtide_workers.detection.grid import BINS, TINY, Floats, Indices
from runtide_workers.detection.rounds import rounds
from runtide_workers.detection.screening import Screening
from runtide_workers.detection.shelf import Shelf

FINAL_Z = 2.6  # of the mean of the last windows
CALM = 0.1  # of the run without evidence: recovered
REMEMBERED = 4.0  # by which the statistic exceeds its threshold at most: what was bad for long may be over soon

# What is kept of a curve that has a baseline.
STATE = np.dtype(
    [
        ("row", np.int32),  # of its baseline on the shelf
        ("bin", np.int32),  # the open one; -1: none yet
        ("count", np.float64),  # of points in it, their sum and that of their steps; of="pace": its first point
        ("total", np.float64),
        ("steps", np.float64),
        ("threshold", np.float64),
        ("worse", np.float64),  # the statistic, and its mirror image
        ("better", np.float64),
        ("windows", np.int32),  # in a row with evidence, since which step, and the level before and where that was
        ("since", np.float64),
        ("before", np.float64),
        ("before_at", np.float64),
        ("earlier", np.float64),  # of the last closed bin but one, of the last one, and where that was
        ("level", np.float64),
        ("at", np.float64),
        ("recent", np.float64, 3),  # its z and that of the two before; NaN: none
        ("calm", np.float64),  # the step since which an alarmed curve shows no evidence; NaN: it does
        ("alarmed", np.bool_),
        ("told_better", np.bool_),
        ("told_calm", np.bool_),
    ]
)


class Bank:
    """Watches curves, each in a slot. State per curve is of fixed size; what it finds doesn't depend on the batching.

    Cost per point doesn't depend on how long a curve is. Not thread-safe.
    """

    def __init__(self) -> None:
        self._used = np.zeros(0, dtype=np.bool_)
        self._told_nan = np.zeros(0, dtype=np.bool_)
        self._alone = np.zeros(0, dtype=np.bool_)
        self._state = np.zeros(0, dtype=STATE)
        self._shelf = Shelf()
        self._screening = Screening()
        self._free: list[int] = []

    def __len__(self) -> int:
        """How many slots are in use."""
        return int(self._used.sum())

    @property
    def nbytes(self) -> int:
        """Memory held, baselines included."""
        flags = self._used.nbytes + self._told_nan.nbytes + self._alone.nbytes
        return flags + self._state.nbytes + self._shelf.nbytes + self._screening.nbytes

    def add(self, baseline: Baseline | None, threshold: float | None = None, goal: Goal | None = None) -> int:
        """Watch one more curve; returns its slot. `threshold` None: the baseline's own.

        Without a baseline only NaN, infinity, spikes and, if its `goal` is known, divergence are found.
        """
        if not self._free:
            self._grow()
        slot = self._free.pop()
        self._used[slot], self._told_nan[slot], self._alone[slot] = True, False, baseline is None
        if baseline is None:
            self._screening.start(slot, goal)
            return slot
        limit = baseline.threshold if threshold is None else threshold
        row = self._shelf.take(baseline)
        nan = np.nan
        self._state[slot] = (
            row, -1, 0, 0, 0, limit, 0, 0, 0, nan, nan, nan, nan, nan, nan, (nan, nan, nan), nan, False, False, False
        )  # fmt: skip
        return slot

    def drop(self, slots: ArrayLike) -> None:
        """Forget these curves. Raises `KeyError` for a slot that isn't in use."""
        for slot in np.atleast_1d(np.asarray(slots, dtype=np.int64)).tolist():
            if not self._used[slot]:
                raise KeyError(slot)
            if not self._alone[slot]:
                self._shelf.give_back(int(self._state["row"][slot]))
            self._used[slot] = False
            self._free.append(slot)

    def update(self, slots: ArrayLike, steps: ArrayLike, values: ArrayLike) -> list[Alert]:
        """Take points (k,), in order of arrival within each slot. Returns what they gave away, by slot, oldest first.

        A curve with a baseline of="pace" takes seconds since the start of the run as its values.
        """
        slot = np.asarray(slots, dtype=np.int64)
        at, value = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
        finite = np.isfinite(value)
        alerts: list[Alert] = []
        if not finite.all():
            alerts += self._not_finite(slot[~finite], at[~finite], value[~finite])
            slot, at, value = slot[finite], at[finite], value[finite]
        alone = self._alone[slot]
        if alone.any():
            alerts += self._screening.update(slot[alone], at[alone], value[alone])
            slot, at, value = slot[~alone], at[~alone], value[~alone]
        if len(slot):
            alerts += self._compare(slot, at, value)
        return sorted(alerts, key=_order)

    def finish(self, slots: ArrayLike) -> list[Alert]:
        """These curves have ended: judge the last, unfinished bin, and the level at the end."""
        alerts: list[Alert] = []
        slot = np.unique(np.asarray(slots, dtype=np.int64))
        slot = slot[~self._alone[slot]]
        state = self._state[slot]
        row, bin_ = state["row"].astype(np.int64), state["bin"].astype(np.int64)
        rows = self._shelf.rows
        open_ = (bin_ >= 0) & (bin_ < rows["bins"][row]) & ~rows["pace"][row] & ~rows["pointwise"][row]
        count = np.maximum(state["count"], 1)
        step, level = state["steps"] / count, state["total"] / count
        alerts += self._advance(slot[open_], bin_[open_], step[open_], level[open_], count[open_], step[open_])
        self._state["bin"][slot] = rows["bins"][row]  # whatever comes now comes too late
        state = self._state[slot]
        z = state["recent"].mean(axis=1)
        standing = state["alarmed"] & ~state["told_calm"]
        for index in np.flatnonzero((z > FINAL_Z) & ~standing).tolist():
            each = int(slot[index])
            alerts.append(naming.final(each, state[index], self._shelf[state["row"][index]], float(z[index])))
        self._state["recent"][slot] = np.nan
        return sorted(alerts, key=_order)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _compare(self, slot: Indices, at: Floats, value: Floats) -> list[Alert]:
        """Put the points into their bins and judge the bins that are closed by them."""
        state, shelf = self._state, self._shelf
        row = state["row"][slot]
        bin_ = shelf.place(row, at)
        logs = shelf.rows["log"][row]
        if logs.any():
            value = np.where(logs, np.log(np.maximum(value, TINY)), value)

        # The open bins join the points as if they were points, first in each slot: sums are then the same however the
        # points were batched, to the last bit (bincount adds in order).
        touched = np.unique(slot)
        touched = touched[state["bin"][touched] >= 0]
        kept = state[touched]
        slot = np.concatenate([touched, slot])
        order = np.argsort(slot, kind="stable")
        old = order < len(touched)
        slot = slot[order]
        bin_ = np.concatenate([kept["bin"], bin_])[order]
        count = np.concatenate([kept["count"], np.ones(len(at))])[order]
        at = np.concatenate([kept["steps"], at])[order]
        value = np.concatenate([kept["total"], value])[order]

        # A point of an earlier bin than the open one comes too late.
        span = BINS + 2
        rank = np.cumsum(np.diff(slot, prepend=slot[:1]) != 0) * span
        timely = (bin_ >= 0) & (np.maximum.accumulate(rank + bin_) == rank + bin_)
        slot, bin_, count, at, value, old = (each[timely] for each in (slot, bin_, count, at, value, old))
        if not len(slot):
            return []

        starts = np.ones(len(slot), dtype=np.bool_)
        starts[1:] = (np.diff(slot) != 0) | (np.diff(bin_) != 0)
        group = np.cumsum(starts) - 1
        first = np.flatnonzero(starts)
        slot, bin_, fresh = slot[first], bin_[first], ~old[first]
        first_at, first_value = at[first], value[first]
        row = state["row"][slot]
        pace, pointwise = shelf.rows["pace"][row], shelf.rows["pointwise"][row]
        keeps_first = pace | pointwise
        count = np.bincount(group, count)
        total = np.where(keeps_first, first_value, np.bincount(group, value))
        steps = np.where(keeps_first, first_at, np.bincount(group, at))
        final = np.append(np.diff(slot) != 0, True)

        opened = slot[final]
        state["bin"][opened], state["count"][opened] = bin_[final], count[final]
        state["total"][opened], state["steps"][opened] = total[final], steps[final]

        closed = np.where(pointwise, fresh, ~final) & (bin_ < shelf.rows["bins"][row])
        (index,) = np.nonzero(closed)
        if not len(index):
            return []
        after = np.minimum(index + 1, len(slot) - 1)
        many = np.where(keeps_first, 1.0, count)[index]
        step, level = steps[index] / many, total[index] / many
        known = np.where(pointwise[index], step, first_at[after])
        (paced,) = np.nonzero(pace[index])
        if len(paced):
            went, took = (known - step)[paced], (first_value[after] - level)[paced]
            step[paced] += went / 2
            good = (went > 0) & (took > 0)
            level[paced] = np.where(good, np.log(np.where(good, took, 1.0) / np.where(good, went, 1.0)), np.nan)
        return self._advance(slot[index], bin_[index], step, level, many, known)

    def _advance(
        self, slot: Indices, bin_: Indices, step: Floats, level: Floats, count: Floats, known: Floats
    ) -> list[Alert]:
        """Judge closed bins, sorted by slot: mean step and (transformed) level, and the step where they are known."""
        row = self._state["row"][slot]
        z = self._shelf.z(row, bin_, step, level, count)
        tested = np.isfinite(z)
        if not tested.any():
            return []
        slot = slot[tested]
        step, level, known, z = (each[tested] for each in (step, level, known, z))
        alerts: list[Alert] = []
        for turn in rounds(slot):
            alerts += self._round(slot[turn], step[turn], level[turn], known[turn], z[turn])
        return alerts

    def _round(self, slot: Indices, step: Floats, level: Floats, known: Floats, z: Floats) -> list[Alert]:
        """One closed bin of each of these slots."""
        state = self._state
        was, limit = state["worse"][slot], state["threshold"][slot]
        recent = state["recent"][slot]
        drifts = self._shelf.rows["drift"][state["row"][slot]]
        worse = cusum.step(was, z, recent[:, 0], drifts)
        better = cusum.step(state["better"][slot], -z, -recent[:, 0], drifts)
        worse = np.minimum(worse, limit + REMEMBERED)
        state["worse"][slot], state["better"][slot] = worse, better
        begins, evident = (was == 0) & (worse > 0), worse > 0
        state["windows"][slot] = np.where(evident, np.where(begins, 0, state["windows"][slot]) + 1, 0)
        state["since"][slot[begins]] = step[begins]
        for kept, last in (("before", "level"), ("before_at", "at")):
            state[kept][slot[begins]] = state[last][slot[begins]]
        state["earlier"][slot], state["level"][slot], state["at"][slot] = state["level"][slot], level, step
        state["recent"][slot] = np.concatenate([z[:, None], recent[:, :2]], axis=1)

        alarmed = state["alarmed"][slot]
        alarm = (worse > limit) & ~alarmed
        improved = (better > limit) & ~state["told_better"][slot]
        calm = np.where(evident, np.nan, np.fmin(state["calm"][slot], known))
        calm[~alarmed] = np.nan
        state["calm"][slot] = calm
        with np.errstate(invalid="ignore"):
            recovered = known - calm >= CALM * self._shelf.rows["length"][state["row"][slot]]
        recovered &= ~state["told_calm"][slot]
        if not (alarm.any() or improved.any() or recovered.any()):
            return []
        state["alarmed"][slot[alarm]] = True
        state["told_better"][slot[improved]] = True
        state["told_calm"][slot[recovered]] = True
        alerts: list[Alert] = []
        for which, name in ((alarm, naming.alarm), (improved, naming.improvement), (recovered, naming.recovered)):
            for index in np.flatnonzero(which).tolist():
                each = int(slot[index])
                baseline = self._shelf[state["row"][each]]
                alerts.append(name(each, state[each], baseline, float(step[index]), int(known[index]), float(z[index])))
        return alerts

    def _not_finite(self, slot: Indices, at: Floats, value: Floats) -> list[Alert]:
        """The first value of each slot that is no number."""
        alerts: list[Alert] = []
        for index in np.flatnonzero(~self._told_nan[slot]).tolist():
            each = int(slot[index])
            if not self._told_nan[each]:
                self._told_nan[each] = True
                alerts.append(Alert("nan", "page", int(at[index]), {"value": str(float(value[index]))}, each))
        return alerts

    def _grow(self) -> None:
        size = len(self._used)
        more = max(16, size // 2)
        self._used, self._told_nan, self._alone = (
            np.concatenate([each, np.zeros(more, dtype=np.bool_)]) for each in (self._used, self._told_nan, self._alone)
        )
        self._state = np.concatenate([self._state, np.zeros(more, dtype=STATE)])
        self._screening.grow(more)
        self._free.extend(range(size + more - 1, size - 1, -1))


def _order(alert: Alert) -> tuple[int, int]:
    return alert.slot, alert.step
