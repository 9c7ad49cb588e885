"""The statistic: how much evidence has piled up that a run is worse than its baselines.

A run's distance from the mean of n baselines, over the spread between them, is Student's t with n - 1 degrees of
freedom. `normal_score` makes a normal score z of it, so that one threshold serves 3 runs and 20. Page's truncated
cumulative sum of z (E. S. Page, "Continuous inspection schemes", Biometrika 41, 1954), window by window:
C = max(0, C + min(z, bound) - drift). One window counts 3 at most, however bad it is, and that is not enough by far;
the next one counts as much as it was worth, so that two gross ones in a row are.

The drift is what a healthy run may be off for long. Where runs differ by a constant, each window says the same again:
what counts is how improbable that constant is. Where they waver around each other, windows are evidence of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtide_workers.detection.grid import Floats

CLIP = 3.0  # what one window counts at most, for worse or better
DRIFT, DRIFT_SMOOTH = 1.7, 2.6  # where runs differ by noise from bin to bin only, and where by a constant only
LIMIT = 2.7  # of the statistic


def drift(roughness: float) -> float:
    """For runs among whom that share of the variance is noise from bin to bin."""
    return DRIFT_SMOOTH + (DRIFT - DRIFT_SMOOTH) * roughness


def step(c: Floats, z: Floats, before: Floats, drifts: Floats | float) -> Floats:
    """The statistic after one more window of score `z`; `before`: of the one before it, NaN without one."""
    added: Floats = np.maximum(0.0, c + np.clip(z, -CLIP, np.fmax(before, CLIP)) - drifts)
    return added


def normal_score(t: Floats, freedom: NDArray[Any]) -> Floats:
    """The normal quantile that is as improbable as `t` is with that many degrees of freedom, to within 0.05 up to 3.

    D. L. Wallace, "Bounds on normal approximations to Student's and the chi-square distributions", Ann. Math. Stat. 30,
    1959.
    """
    shrink = (8 * freedom + 1) / (8 * freedom + 3)
    score: Floats = np.copysign(shrink * np.sqrt(freedom * np.log1p(t * t / freedom)), t)
    return score


def climb(z: Floats, drifts: Floats | float) -> Floats:
    """The statistic along the windows of z (n, m), row by row; a NaN changes nothing."""
    c, before, path = np.zeros(len(z)), np.full(len(z), np.nan), np.zeros(z.shape)
    for window, column in enumerate(z.T):
        known = np.isfinite(column)
        c = np.where(known, step(c, column, before, drifts), c)
        before = np.where(known, column, before)
        path[:, window] = c
    return path
