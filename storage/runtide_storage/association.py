"""How strongly one recorded thing goes with a number, over some runs: association, not cause. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtide_storage.differences import shown

Floats = NDArray[np.float64]


def association(values: Sequence[Any], target: Floats) -> float | None:
    """0 ... 1; None where it can't be told: fewer than two different values, or a text that is another in every run.

    Numbers: |Spearman's rank correlation|. Everything else: the correlation ratio eta of the target's ranks (Fisher,
    Statistical Methods for Research Workers, 1925). Both adjusted for what chance explains with so few runs, as R^2 is
    (Ezekiel, 1930). `target`: finite, as long as `values`.
    """
    n = len(values)
    words = list(dict.fromkeys(map(shown, values)))
    if all(map(is_number, values)):
        parameters = 2
        strength = abs(correlation(ranks(np.array(values, np.float64)), ranks(target))) if len(words) > 1 else 0.0
    else:
        parameters = len(words)
        strength = ratio(np.array([words.index(shown(value)) for value in values]), ranks(target))
    if len(words) < 2 or n <= parameters:
        return None
    return float(np.sqrt(max(0.0, 1 - (1 - strength**2) * (n - 1) / (n - parameters))))


def is_number(value: object) -> bool:
    """A finite one, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(float(value)))


def ranks(values: Floats) -> Floats:
    """1 for the lowest; equal values share the mean of their ranks."""
    _, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[codes], np.float64)


def correlation(a: Floats, b: Floats) -> float:
    """Pearson's; 0 where one of them is constant."""
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip((a @ b) / norm, -1, 1)) if norm else 0.0


def ratio(codes: Any, values: Floats) -> float:
    """Eta: the square root of how much of the values' variance lies between the groups."""
    around = values - values.mean()
    total = float(around @ around)
    counts = np.bincount(codes)
    sums = np.bincount(codes, around)
    between = float((sums**2 / np.maximum(counts, 1)).sum())
    return float(np.sqrt(min(1.0, between / total))) if total else 0.0
