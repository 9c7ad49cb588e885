"""Curves without a baseline: what can be seen of spikes and divergence in the curve alone. Shown, never paged.

Points are taken in blocks of one and, later, of a sixteenth of what came before, up to 64. A spike is further than 15
mean point-to-point differences from the smoothed level; divergence is a smoothed level that is 8 of them worse than it
was at its best.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtide_workers.detection.alert import Alert
from runtide_workers.detection.direction import Goal
from runtide_workers.detection.grid import Floats

Indices = NDArray[np.int64]

GROWTH, BLOCK_MAX = 16, 64  # a block is a GROWTH-th of the curve so far, in points
SETTLED = 8  # points: nothing is said before
SPIKE = 15.0  # times the mean difference between neighbouring points
DIVERGED = 8.0  # likewise
SMOOTHING = 0.3  # of a new block in level and noise
NOISE_STEP = 2.0  # by which factor one block may raise the noise at most

STATE = np.dtype(
    [
        ("goal", np.float64),  # 1: less is better; -1: more is; 0: nobody knows
        ("points", np.int64),  # taken so far, of which in the open block
        ("total", np.float64),
        ("jumps", np.float64),  # sum of |differences|
        ("last", np.float64),
        ("high", np.float64),
        ("high_at", np.float64),
        ("low", np.float64),
        ("low_at", np.float64),
        ("level", np.float64),
        ("noise", np.float64),
        ("best", np.float64),
        ("told_spike", np.bool_),
        ("told_divergence", np.bool_),
    ]
)

# Where blocks end, in points since the start, as long as they grow.
_GROWING = [0]
while (_size := max(1, _GROWING[-1] // GROWTH)) < BLOCK_MAX:
    _GROWING.append(_GROWING[-1] + _size)
ENDS = np.array(_GROWING)


def block_of(number: Indices) -> Indices:
    """The block that the `number`-th point (from 0) of a curve is in."""
    early = np.searchsorted(ENDS, number, side="right") - 1
    return np.where(number < ENDS[-1], early, len(ENDS) - 1 + (number - ENDS[-1]) // BLOCK_MAX)


class Screening:
    """The part of a bank that watches curves without a baseline."""

    def __init__(self) -> None:
        self._state = np.zeros(0, dtype=STATE)

    @property
    def nbytes(self) -> int:
        return self._state.nbytes

    def grow(self, more: int) -> None:
        self._state = np.concatenate([self._state, np.zeros(more, dtype=STATE)])

    def start(self, slot: int, goal: Goal | None) -> None:
        self._state[slot] = np.zeros((), dtype=STATE)
        self._state["goal"][slot] = {"minimize": 1.0, "maximize": -1.0, None: 0.0}[goal]

    def update(self, slot: Indices, at: Floats, value: Floats) -> list[Alert]:
        """Finite points, in order of arrival within each slot."""
        state = self._state
        order = np.argsort(slot, kind="stable")
        slot, at, value = slot[order], at[order], value[order]
        new = np.append(True, np.diff(slot) != 0)
        head = np.flatnonzero(new)[np.cumsum(new) - 1]
        number = state["points"][slot] + np.arange(len(slot)) - head
        jump = np.abs(np.diff(value, prepend=value[:1]))
        jump[new] = np.where(number[new] > 0, np.abs(value[new] - state["last"][slot[new]]), 0.0)
        block = block_of(number)
        starts = new.copy()
        starts[1:] |= np.diff(block) != 0
        first = np.flatnonzero(starts)
        group = np.cumsum(starts) - 1
        last = np.append(first[1:], len(slot)) - 1
        opens, slots, begins = new[first], slot[first], block_of(number[first] - 1) != block[first]
        begins |= number[first] == 0
        goes_on = ~begins  # the block was open before this batch
        total = _sums(group, value, np.where(goes_on, state["total"][slots], 0.0))
        jumps = _sums(group, jump, np.where(goes_on, state["jumps"][slots], 0.0))
        high, high_at = _extreme(group, first, value, at, 1.0, goes_on, state["high"][slots], state["high_at"][slots])
        low, low_at = _extreme(group, first, value, at, -1.0, goes_on, state["low"][slots], state["low_at"][slots])
        ended = block_of(number[last] + 1) != block[last]
        size = _sizes(block[last])
        alerts: list[Alert] = []
        nth = np.arange(len(slots)) - np.maximum.accumulate(np.where(opens, np.arange(len(slots)), 0))
        order = np.argsort(nth, kind="stable")
        order = order[ended[order]]
        for part in np.split(order, np.cumsum(np.bincount(nth[order]))[:-1]):
            if len(part):
                mean, rough = total[part] / size[part], jumps[part] / size[part]
                extremes = high[part], high_at[part], low[part], low_at[part]
                alerts += self._close(slots[part], at[last[part]], mean, rough, *extremes)
        tail = np.append(opens[1:], True)
        known = slots[tail]
        state["points"][known] = number[last[tail]] + 1
        state["last"][known] = value[last[tail]]
        for name, found in (("total", total), ("jumps", jumps), ("high", high), ("high_at", high_at), ("low", low),
                            ("low_at", low_at)):  # fmt: skip
            state[name][known] = found[tail]
        return alerts

    def _close(
        self,
        slot: Indices,
        at: Floats,
        mean: Floats,
        rough: Floats,
        high: Floats,
        high_at: Floats,
        low: Floats,
        low_at: Floats,
    ) -> list[Alert]:
        """Judge one ended block of each of these slots by the level and noise before it, and take it into them."""
        state = self._state
        level, noise, goal = state["level"][slot], state["noise"][slot], state["goal"][slot]
        begun = noise > 0
        up = high - level >= level - low
        extreme, extreme_at = np.where(up, high, low), np.where(up, high_at, low_at)
        spike = begun & (np.abs(extreme - level) > SPIKE * noise) & ~state["told_spike"][slot]
        bound = np.where(begun, NOISE_STEP * noise, np.inf)
        rough = np.minimum(rough, bound)
        moved = np.where(begun, np.clip(mean - level, -SPIKE * noise, SPIKE * noise), 0.0)
        level = np.where(begun, level + SMOOTHING * moved, mean)
        noise = np.where(begun, noise + SMOOTHING * (rough - noise), rough)
        best = np.where(begun, np.minimum(state["best"][slot], goal * level), goal * level)
        diverged = begun & (goal * level > best + DIVERGED * noise) & (goal != 0) & ~state["told_divergence"][slot]
        state["level"][slot], state["noise"][slot], state["best"][slot] = level, noise, best
        state["told_spike"][slot[spike]] = True
        state["told_divergence"][slot[diverged]] = True
        alerts = []
        for index in np.flatnonzero(spike).tolist():
            detail = {"value": float(extreme[index]), "level": float(level[index]), "noise": float(noise[index])}
            alerts.append(Alert("spike", "info", int(extreme_at[index]), detail, int(slot[index])))
        for index in np.flatnonzero(diverged).tolist():
            detail = {
                "value": float(level[index]),
                "best": float(goal[index] * best[index]),
                "noise": float(noise[index]),
            }
            alerts.append(Alert("divergence", "warn", int(at[index]), detail, int(slot[index])))
        return alerts


def _sizes(block: Indices) -> Indices:
    growing = np.append(np.diff(ENDS), BLOCK_MAX)
    return growing[np.minimum(block, len(growing) - 1)]


def _sums(group: Indices, value: Floats, begin: Floats) -> Floats:
    """The sum of each group, added in order to `begin`: the same, to the last bit, however the points were batched."""
    both: Floats = np.concatenate([begin, value])
    return np.bincount(np.concatenate([np.arange(len(begin)), group]), both).astype(np.float64, copy=False)


def _extreme(
    group: Indices, first: Indices, value: Floats, at: Floats, sign: float, goes_on: NDArray[np.bool_], known: Floats,
    known_at: Floats,
) -> tuple[Floats, Floats]:  # fmt: skip
    """The highest (`sign` -1: the lowest) value of each group, what is known of it included, and its first step."""
    signed = sign * value
    top = np.maximum.reduceat(signed, first)
    where = np.flatnonzero(signed == top[group])
    where = where[np.append(True, np.diff(group[where]) != 0)]
    keep = goes_on & (sign * known >= top)
    return np.where(keep, known, sign * top), np.where(keep, known_at, at[where])
