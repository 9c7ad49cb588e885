"""Student's t distribution for whole degrees of freedom: the two things that a verdict needs, without scipy."""

from __future__ import annotations

import math
from functools import cache

BISECTIONS = 80  # the angle lies in (0, pi/2): more than a double can tell apart


def within(t: float, df: int) -> float:
    """The chance that |T| <= t for `df` >= 1 degrees of freedom.

    A(t|df) of Abramowitz and Stegun, Handbook of Mathematical Functions, 1964, 26.7.3 (odd df) and 26.7.4 (even df):
    finite sums in the angle arctan(t / sqrt(df)), exact but for rounding.
    """
    if df < 1:
        raise ValueError(f"{df} degrees of freedom: at least 1 is needed")
    return min(1.0, _within_angle(math.atan2(abs(t), math.sqrt(df)), df))


def two_sided_p(t: float, df: int) -> float:
    """The chance of a T at least as far from 0 as `t`."""
    return max(0.0, 1.0 - within(t, df))


@cache
def quantile(df: int, confidence: float = 0.95) -> float:
    """The t that |T| exceeds with a chance of 1 - `confidence`: 12.706 for df = 1, 4.303 for 2, 1.960 for many."""
    low, high = 0.0, math.pi / 2
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if _within_angle(middle, df) < confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(df) * math.tan(low)


def _within_angle(angle: float, df: int) -> float:
    sine, cosine = math.sin(angle), math.cos(angle)
    is_odd = df % 2
    term = cosine if is_odd else 1.0
    total = 0.0
    for k in range(2 + is_odd, df + 1, 2):  # of cos^1, cos^3, ... for odd df, of cos^0, cos^2, ... for even
        total += term
        term *= cosine * cosine * (k - 1) / k
    return 2 / math.pi * (angle + sine * total) if is_odd else sine * total
