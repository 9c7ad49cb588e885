"""`runtide alerts` and `alerts show`: what was found, explained, as a list, one by one, or as it happens."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import runtide.settings
from runtide_storage.alerts import ID_SHOWN_CHARS, SEVERITIES
from runtide_storage.errors import Unreachable
from runtide_workers.alerting.message import alert_link, compare_link
from runtide_workers.cli import output

if TYPE_CHECKING:
    from runtide_storage import Client

FOLLOW_S = 0.7  # between two looks
FOLLOWED_MAX = 1_000  # alerts that are looked at for changes: the newest
EXPLAINED_MAX = 5  # open pages under the list
MEMBERS_SHOWN_MAX = 6

Alert = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which alerts. `severity`: and what is worse."""

    project: str | None = None
    run: str | None = None
    state: str | None = None
    severity: str | None = None

    def ask(self, client: Client, limit: int) -> list[Alert]:
        """The newest first, each with its `detail` as a dict and its link."""
        severities = SEVERITIES[: SEVERITIES.index(self.severity) + 1] if self.severity else ()
        states = (self.state,) if self.state else ()
        found = client.alerts(self.project, limit, run=self.run, state=states, severity=severities)
        dashboard = runtide.settings.load().dashboard
        return [with_link(row | {"detail": json.loads(row["detail"] or "{}")}, dashboard) for row in found]


def feed(wanted: Filter, limit: int, follow: bool, as_json: bool) -> int:
    """The newest `limit` alerts; with `follow` also those that come, and those that change, until Ctrl-C."""
    from runtide_storage import Client

    client = Client()
    if follow:
        ended = threading.Event()

        def end(*_: object) -> None:
            ended.set()  # an exception may be lost in a library's clean-up, this is seen at the next look
            raise KeyboardInterrupt

        signal.signal(signal.SIGINT, end)
        with suppress(KeyboardInterrupt):  # the way to end it
            for alert in followed(client, wanted, limit, ended):
                if as_json:
                    print(output.as_json(alert), flush=True)
                else:
                    _print_event(alert)
        return 0
    alerts = wanted.ask(client, limit)
    if as_json:
        print(output.as_json({"alerts": alerts}))
    elif not alerts:
        print("no alerts" + (" like that" if wanted != Filter() else ""))
    else:
        _print_list(alerts)
    return 0


def followed(client: Client, wanted: Filter, limit: int, ended: threading.Event) -> Iterator[Alert]:
    """The newest `limit`, the oldest of them first, then what is new or changed until `ended`; `change` says which."""
    seen: dict[str, tuple[Any, ...]] = {}
    first = True
    while not ended.is_set():
        try:
            alerts = wanted.ask(client, FOLLOWED_MAX)
        except Unreachable:
            if first:
                raise
            time.sleep(FOLLOW_S)  # it was there: whoever follows wants to go on when it is back
            continue
        told = alerts[:limit] if first else alerts
        for alert in reversed(told):
            if seen.get(alert["id"]) != _mark(alert):
                yield alert | {"change": "changed" if alert["id"] in seen else "new"}
        seen |= {alert["id"]: _mark(alert) for alert in alerts}
        first = False
        time.sleep(FOLLOW_S)


def _mark(alert: Alert) -> tuple[Any, ...]:
    """What must differ for an alert to be told again."""
    return alert["state"], alert["severity"], alert["title"], alert["who"], alert["reason"]


def show(prefix: str, as_json: bool) -> int:
    """One alert with everything that is known of it."""
    from runtide_storage import Client

    alert = with_link(Client().alert(prefix), runtide.settings.load().dashboard)
    if as_json:
        print(output.as_json(alert))
        return 0
    print_block(alert)
    rest = {name: value for name, value in alert["detail"].items() if name not in _EXPLAINED}
    if rest:
        print(f"  {'detail':<10} {output.clean(output.as_json(rest))}")
    return 0


def with_link(alert: Alert, dashboard: str) -> Alert:
    """With `link` to its page and `compare` to its curve over its baseline's; None where there is no dashboard."""
    compare = compare_link(
        dashboard, alert["project"], alert["run_id"], _members(alert["detail"]), alert["metric"] or ""
    )
    return alert | {"link": alert_link(dashboard, alert["project"], alert["id"]) or None, "compare": compare or None}


