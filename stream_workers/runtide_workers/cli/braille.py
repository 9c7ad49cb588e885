"""Curves as characters: each cell of the terminal is 2 x 4 dots (Unicode's braille patterns)."""

from __future__ import annotations

import math
from collections.abc import Sequence

_FIRST = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column within a cell

Curve = Sequence[tuple[float, float]]  # (x, y), ascending in x
Range = tuple[float, float]


class Canvas:
    """`width` x `height` cells, of which each keeps the number of the curve that drew in it last."""

    def __init__(self, width: int, height: int, x: Range, y: Range) -> None:
        self.width, self.height, self._x, self._y = width, height, x, y
        self._dots = [[0] * width for _ in range(height)]
        self._owners: list[list[int | None]] = [[None] * width for _ in range(height)]

    def draw(self, curve: Curve, number: int) -> None:
        """Join the points of a curve by lines; a point that is no number ends one."""
        last: tuple[int, int] | None = None
        for x, y in curve:
            if not (math.isfinite(x) and math.isfinite(y)):
                last = None
                continue
            at = self._place(x, self._x, 2 * self.width), self._place(y, self._y, 4 * self.height)
            self._line(last or at, at, number)
            last = at

    def rows(self) -> list[list[tuple[str, int | None]]]:
        """From the top: (character, whose) of each cell."""
        return [
            [
                (chr(_FIRST + dots) if dots else " ", owner)
                for dots, owner in zip(self._dots[row], self._owners[row], strict=True)
            ]
            for row in range(self.height)
        ]

    def _place(self, value: float, within: Range, n: int) -> int:
        low, high = within
        value = max(low, min(high, value))
        span = high / 2 - low / 2  # halves: no overflow
        part = (value / 2 - low / 2) / span if span > 0 else 0.5
        return round(part * (n - 1))

    def _line(self, a: tuple[int, int], b: tuple[int, int], number: int) -> None:
        steps = max(abs(b[0] - a[0]), abs(b[1] - a[1]), 1)
        for step in range(steps + 1):
            self._dot(round(a[0] + (b[0] - a[0]) * step / steps), round(a[1] + (b[1] - a[1]) * step / steps), number)

    def _dot(self, x: int, y: int, number: int) -> None:
        from_top = 4 * self.height - 1 - y
        self._dots[from_top // 4][x // 2] |= _DOTS[from_top % 4][x % 2]
        self._owners[from_top // 4][x // 2] = number
