"""Sets of numbers as half-open intervals [first, next), for the lines of a writer that are stored."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Range = tuple[int, int]  # [first, next), first < next


class Intervals:
    """Disjoint, sorted, never touching. A writer that lost nothing on the way is one interval [0, n)."""

    __slots__ = ("_firsts", "_nexts")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._firsts: list[int] = []
        self._nexts: list[int] = []
        for first, after in ranges:
            self.add(first, after)

    def add(self, first: int, after: int) -> Range:
        """Put in [first, after) and return the whole interval it is part of now. Raises `ValueError` if empty."""
        if first >= after:
            raise ValueError(f"empty range [{first}, {after})")
        low = bisect_left(self._nexts, first)  # the first interval that touches or overlaps
        high = bisect_right(self._firsts, after)  # one behind the last
        if low < high:
            first, after = min(first, self._firsts[low]), max(after, self._nexts[high - 1])
        self._firsts[low:high] = [first]
        self._nexts[low:high] = [after]
        return first, after

    def missing(self, first: int, after: int) -> list[Range]:
        """The parts of [first, after) that are not in the set, in order."""
        parts: list[Range] = []
        for index in range(bisect_right(self._nexts, first), len(self._firsts)):
            if self._firsts[index] >= after:
                break
            if first < self._firsts[index]:
                parts.append((first, self._firsts[index]))
            first = self._nexts[index]
        if first < after:
            parts.append((first, after))
        return parts

    def around(self, number: int) -> Range:
        """The interval that holds `number`. Raises `KeyError` if there is none."""
        index = bisect_right(self._firsts, number) - 1
        if index < 0 or self._nexts[index] <= number:
            raise KeyError(number)
        return self._firsts[index], self._nexts[index]

    def copy(self) -> Intervals:
        other = Intervals()
        other._firsts, other._nexts = self._firsts.copy(), self._nexts.copy()
        return other

    def __iter__(self) -> Iterator[Range]:
        return zip(self._firsts, self._nexts, strict=True)

    def __len__(self) -> int:
        """How many intervals (not numbers)."""
        return len(self._firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervals) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Intervals({list(self)})"
