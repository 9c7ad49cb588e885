"""Moves a project's threshold until fewer than one in a hundred of its own healthy runs would have alarmed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from runtide_storage.cohorts import Cohorts
from runtide_workers.alerting.config import AlertSettings
from runtide_workers.detection.cusum import LIMIT

RATE_MAX = 0.01
RUNS_MIN = 100  # leave-one-out tests; with fewer the rate can't be told, and the default stays
STEPS = (4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)
FRESH_S = 30.0  # baselines change with each run that ends


class Calibration:
    """Thresholds by project. Raises `StorageError`."""

    def __init__(self, cohorts: Cohorts, settings: AlertSettings, clock: Callable[[], float]) -> None:
        self._cohorts = cohorts
        self._settings = settings
        self._clock = clock
        self._known: dict[str, tuple[float, float | None]] = {}  # project -> (when asked, threshold)

    def threshold(self, project: str) -> float | None:
        """What people set, else what the project's own history asks for; None: the default."""
        given = self._settings.project(project).threshold
        if given is not None:
            return given
        asked_s, known = self._known.get(project, (float("-inf"), None))
        if self._clock() - asked_s > FRESH_S:
            known = calibrated(self._cohorts.peaks(project))
            self._known[project] = self._clock(), known
        return known


def calibrated(peaks: Sequence[float], default: float = LIMIT) -> float | None:
    """The lowest threshold at which fewer than RATE_MAX of the healthy runs alarm; None: the default does.

    `peaks`: how high each healthy run of the project came, tested against the others of its cohort.
    """
    found = np.asarray(peaks, np.float64)
    if len(found) < RUNS_MIN or np.mean(found > default) < RATE_MAX:
        return None
    return next((h for h in STEPS if np.mean(found > h) < RATE_MAX), STEPS[-1])
