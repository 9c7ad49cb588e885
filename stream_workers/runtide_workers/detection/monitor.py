"""One curve, watched."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from runtide_storage.goals import Goal
from runtide_workers.detection.alert import Alert
from runtide_workers.detection.bank import Bank
from runtide_workers.detection.baseline import Baseline


class Monitor:
    """A bank of one slot."""

    def __init__(self, baseline: Baseline | None, threshold: float | None = None, goal: Goal | None = None) -> None:
        self._bank = Bank()
        self._slot = self._bank.add(baseline, threshold, goal)

    def update(self, steps: ArrayLike, values: ArrayLike) -> list[Alert]:
        """Take points (k,), in order of arrival. The result doesn't depend on how they are batched."""
        return self._bank.update(np.full(np.shape(steps), self._slot), steps, values)

    def finish(self) -> list[Alert]:
        """The run has ended."""
        return self._bank.finish([self._slot])