def _print_list(alerts: Sequence[Alert]) -> None:
    rows = [
        (
            alert["id"][:ID_SHOWN_CHARS], alert["ts"], alert["severity"], alert["state"],
            f"{alert['project']}/{alert['run_id']}", alert["metric"], alert["step"], alert["title"],
        )
        for alert in alerts
    ]  # fmt: skip
    output.table(("id", "time", "severity", "state", "run", "metric", "step", "title"), rows, right=("step",))
    pages = [alert for alert in alerts if alert["severity"] == "page" and alert["state"] == "open"]
    for alert in pages[:EXPLAINED_MAX]:
        print()
        print_block(alert)
    if len(pages) > EXPLAINED_MAX:
        print(f"\n… and {len(pages) - EXPLAINED_MAX} more open pages: `runtide alerts show ID` explains each")


def _print_event(alert: Alert) -> None:
    if alert["severity"] == "page" and alert["state"] == "open":
        print_block(alert)
    else:
        print(headline(alert))
        print(f"  {output.clean(alert['title'])}", flush=True)


def headline(alert: Alert) -> str:
    """When, how bad, which run, which alert."""
    run = f"{alert['project']}/{alert['run_id']}"
    return (
        f"{output.moment(alert['ts'])}  {alert['severity']:<4}  {alert['state']}  {run}  "
        f"{alert['id'][:ID_SHOWN_CHARS]}{'  (nobody was told)' if alert['quiet'] else ''}"
    )


def print_block(alert: Alert) -> None:
    """What, how much, where, since when, against which runs, what changed, and where to look."""
    print(headline(alert))
    print(f"  {output.clean(alert['title'])}")
    for label, text in explained(alert):
        print(f"  {label:<10} {text}")
    print(end="", flush=True)


_EXPLAINED = (
    "effect", "value", "baseline", "spread", "early", "since", "windows", "n", "members", "changes", "nearest",
    "link",
)  # fmt: skip


def explained(alert: Alert) -> list[tuple[str, str]]:
    """(label, line) of all that is known. Alerts of people's own and of other kinds have less to say."""
    detail = alert["detail"]
    lines = [
        ("said", alert["text"] if "effect" not in detail else ""),
        ("effect", _effect(alert)),
        ("at", f"step {alert['step']:,}" if alert["step"] is not None and "effect" not in detail else ""),
        ("since", _since(detail)),
        ("baselines", _baselines(detail)),
        ("changed", _changed(detail)),
        ("state", _state(alert)),
        ("compare", alert["compare"] if _members(detail) else ""),
        ("link", alert["link"]),
        ("end it", f"runtide ack {alert['id'][:ID_SHOWN_CHARS]}" if alert["state"] == "open" else ""),
    ]
    return [(label, output.clean(text)) for label, text in lines if text]


def _effect(alert: Alert) -> str:
    detail = alert["detail"]
    effect = detail.get("effect")
    if not isinstance(effect, (int, float)):
        return ""
    words = f"{abs(effect):.2%} {'worse' if effect > 0 else 'better'}"
    if alert["step"] is not None:
        words += f" at step {alert['step']:,}"
    if detail.get("value") is not None and detail.get("baseline") is not None:
        words += f": {output.cell(detail['value'])} against {output.cell(detail['baseline'])}"
    if detail.get("spread") is not None:
        words += f"; the baselines differ by {output.cell(detail['spread'])} (1 sd)"
    return words + (" (early)" if detail.get("early") else "")


def _since(detail: Mapping[str, Any]) -> str:
    if detail.get("since") is None:
        return ""
    windows = f", {detail['windows']} windows in a row" if detail.get("windows") else ""
    return f"step {detail['since']:,}{windows}"


def _baselines(detail: Mapping[str, Any]) -> str:
    members = _members(detail)
    if not members and not detail.get("n"):
        return ""
    named = ", ".join(members[-MEMBERS_SHOWN_MAX:])  # the newest
    if len(members) > MEMBERS_SHOWN_MAX:
        named += f" and {len(members) - MEMBERS_SHOWN_MAX} earlier"
    return f"{detail.get('n') or len(members)} runs" + (f": {named}" if named else "")


def _members(detail: Mapping[str, Any]) -> list[str]:
    """The ids of the baseline's runs, the oldest first."""
    return [str(member) for member in detail.get("members") or () if member]


def _changed(detail: Mapping[str, Any]) -> str:
    from runtide_workers.alerting.explain import changed_text

    changes = detail.get("changes")
    if not isinstance(changes, dict):
        return ""
    return changed_text(changes, str(detail.get("nearest") or ""))


def _state(alert: Alert) -> str:
    if alert["state"] != "acknowledged":
        return ""
    by = f" by {alert['who']}" if alert["who"] else ""
    return f"acknowledged{by}" + (f": {alert['reason']}" if alert["reason"] else "")
