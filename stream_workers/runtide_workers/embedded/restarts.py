"""When to start a dead child again: at once the first time, then later and later. Pure: the clock is the caller's."""

from __future__ import annotations

from dataclasses import dataclass, field

DELAYS_S = (0.0, 0.5, 2.0, 5.0, 15.0, 30.0)
STEADY_S = 30.0  # a child that lived this long was well; its death is a new story
HOPELESS_DEATHS = 4  # in a row: now people should be told


@dataclass(slots=True)
class Restarts:
    """How often one child died, in a row and in all."""

    total: int = 0
    in_a_row: int = 0
    _started: float | None = field(default=None, repr=False)

    def started(self, now: float) -> None:
        self._started = now

    def died(self, now: float) -> float:
        """Count a death. Returns the time at which to start the child again; never before `now`."""
        lived_s = now - self._started if self._started is not None else 0.0
        self.in_a_row = 1 if lived_s >= STEADY_S else self.in_a_row + 1
        self.total += 1
        return now + DELAYS_S[min(self.in_a_row, len(DELAYS_S)) - 1]

    @property
    def is_hopeless(self) -> bool:
        return self.in_a_row >= HOPELESS_DEATHS
