"""Smoothing whose result depends on the curve, not on how many points happen to be drawn of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def smooth(x: Floats, values: Floats, span: float) -> Floats:
    """Exponential moving average over x: what lies `span` (in units of x) back weighs 1/e.

    `x` (n,) ascending, `values` (n,) may hold values that are not finite: they stay as they are and weigh nothing. The
    average is debiased, so it starts at the first value instead of at zero.
    """
    out = values.astype(np.float64, copy=True)
    if span <= 0 or len(x) < 2:
        return out
    typical = float(np.median(np.diff(x))) or 1.0
    total = weight = 0.0
    before = float(x[0]) - typical
    for i in range(len(x)):
        here, value = float(x[i]), float(values[i])
        if not np.isfinite(value):
            continue
        keep = float(np.exp(-(here - before) / span))
        total = total * keep + value * (1.0 - keep)
        weight = weight * keep + (1.0 - keep)
        if weight > 0:
            out[i] = total / weight
        before = here
    return out
