"""The statistic: how much evidence has piled up that a run is worse than its baselines.

Page's truncated cumulative sum (E. S. Page, "Continuous inspection schemes", Biometrika 41, 1954) of the run's
standardised distance z from the baselines' mean at the same step: C = max(0, C + clip(z, -4, 4) - 2). One window,
however bad, adds at most 2.
"""

from __future__ import annotations

import numpy as np

from runtide_workers.detection.grid import Floats

CLIP = 4.0
DRIFT = 2.0
LIMIT = 4.0


def step(c: Floats, z: Floats) -> Floats:
    """The statistic after one more window."""
    added: Floats = np.maximum(0.0, c + np.clip(z, -CLIP, CLIP) - DRIFT)
    return added


def climb(z: Floats) -> Floats:
    """The statistic along the windows of z (n, m), row by row; a NaN changes nothing."""
    c, path = np.zeros(len(z)), np.zeros(z.shape)
    for window in range(z.shape[1]):
        column = z[:, window]
        c = np.where(np.isnan(column), c, step(c, column))
        path[:, window] = c
    return path
