"""Curves without a baseline: what can be seen of spikes and divergence in the curve alone. Shown, never paged.

Points are taken in blocks of one and, later, of a sixteenth of what came before, up to 64. A spike is further than 20
mean point-to-point differences from the smoothed level; divergence is a smoothed level that is 8 of them worse than it
was at its best. Both must also be worth a part of what the curve has gained so far: an accuracy that wavers between two
values has hardly any noise, and wavers all the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtide_storage.goals import Goal
from runtide_workers.detection.alert import Alert
from runtide_workers.detection.grid import Floats, Indices
from runtide_workers.detection.rounds import nth, rounds

GROWTH, BLOCK_MAX = 16, 64  # a block is a GROWTH-th of the curve so far, in points
SETTLED = 8  # points: nothing is said before
SPIKE = 20.0  # times the mean difference between neighbouring points
DIVERGED = 8.0  # likewise
SPIKE_PART, DIVERGED_PART = 0.1, 0.25  # of the way from the first level to the best
SMOOTHING = 0.3  # of a new block in level and noise
NOISE_STEP = 2.0  # by which factor one block may raise the noise at most

# The open block of a curve, or one that has ended.
BLOCK = np.dtype(
    [
        ("total", np.float64),
        ("jumps", np.float64),  # sum of the differences between neighbouring points, without sign
        ("high", np.float64),
        ("high_at", np.float64),
        ("low", np.float64),
        ("low_at", np.float64),
    ]
)
STATE = np.dtype(
    [
        ("goal", np.float64),  # 1: less is better; -1: more is; 0: nobody knows
        ("points", np.int64),  # taken so far
        ("last", np.float64),
        ("open", BLOCK),
        ("level", np.float64),
        ("noise", np.float64),  # mean difference between neighbouring points; 0: no block has ended
        ("first", np.float64),  # level
        ("best", np.float64),
        ("told_spike", np.bool_),
        ("told_divergence", np.bool_),
    ]
)

# Where blocks end, in points since the start, as long as they grow.
_growing = [0]
while (_size := max(1, _growing[-1] // GROWTH)) < BLOCK_MAX:
    _growing.append(_growing[-1] + _size)
ENDS = np.array(_growing)
SIZES = np.append(np.diff(ENDS), BLOCK_MAX)


def block_of(number: Indices) -> Indices:
    """The block that the `number`-th point (from 0) of a curve is in; -1 for what comes before the first."""
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
        """Room for so many more slots."""
        self._state = np.concatenate([self._state, np.zeros(more, dtype=STATE)])

    def start(self, slot: int, goal: Goal | None) -> None:
        """Watch another curve in `slot`."""
        self._state[slot] = np.zeros((), dtype=STATE)
        self._state["goal"][slot] = {"minimize": 1.0, "maximize": -1.0, None: 0.0}[goal]

    def update(self, slot: Indices, at: Floats, value: Floats) -> list[Alert]:
        """Finite points, in order of arrival within each slot."""
        state = self._state
        order = np.argsort(slot, kind="stable")
        slot, at, value = slot[order], at[order], value[order]
        new = np.append(True, np.diff(slot) != 0)
        number = state["points"][slot] + nth(slot)
        jump = np.abs(np.diff(value, prepend=value[:1]))
        jump[new] = np.where(number[new] > 0, np.abs(value[new] - state["last"][slot[new]]), 0.0)

        block = block_of(number)
        starts = new.copy()
        starts[1:] |= np.diff(block) != 0
        first = np.flatnonzero(starts)
        last = np.append(first[1:], len(slot)) - 1
        slots = slot[first]
        goes_on = block_of(number[first] - 1) == block[first]  # it began in an earlier batch
        blocks = _blocks(first, at, value, jump, state["open"][slots], goes_on)
        ended = block_of(number[last] + 1) != block[last]

        alerts: list[Alert] = []
        for turn in rounds(slots):
            part = turn[ended[turn]]
            if len(part):
                size = SIZES[np.minimum(block[last[part]], len(SIZES) - 1)]
                alerts += self._close(slots[part], at[last[part]], number[last[part]], size, blocks[part])
        newest = np.append(np.diff(slots) != 0, True)
        slots, last = slots[newest], last[newest]
        state["points"][slots], state["last"][slots] = number[last] + 1, value[last]
        state["open"][slots] = blocks[newest]
        return alerts

    def _close(self, slot: Indices, at: Floats, number: Indices, size: Indices, block: NDArray[np.void]) -> list[Alert]:
        """Judge one ended block of each of these slots by the level and noise before it, and take it into them."""
        state = self._state
        level, noise, goal = state["level"][slot], state["noise"][slot], state["goal"][slot]
        mean, rough = block["total"] / size, block["jumps"] / size
        begun, settled = noise > 0, (noise > 0) & (number >= SETTLED)
        up = block["high"] - level >= level - block["low"]
        extreme = np.where(up, block["high"], block["low"])
        extreme_at = np.where(up, block["high_at"], block["low_at"])
        first = np.where(begun, state["first"][slot], mean)
        gained = np.where(begun, np.maximum(goal * first - state["best"][slot], 0.0), 0.0)
        out = np.abs(extreme - level)
        spike = settled & (out > SPIKE * noise) & (out > SPIKE_PART * gained) & ~state["told_spike"][slot]

        moved = np.clip(mean - level, -SPIKE * noise, SPIKE * noise)
        level = np.where(begun, level + SMOOTHING * moved, mean)
        noise = np.where(begun, noise + SMOOTHING * (np.minimum(rough, NOISE_STEP * noise) - noise), rough)
        best = np.where(begun, np.minimum(state["best"][slot], goal * level), goal * level)
        lost = goal * level - best
        diverged = settled & (lost > DIVERGED * noise) & (lost > DIVERGED_PART * gained) & (goal != 0)
        diverged &= ~state["told_divergence"][slot]
        state["level"][slot], state["noise"][slot], state["best"][slot] = level, noise, best
        state["first"][slot] = first
        state["told_spike"][slot[spike]] = True
        state["told_divergence"][slot[diverged]] = True

        alerts: list[Alert] = []
        for index in np.flatnonzero(spike).tolist():
            detail = {"value": float(extreme[index]), "level": float(level[index]), "noise": float(noise[index])}
            alerts.append(Alert("spike", "info", int(extreme_at[index]), detail, int(slot[index])))
        for index in np.flatnonzero(diverged).tolist():
            reached = float(goal[index] * best[index])
            detail = {"value": float(level[index]), "best": reached, "noise": float(noise[index])}
            alerts.append(Alert("divergence", "warn", int(at[index]), detail, int(slot[index])))
        return alerts


def _blocks(
    first: Indices, at: Floats, value: Floats, jump: Floats, known: NDArray[np.void], goes_on: NDArray[np.bool_]
) -> NDArray[np.void]:
    """The blocks whose points begin at `first`, together with what was `known` of those that go on."""
    blocks = np.zeros(len(first), dtype=BLOCK)
    group = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(value))))
    for name, each in (("total", value), ("jumps", jump)):
        # What is known comes first, and bincount adds in order: so the sums are the same for any batching, to the bit.
        added = np.concatenate([np.where(goes_on, known[name], 0.0), each])
        blocks[name] = np.bincount(np.concatenate([np.arange(len(first)), group]), added)
    for name, sign in (("high", 1.0), ("low", -1.0)):
        signed = sign * value
        top = np.maximum.reduceat(signed, first)
        (where,) = np.nonzero(signed == top[group])
        where = where[np.append(True, np.diff(group[where]) != 0)]
        kept = goes_on & (sign * known[name] >= top)
        blocks[name] = np.where(kept, known[name], sign * top)
        blocks[f"{name}_at"] = np.where(kept, known[f"{name}_at"], at[where])
    return blocks
