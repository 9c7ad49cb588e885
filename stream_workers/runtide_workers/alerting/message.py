"""What people are told: the words of a notification. Pure. Names of runs and metrics are hostile input."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from runtide_workers.alerting.targets import Message

DIGEST_LINES_MAX = 10
TITLE_CHARS_MAX = 200
TEXT_CHARS_MAX = 3_000
MEMBERS_LINKED_MAX = 8  # beside the run, so that its curve is not buried

# Would wake a whole team on Slack, Discord or Teams if it came from a run's name.
_MENTION = re.compile(r"@(?=everyone\b|here\b|channel\b|all\b)|<(?=[!@#])", re.IGNORECASE)
_CONTROL = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)], "\ufffd")


@dataclass(frozen=True, slots=True)
class Told:
    """An alert as a message speaks of it."""

    id: str
    project: str
    run_id: str
    name: str  # of the run, may be empty
    severity: str
    title: str
    text: str
    step: int | None = None

    @property
    def ref(self) -> str:
        return f"{self.project}/{self.run_id}"


def alert_link(dashboard: str, project: str, alert: str = "") -> str:
    """The alert on the Alerts page, or the page of a project, or of all; "" without a dashboard."""
    return _link(dashboard, "alerts", {"project": project, "alert": alert})


def compare_link(dashboard: str, project: str, run_id: str, members: Sequence[str], metric: str) -> str:
    """The run and the newest of its baseline (`members`, oldest first) over each other; "" without a dashboard."""
    runs = ",".join([run_id, *members[-MEMBERS_LINKED_MAX:]])
    return _link(dashboard, "compare", {"project": project, "runs": runs, "metrics": metric})


def _link(dashboard: str, page: str, parameters: dict[str, str]) -> str:
    if not dashboard:
        return ""
    query = urlencode({name: value for name, value in parameters.items() if value}, quote_via=quote, safe=",")
    return f"{dashboard.rstrip('/')}/{page}" + (f"?{query}" if query else "")


def message(alert: Told, dashboard: str) -> Message:
    """One alert: what, of which run, where to look, and its id, by which a repetition is known."""
    name = alert.name or alert.run_id
    title = alert.title if name in alert.title else f"{name}: {alert.title}"
    where = f"run {alert.ref}" + (f" ({alert.name})" if alert.name not in ("", alert.run_id) else "")
    if alert.step is not None:
        where += f", step {alert.step:,}"
    link = alert_link(dashboard, alert.project, alert.id) or f"runtide alerts show {alert.id}"
    parts = (_words(alert.text, TEXT_CHARS_MAX), _words(where), link, f"alert {alert.id}")
    return Message(_title(f"[{alert.severity}] {title}"), "\n\n".join(filter(None, parts)), alert.severity)


def digest(alerts: Sequence[Told], dashboard: str) -> Message:
    """Many alerts at once, the worst first: how many, the first of them by name, and where the rest is."""
    worst = alerts[0].severity
    counts = ", ".join(
        f"{number} {severity}"
        for severity in dict.fromkeys(alert.severity for alert in alerts)
        if (number := sum(alert.severity == severity for alert in alerts))
    )
    projects = {alert.project for alert in alerts}
    link = alert_link(dashboard, projects.pop() if len(projects) == 1 else "") or "runtide alerts"
    lines = [
        _words(f"[{alert.severity}] {alert.ref}: {alert.title} (alert {alert.id})", TITLE_CHARS_MAX * 2)
        for alert in alerts[:DIGEST_LINES_MAX]
    ]
    if len(alerts) > DIGEST_LINES_MAX:
        lines.append(f"… and {len(alerts) - DIGEST_LINES_MAX} more")
    title = f"and {len(alerts)} more alert{'s' * (len(alerts) != 1)} ({counts})"
    return Message(_title(f"[{worst}] {title}"), "\n".join(lines) + f"\n\n{title}: {link}", worst)


def trial(label: str, dashboard: str) -> Message:
    """To try a channel."""
    link = alert_link(dashboard, "")
    return Message("[info] Runtide: a test", f"Alerts reach this channel ({_words(label)}).\n\n{link}".rstrip(), "info")


def _title(text: str) -> str:
    return " ".join(_words(text, TITLE_CHARS_MAX).split())


def _words(text: str, chars_max: int = TITLE_CHARS_MAX) -> str:
    """`text` without control characters and without what addresses everybody."""
    text = text.strip().translate(_CONTROL)
    if len(text) > chars_max:
        text = f"{text[: chars_max - 1]}…"
    return _MENTION.sub("\\g<0>\u200b", text)
