"""Alerts as the page shows them: signs, tiles, what changed, and the table. Texts in them are hostile input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import streamlit as st

from runtide_dashboard import formats, url
from runtide_dashboard.differences import ABSENT
from runtide_dashboard.records import Alert
from runtide_storage.differences import shown

MEMBERS_DRAWN_MAX = 8  # of the baseline, the newest: more would bury the run
ID_CHARS = 8
COMMIT_CHARS = 10

SEVERITIES: Final = {"page": ("▲", "red"), "warn": ("△", "orange"), "info": ("·", "gray")}
STATES: Final = {"open": ("●", "red"), "acknowledged": ("◐", "orange"), "resolved": ("✓", "green")}

_PARTS: Final = {"config": "", "dataset": "dataset ", "hardware": "", "packages": "package ", "environment": ""}


def label(signs: Mapping[str, tuple[str, str]], word: str) -> str:
    """ "▲ page": colour is never the only channel. A word of a later version is shown as it is."""
    return f"{signs.get(word, ('○', ''))[0]} {word}"


def colour(signs: Mapping[str, tuple[str, str]], word: str) -> str:
    """Name of one of Streamlit's theme colours."""
    return signs.get(word, ("", "gray"))[1]


def passes(alert: Alert, states: Sequence[str], severities: Sequence[str]) -> bool:
    """Whether the filters let it through; an empty one lets everything through."""
    return (not states or alert.state in states) and (not severities or alert.severity in severities)


def compared(alert: Alert) -> tuple[str, ...]:
    """The runs to draw, as "project/run_id": the alert's, then the newest of its baseline."""
    members = url.parse_refs(map(str, alert.detail.get("members") or ()), alert.project)
    return alert.ref, *members[-MEMBERS_DRAWN_MAX:]


def tiles(alert: Alert) -> list[tuple[str, str, str]]:
    """(name, value, hint) of what was measured."""
    detail = alert.detail
    found: list[tuple[str, str, str]] = []
    effect = detail.get("effect")
    if isinstance(effect, int | float):
        early = " It is early: some runs that end better look worse on the way." if detail.get("early") else ""
        hint = f"Against the mean of the baseline at the same step.{early}"
        found.append(("Worse by" if effect > 0 else "Better by", f"{abs(effect):.2%}", hint))
    if detail.get("value") is not None:
        found.append(("Value", _text(detail["value"]), "The level of this run"))
    if detail.get("baseline") is not None:
        found.append(("Baseline", _text(detail["baseline"]), "The mean level of the baseline's runs at the same step"))
    if detail.get("spread") is not None:
        found.append(("Spread", _text(detail["spread"]), "One standard deviation between the baseline's runs there"))
    if alert.step is not None:
        found.append(("At step", f"{alert.step:,}", "Where it was certain enough"))
    if isinstance(detail.get("since"), int | float):
        windows = detail.get("windows")
        hint = f"{windows} windows in a row" if windows else "Where it began"
        found.append(("Since step", f"{int(detail['since']):,}", hint))
    if isinstance(detail.get("n"), int):
        found.append(("Baseline runs", f"{detail['n']:,}", "That this metric was compared with"))
    return found


def changed(alert: Alert) -> list[tuple[str, str, str]]:
    """(what, there, here): how the run differs from the nearest run of its baseline."""
    changes = alert.detail.get("changes")
    if not isinstance(changes, Mapping):
        return []
    rows: list[tuple[str, str, str]] = []
    for there, here in _pairs({"": changes.get("commit")}).values():
        rows.append(("git commit", str(there or ABSENT)[:COMMIT_CHARS], str(here or ABSENT)[:COMMIT_CHARS]))
    diff = changes.get("diff")
    if isinstance(diff, Mapping):
        rows.append(("uncommitted changes", ABSENT, ", ".join(map(str, diff.get("files") or ())) or "none any more"))
    for part, prefix in _PARTS.items():
        for name, (there, here) in _pairs(changes.get(part)).items():
            rows.append((f"{prefix}{name}", _value(there), _value(here)))
    return rows


def _pairs(differing: object) -> dict[str, tuple[object, object]]:
    """The entries that are [there, here]; {} of anything else."""
    if not isinstance(differing, Mapping):
        return {}
    pairs = {str(name): pair for name, pair in differing.items() if isinstance(pair, list | tuple)}
    return {name: (pair[0], pair[1]) for name, pair in pairs.items() if len(pair) == 2}


def _value(value: object) -> str:
    return ABSENT if value is None else shown(value)


def _text(value: object) -> str:
    return formats.number(float(value)) if isinstance(value, int | float) else str(value)


def table(alerts: Sequence[Alert]) -> tuple[pa.Table, dict[str, Any]]:
    """The table and its column configuration, in the order given."""
    column = st.column_config
    signs = (("severity", "Severity", SEVERITIES, 100), ("state", "State", STATES, 136))
    data: dict[str, pa.Array] = {"when": pa.array([alert.ts for alert in alerts], pa.timestamp("ms", "UTC"))}
    shape: dict[str, Any] = {"when": column.DatetimeColumn("When", format="distance", width=112)}
    for name, title, known, width in signs:
        words = [getattr(alert, name) for alert in alerts]
        data[name] = pa.array([[label(known, word)] for word in words], pa.list_(pa.string()))
        offered = list(dict.fromkeys([*known, *words]))
        shape[name] = column.MultiselectColumn(
            title, width=width, options=[label(known, word) for word in offered],
            color=[colour(known, word) for word in offered],
        )  # fmt: skip
    texts = (("run", "Run", 160), ("metric", "Metric", 140), ("title", "What", 400), ("kind", "Kind", 110))
    for name, title, width in texts:
        data[name] = pa.array([getattr(alert, name) for alert in alerts], pa.string())
        shape[name] = column.TextColumn(title, width=width)
    data["step"] = pa.array([alert.step for alert in alerts], pa.int64())
    shape["step"] = column.NumberColumn("Step", format="localized", width=84)
    return pa.table(data), shape
