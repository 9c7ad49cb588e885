"""Which settings go with a metric, over some runs: association, not cause. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtide_dashboard.differences import ABSENT
from runtide_dashboard.records import Floats
from runtide_storage.association import correlation, is_number, ranks, ratio
from runtide_storage.differences import shown

RUNS_MIN = 5
LOG_FROM = 100.0  # highest / lowest of positive numbers: from here on they are drawn by their logarithm


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that is not the same in all runs.

    `importance` 0 ... 1, None with too few runs; `direction` 1: the metric grows with it, -1: it falls, 0: no number.
    `places` (runs,) 0 ... 1 is where each run lies on its axis, NaN where it has no value; `low` and `high` its ends.
    """

    name: str
    importance: float | None
    direction: int
    runs: int
    best: str
    places: Floats
    low: str
    high: str


def settings(configs: Sequence[Mapping[str, Any]], target: Floats, best: int | None) -> list[Setting]:
    """The settings that vary over the runs, the most important first. `best`: index of the best run, if one is.

    Numbers: |Spearman's rank correlation| with the target. Everything else: the correlation ratio eta of the target's
    ranks, the square root of the part of their variance that lies between the values (Fisher, Statistical Methods for
    Research Workers, 1925). Texts that are another in every run are left out: they name the run, they don't set it.
    """
    names = dict.fromkeys(name for config in configs for name in config)
    found = [one for name in names if (one := _setting(name, configs, target, best)) is not None]
    return sorted(found, key=lambda one: (-(one.importance or 0.0), one.name))


def _setting(name: str, configs: Sequence[Mapping[str, Any]], target: Floats, best: int | None) -> Setting | None:
    values = [config.get(name) for config in configs]
    has = np.array([value is not None for value in values]) & np.isfinite(target)
    present = [value for value, here in zip(values, has, strict=True) if here]
    words = list(dict.fromkeys(map(shown, present)))
    numeric = all(map(is_number, present))
    if len(words) < 2 or (not numeric and len(words) == len(present)):
        return None
    reached = ranks(target[has])
    enough = len(present) >= RUNS_MIN
    chosen = ABSENT if best is None or values[best] is None else shown(values[best])
    places = np.full(len(values), np.nan)
    if numeric:
        numbers = np.array(present, np.float64)
        together = correlation(ranks(numbers), reached)
        places[has], low, high = _scaled(numbers)
        importance = abs(together) if enough else None
        return Setting(name, importance, int(np.sign(together)), len(present), chosen, places, low, high)
    words.sort()
    codes = np.array([words.index(shown(value)) for value in present])
    places[has] = codes / (len(words) - 1)
    importance = ratio(codes, reached) if enough else None
    return Setting(name, importance, 0, len(present), chosen, places, words[0], words[-1])


def _scaled(numbers: Floats) -> tuple[Floats, str, str]:
    """Places 0 ... 1 and the ends in words."""
    low, high = float(numbers.min()), float(numbers.max())
    is_wide = low > 0 and high / low >= LOG_FROM
    with np.errstate(over="ignore"):
        at = np.log(numbers) if is_wide else numbers / 2  # halved, for the range of two doubles may overflow
    return (at - at.min()) / (at.max() - at.min()), f"{low:.4g}", f"{high:.4g}"


def axis(values: Floats) -> tuple[Floats, str, str]:
    """The same for the target, of which some may be missing."""
    places = np.full(len(values), np.nan)
    has = np.isfinite(values)
    if has.any() and np.ptp(values[has]) > 0:
        places[has], low, high = _scaled(values[has])
        return places, low, high
    places[has] = 0.5
    word = f"{values[has][0]:.4g}" if has.any() else ABSENT
    return places, word, word
