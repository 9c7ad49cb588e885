"""What curves are drawn along: steps, the clock, the time since the run's start, or another metric.

An axis turns a window's edges into numbers, chooses the width of buckets (a power of two), and says all that in SQL.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from runtide_storage.errors import QueryError

TIER_SHIFT = 10  # a tier's bucket is 2^10 steps wide
SHIFT_MAX = 63
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Extent:
    """What the tiers know of one curve within the window: how many points, and where they lie."""

    n: int = 0
    lo_step: int = 0
    hi_step: int = 0
    lo_ts: int = 0  # ms; only along the clock
    hi_ts: int = 0


class StepAxis:
    """Along the step."""

    type: pa.DataType = pa.int64()
    places = "min(t.first_step) AS lo_step, max(t.last_step) AS hi_step"  # what to ask the tiers for
    x = "step"
    bucket_x = "max(p.step)"
    tier_x = "max(t.last_step)"

    def edge(self, edge: Any, is_low: bool) -> int:
        """A window's edge as an integer on this axis. Raises `QueryError`."""
        return _whole(self.number(edge), is_low)

    def number(self, edge: Any) -> float:
        """The same, not rounded."""
        if isinstance(edge, bool) or not isinstance(edge, (int, float)) or math.isnan(edge):
            raise QueryError(f"window: {edge!r} is no number")
        return edge

    def window(self, lo: int, hi: int) -> str:
        """Which points are within lo ... hi."""
        if (lo, hi) == (INT64_MIN, INT64_MAX):
            return "true"
        return self.between(lo, hi)

    def between(self, lo: int, hi: int) -> str:
        return f"{self.x} BETWEEN {lo:d} AND {hi:d}"

    def tier_window(self, lo: int, hi: int) -> str:
        """Which tiers can have points within lo ... hi."""
        if (lo, hi) == (INT64_MIN, INT64_MAX):
            return "true"
        return f"t.bucket BETWEEN {lo >> TIER_SHIFT:d} AND {hi >> TIER_SHIFT:d}"

    def range(self, _run: int, extent: Extent) -> tuple[int, int]:
        """The lowest and the highest place of a curve."""
        return extent.lo_step, extent.hi_step

    def shift(self, lo: int, hi: int, points: int) -> int:
        """The narrowest buckets, 2^shift wide, of which lo ... hi needs at most `points`, or two around 0."""
        shift = max(0, ((hi - lo) // points).bit_length() - 1)
        while (hi >> shift) - (lo >> shift) >= max(points, 2) and shift < SHIFT_MAX:
            shift += 1
        return shift

    def bucket(self, shift: int) -> str:
        return f"bitShiftRight({self.x}, {shift:d})"

    def bucket_of(self, x: pa.ChunkedArray, shift: int) -> NDArray[np.int64]:
        """The same for numbers that were read."""
        return np.asarray(x.to_numpy().astype(np.int64) >> shift)

    def tier_bucket(self, shift: int) -> str:
        return f"bitShiftRight(t.bucket, {shift - TIER_SHIFT:d})"

    def tiers_do(self, shift: int, _lo: int, _hi: int, _extent: Extent) -> bool:
        """Whether tiers are fine enough for buckets of 2^shift."""
        return shift >= TIER_SHIFT


class TimeAxis(StepAxis):
    """Along the clock: ms since 1970 UTC."""

    type: pa.DataType = pa.timestamp("ms", "UTC")
    places = (
        f"{StepAxis.places}, toUnixTimestamp64Milli(min(t.first_ts)) AS lo_ts,"
        " toUnixTimestamp64Milli(max(t.last_ts)) AS hi_ts"
    )
    x = "toUnixTimestamp64Milli(ts)"
    bucket_x = "max(toUnixTimestamp64Milli(ts))"
    tier_x = "max(toUnixTimestamp64Milli(t.last_ts))"
    tier_lo = "toUnixTimestamp64Milli(t.first_ts)"
    tier_hi = "toUnixTimestamp64Milli(t.last_ts)"

    def number(self, edge: Any) -> float:
        if isinstance(edge, datetime):
            return (edge if edge.tzinfo else edge.replace(tzinfo=UTC)).timestamp() * 1000
        return super().number(edge)

    def tier_window(self, lo: int, hi: int) -> str:
        if (lo, hi) == (INT64_MIN, INT64_MAX):
            return "true"
        return f"{self.tier_hi} >= {lo:d} AND {self.tier_lo} <= {hi:d}"

    def range(self, _run: int, extent: Extent) -> tuple[int, int]:
        return extent.lo_ts, extent.hi_ts

    def tier_bucket(self, shift: int) -> str:
        return f"bitShiftRight({self.tier_hi}, {shift:d})"

    def tiers_do(self, shift: int, lo: int, hi: int, extent: Extent) -> bool:
        """When buckets hold four tiers or more: each is put whole into the bucket of its last point."""
        tiers = (extent.hi_step >> TIER_SHIFT) - (extent.lo_step >> TIER_SHIFT) + 1
        return tiers >= 4 * ((hi >> shift) - (lo >> shift) + 1)


class RelativeAxis(TimeAxis):
    """Along the time since each run's start, in ms."""

    type: pa.DataType = pa.duration("ms")

    def __init__(self, starts_ms: Mapping[int, int]) -> None:
        self._starts_ms = starts_ms
        runs = ", ".join(f"toUInt64({run:d})" for run in starts_ms)
        starts = ", ".join(f"toInt64({start:d})" for start in starts_ms.values())
        start = f"transform(run, [{runs}], [{starts}], toInt64(0))"
        self.x = f"toUnixTimestamp64Milli(ts) - {start}"
        self.bucket_x = f"max({self.x})"
        self.tier_lo = f"toUnixTimestamp64Milli(t.first_ts) - {start}"
        self.tier_hi = f"toUnixTimestamp64Milli(t.last_ts) - {start}"
        self.tier_x = f"max({self.tier_hi})"

    def number(self, edge: Any) -> float:
        if isinstance(edge, timedelta):
            return edge.total_seconds() * 1000
        return StepAxis.number(self, edge)

    def range(self, run: int, extent: Extent) -> tuple[int, int]:
        start = self._starts_ms[run]
        return extent.lo_ts - start, extent.hi_ts - start


class MetricAxis(StepAxis):
    """Along the value of another metric on the same line."""

    type: pa.DataType = pa.float64()
    x = "at"
    bucket_x = "max(at)"

    def __init__(self, ranges: Mapping[int, tuple[float, float]]) -> None:
        self._ranges = ranges
        # Buckets are counted in units of `unit`, so that they are integers here too: 2^-20 of the widest range.
        widest = max((hi - lo for lo, hi in ranges.values()), default=0.0)
        exponent = math.frexp(widest)[1] - 20 if 0 < widest < math.inf else 0
        self._unit = math.ldexp(1.0, max(-1000, min(950, exponent)))

    def between(self, lo: int, hi: int) -> str:
        return f"at BETWEEN {lo * self._unit!r} AND {hi * self._unit!r}"

    def edge(self, edge: Any, is_low: bool) -> int:
        return _whole(self.number(edge) / self._unit, is_low)

    def tier_window(self, _lo: int, _hi: int) -> str:
        return "true"

    def range(self, run: int, _extent: Extent) -> tuple[int, int]:
        lo, hi = self._ranges.get(run, (0.0, 0.0))
        return math.floor(lo / self._unit), math.floor(hi / self._unit)

    def bucket(self, shift: int) -> str:
        return f"floor(at / {math.ldexp(self._unit, shift)!r}) + 0.0"  # never -0.0, which would be a bucket of its own

    def bucket_of(self, x: pa.ChunkedArray, shift: int) -> NDArray[np.int64]:
        return np.asarray(np.floor(x.to_numpy() / math.ldexp(self._unit, shift)), np.int64)

    def tiers_do(self, _shift: int, _lo: int, _hi: int, _extent: Extent) -> bool:
        return False


def _whole(number: float, is_low: bool) -> int:
    if math.isinf(number):
        return INT64_MIN if number < 0 else INT64_MAX
    rounded = math.ceil(number) if is_low else math.floor(number)
    return max(INT64_MIN, min(INT64_MAX, rounded))
