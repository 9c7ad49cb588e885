"""What the earlier runs of an experiment usually reach, as a band under the curves, and where runs left it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from runtide_dashboard import history
from runtide_dashboard.asking import ask, connection, keys, these
from runtide_dashboard.curves import Band, within
from runtide_dashboard.data import LIVE_S
from runtide_storage.errors import NotFound

POINTS = history.POINTS_MAX  # as fine as the curves: a mean is drawn at the end of its bucket, to the right of it
BEYOND = 2  # windows that are asked for on each side of the one that is shown: its edges lie between two points
LEAVING = ("regression", "plateau", "divergence", "final_regression")  # alerts; the pace says nothing of the values
MEMBERS_S, BAND_S = 15.0, 10.0  # neither changes but when a run ends


@dataclass(frozen=True, slots=True)
class Baseline:
    """Its members ("project/run_id"), a band for each metric that they have, and `left`: (run, metric) -> step."""

    runs: tuple[str, ...]
    bands: Mapping[str, Band]
    left: Mapping[tuple[str, str], float]


NOTHING = Baseline((), {}, {})


@st.cache_data(ttl=MEMBERS_S, show_spinner=False, max_entries=128)
def members(refs: tuple[str, ...]) -> tuple[str, ...]:
    """The baseline's runs of the first of these runs that has a baseline; () if none has."""
    sql = """
        SELECT project, run_id, members FROM v_plans
        WHERE project IN {projects:Array(String)} AND run_id IN {run_ids:Array(String)}
            AND concat(project, '/', run_id) IN {refs:Array(String)} AND notEmpty(members)
    """
    found = {
        f"{row['project']}/{row['run_id']}": tuple(f"{row['project']}/{one}" for one in row["members"] if one)
        for row in ask(sql, **these(refs))
    }
    return next((found[ref] for ref in refs if found.get(ref)), ())


@st.cache_data(ttl=BAND_S, show_spinner=False, max_entries=256)
def band(refs: tuple[str, ...], metric: str, x: str, window: tuple[float, float] | None) -> Band | None:
    """From the 10 % to the 90 % quantile of these runs at each place, and their median; None: they have nothing.

    `x`: step, relative, or a metric. `window`: what is shown, None for all.
    """
    points, wide = POINTS, None
    if window is not None:
        beyond = BEYOND * (window[1] - window[0])
        points, wide = POINTS * (1 + 2 * BEYOND), (window[0] - beyond, window[1] + beyond)
    try:
        with connection().client() as client:
            table = client.baseline_band(refs, metric, points, x, window=wide).arrow
    except NotFound:
        return None  # one of them was deleted since `members` was asked
    places, *values = (history.numbers(table[name]) for name in ("x", "q10", "q50", "q90"))
    seen = slice(None) if window is None else within(places, window)
    return Band(places[seen], *(each[seen] for each in values)) if len(places[seen]) else None


@st.cache_data(ttl=LIVE_S, show_spinner=False, max_entries=128)
def departures(refs: tuple[str, ...], metrics: tuple[str, ...]) -> dict[tuple[str, str], float]:
    """(run, metric) -> the step from which on it was worse than its baseline, as the first of its alerts says."""
    sql = """
        SELECT run, metric, min(ifNull(JSONExtract(detail, 'since', 'Nullable(Float64)'), toFloat64(step))) AS since
        FROM alerts FINAL WHERE run IN {keys:Array(UInt64)} AND metric IN {metrics:Array(String)}
            AND kind IN {kinds:Array(String)}
        GROUP BY run, metric HAVING isNotNull(since)
    """
    named = dict(zip(keys(refs), refs, strict=True))
    rows = ask(sql, keys=list(named), metrics=list(metrics), kinds=list(LEAVING))
    return {(named[row["run"]], row["metric"]): row["since"] for row in rows}
