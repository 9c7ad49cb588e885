"""Tiers: each metric's points in buckets of 1,024 steps, recomputed from the raw points whenever a bucket is touched.

Nothing is ever added to a bucket, so replays, late points and steps logged again can't corrupt it. A run with several
attempts needs to know where each attempt begins, per metric: points of earlier attempts from there on don't count any
more ("the latest attempt wins").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from runtide_storage.statements import statements

BUCKET_STEPS = 1024
STEP_MIN, STEP_MAX = -(2**63), 2**63 - 1
RUNS_PER_STATEMENT_MAX = 500
GROUP_STEPS_MAX = 32 * BUCKET_STEPS  # a run of 1 M steps should not be read whole because another one starts

# From the packed integers of rollup.sql back to doubles.
_UNRANK = (
    "reinterpretAsFloat64(if(bitShiftRight({0}, 127) = 1,"
    " bitXor(toUInt64(bitShiftRight({0}, 64)), 0x8000000000000000), bitNot(toUInt64(bitShiftRight({0}, 64)))))"
)


@dataclass(frozen=True, slots=True)
class Touched:
    """Points of `run` with steps within lo_step ... hi_step, both included, were stored."""

    run: int
    lo_step: int = STEP_MIN
    hi_step: int = STEP_MAX


class Rollup:
    """Recomputes tiers. `command` runs a statement, `read` a query; both raise errors of `runtide_storage.errors`."""

    def __init__(self, command: Callable[[str], None], read: Callable[..., Sequence[Sequence[Any]]]) -> None:
        self._command = command
        self._read = read
        self._sql = statements("rollup.sql")

    def __call__(self, touched: Iterable[Touched], several_attempts: Iterable[int] | None = None) -> None:
        """Recompute the touched buckets. May be called again for the same ones at any time, with the same result."""
        hinted = None if several_attempts is None else set(several_attempts)
        for group in _groups(_merge(touched)):
            several = self._several([each for each in group if hinted is None or each.run in hinted])
            if once := [each for each in group if each.run not in several]:
                self._tiers(once, current="true", limits="")
            if relaunched := [each for each in group if each.run in several]:
                self._of_several_attempts(relaunched)

    def stale(self, window_s: int) -> list[Touched]:
        """Runs whose tiers don't speak of all their points, among those stored to within `window_s` of the newest.

        Copies of a point that ClickHouse has not merged yet make a run look stale; recomputing it does no harm.
        """
        return [Touched(run) for (run,) in self._read(self._sql["stale"].format(), {"window_s": window_s})]

    def _several(self, touched: Sequence[Touched]) -> set[int]:
        if not touched:
            return set()
        return {run for (run,) in self._read(self._sql["several_attempts"].format(runs=_runs(touched)))}

    def _of_several_attempts(self, touched: Sequence[Touched]) -> None:
        """The starts are saved last: a process that dies before finds them lowered once more, and does it all again."""
        starts = self._starts(touched)
        lowered = {run: (step, is_first) for run, step, is_first in self._read(self._sql["lowered"].format(**starts))}
        wider = []
        for each in touched:
            step, is_first = lowered.get(each.run, (None, False))
            if is_first:  # never seen with several attempts: its first attempt's starts are not known either
                wider.append(Touched(each.run))
            elif step is not None:  # from there on, what counted may count no more
                wider.append(Touched(each.run, min(each.lo_step, step), STEP_MAX))
            else:
                wider.append(each)
        for group in _groups(wider):
            starts = self._starts(group)
            limits = self._sql["limits"].format(**starts)
            self._tiers(group, current="later = 0 OR step < superseded_from", limits=limits)
            if not lowered.keys().isdisjoint(each.run for each in group):
                self._command(self._sql["save_starts"].format(**starts))

    def _starts(self, touched: Sequence[Touched]) -> dict[str, str]:
        return {
            "starts_in_range": self._sql["starts_in_range"].format(ranges=_ranges(touched)),
            "known_starts": self._sql["known_starts"].format(runs=_runs(touched)),
        }

    def _tiers(self, touched: Sequence[Touched], current: str, limits: str) -> None:
        self._command(
            self._sql["tiers"].format(
                current=current,
                limits=limits,
                ranges=_ranges(touched),
                unrank_lowest=_UNRANK.format("lowest"),
                unrank_highest=_UNRANK.format("highest"),
            )
        )


def _merge(touched: Iterable[Touched]) -> list[Touched]:
    """One range per run, widened to whole buckets."""
    ranges: dict[int, tuple[int, int]] = {}
    for each in touched:
        low, high = ranges.get(each.run, (each.lo_step, each.hi_step))
        ranges[each.run] = (min(low, each.lo_step), max(high, each.hi_step))
    return [Touched(run, low & -BUCKET_STEPS, high | (BUCKET_STEPS - 1)) for run, (low, high) in sorted(ranges.items())]


def _runs(touched: Sequence[Touched]) -> str:
    return ", ".join(f"{each.run:d}" for each in touched)


def _ranges(touched: Sequence[Touched]) -> str:
    """One range for all: recomputing more buckets than were touched is right too, and a condition per run is slower."""
    low, high = min(each.lo_step for each in touched), max(each.hi_step for each in touched)
    return f"run IN ({_runs(touched)}) AND step BETWEEN {low:d} AND {high:d}"


def _groups(touched: Iterable[Touched]) -> Iterable[list[Touched]]:
    """Runs whose ranges are near enough to each other to be recomputed as one."""
    group: list[Touched] = []
    high = 0
    for each in sorted(touched, key=lambda each: (each.lo_step, each.hi_step)):
        if group:
            high = max(high, each.hi_step)
            is_same = (each.lo_step, each.hi_step) == (group[0].lo_step, group[0].hi_step)
            is_near = high - group[0].lo_step < GROUP_STEPS_MAX
            if (is_near or is_same) and len(group) < RUNS_PER_STATEMENT_MAX:
                group.append(each)
                continue
            yield group
        group, high = [each], each.hi_step
    if group:
        yield group
