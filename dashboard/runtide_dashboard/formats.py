"""Numbers and times as people read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def number(value: float | None) -> str:
    """Four significant digits; thousands with commas; very large and very small in powers of ten."""
    if value is None:
        return "–"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "−Inf"
    size = abs(value)
    if size and (size < 1e-4 or size >= 1e7):
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    if value == int(value):
        return f"{int(value):,}".replace("-", "−")
    digits = min(6, max(0, 3 - math.floor(math.log10(size))))
    return f"{value:,.{digits}f}".replace("-", "−")


def duration(seconds: float | None) -> str:
    """ "42 s", "3 min 20 s", "5 h 7 min", "2 d 4 h"."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    for unit, word, small, small_word in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // small
            return f"{whole // unit} {word} {rest} {small_word}" if rest else f"{whole // unit} {word}"
    return f"{whole} s" if seconds >= 1 or seconds == 0 else "< 1 s"


def count(n: int, one: str, many: str | None = None) -> str:
    """ "1 run", "1,204 runs"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def size(n: int) -> str:
    """Bytes: "812 B", "3.4 MB", with units of 1,000."""
    value = float(n)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB" if value < 999.5 else f"{value:,.0f} TB"


def ago(then: datetime, now: datetime | None = None) -> str:
    """ "12 s ago", "3 h 5 min ago"."""
    return f"{duration(((now or datetime.now(UTC)) - then).total_seconds())} ago"
