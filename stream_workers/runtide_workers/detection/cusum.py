"""The statistic: how much evidence has piled up that a run is worse than its baselines.

A run's distance from the mean of n baselines, over the spread between them, is Student's t with as many degrees of
freedom as the spread is known with. `normal_score` makes a normal score z of it, so that one threshold serves 3 runs
and 20. Page's truncated cumulative sum of z (E. S. Page, "Continuous inspection schemes", Biometrika 41, 1954), window
by window: C = max(0, C + clip(z, -4, 4) - 2). One window, however bad, adds at most 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtide_workers.detection.grid import Floats

CLIP = 4.0
DRIFT = 2.0
LIMIT = 4.0  # of the statistic: more than two windows at their worst


def step(c: Floats, z: Floats) -> Floats:
    """The statistic after one more window."""
    added: Floats = np.maximum(0.0, c + np.clip(z, -CLIP, CLIP) - DRIFT)
    return added


def normal_score(t: Floats, freedom: NDArray[Any]) -> Floats:
    """The normal quantile that is as improbable as `t` is with that many degrees of freedom, to within 0.05 up to 3.

    D. L. Wallace, "Bounds on normal approximations to Student's and the chi-square distributions", Ann. Math. Stat. 30,
    1959.
    """
    shrink = (8 * freedom + 1) / (8 * freedom + 3)
    score: Floats = np.copysign(shrink * np.sqrt(freedom * np.log1p(t * t / freedom)), t)
    return score


def climb(z: Floats) -> Floats:
    """The statistic along the windows of z (n, m), row by row; a NaN changes nothing."""
    c, path = np.zeros(len(z)), np.zeros(z.shape)
    for window in range(z.shape[1]):
        column = z[:, window]
        c = np.where(np.isnan(column), c, step(c, column))
        path[:, window] = c
    return path
