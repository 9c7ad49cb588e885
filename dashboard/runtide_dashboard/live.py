"""What counts as going on now. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from runtide_dashboard.records import Alert, Run

JUST_ENDED = timedelta(minutes=10)
ALERTS_SINCE = timedelta(hours=24)


def current(runs: Sequence[Run], now: datetime) -> list[Run]:
    """The runs that go on, and those that ended or fell silent a moment ago, in the order given."""
    return [run for run in runs if run.live or now - (run.ended_at or run.seen_at or run.started_at) < JUST_ENDED]


def fresh(alerts: Sequence[Alert], now: datetime) -> list[Alert]:
    """The alerts of the last day, in the order given."""
    return [alert for alert in alerts if now - alert.ts < ALERTS_SINCE]
