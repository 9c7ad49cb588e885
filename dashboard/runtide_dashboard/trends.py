"""A family's history as the page shows it: words, a level for every run, rows. No Streamlit in here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from runtide_storage.regressions import Found, History, values

_STATES = {
    "worse": ("▼ worse than before", "red"),
    "better": ("▲ better than before", "green"),
    "changed": ("◆ changed", "orange"),
    "steady": ("= steady", "gray"),
    "too few runs": ("○ too few runs", "gray"),
}


def ordered(found: Sequence[History]) -> list[History]:
    """What needs eyes first: by state, then by the number of runs."""
    states = list(_STATES)
    return sorted(found, key=lambda history: (states.index(history.newest), -len(history.rows)))


def title(history: History) -> str:
    """The family and its metric; the sign says how it stands."""
    return f"{state(history)[0][0]} {history.name}  ·  {history.rows[0]['metric']}"


def state(history: History) -> tuple[str, str]:
    """(words, colour) for how the present level compares with the one before."""
    return _STATES[history.newest]


def size(found: Found) -> str:
    """ "3.2 % worse", "12 % lower" where nobody knows which way is worse."""
    ratio = found.change.ratio
    percent = f"{100 * abs(ratio):.3g} %"
    return f"{percent} {('higher' if ratio > 0 else 'lower') if found.effect is None else found.direction}"


def levels(history: History) -> list[float]:
    """The mean of the finite values of the stretch that each run is in, between two changes."""
    reached = values(history.rows, history.by)
    edges = [0, *(found.change.first_after for found in history.changes), len(reached)]
    found: list[float] = []
    for start, stop in pairwise(edges):
        finite = [value for value in reached[start:stop] if math.isfinite(value)]
        found += [math.fsum(finite) / len(finite) if finite else math.nan] * (stop - start)
    return found


def row(found: Found) -> dict[str, Any]:
    """One change for the table."""
    change, first = found.change, found.first_after
    return {
        "since": first["started_at"], "change": size(found), "before": change.before, "after": change.after,
        "run": first["run"], "commits": found.commits, "runs_before": change.runs_before,
        "runs_after": change.runs_after,
    }  # fmt: skip
