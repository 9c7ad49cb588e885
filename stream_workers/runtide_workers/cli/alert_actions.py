"""`runtide ack`, `alerts mute`, `unmute`, `mutes` and `test`: what people do about alerts."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import runtide.settings
from runtide.cli import CommandError
from runtide_storage.errors import Ambiguous, NotFound
from runtide_workers.cli import output

if TYPE_CHECKING:
    from runtide_storage import Client
    from runtide_storage.writer import Writer

RUN_ALERTS_MAX = 10_000  # of one run
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")


def ack(target: str, reason: str, reopen: bool, as_json: bool) -> int:
    """Acknowledge an alert, or all open ones of a run; again changes nothing. `reopen`: take that back."""
    from runtide_storage import Client, alerts

    wanted, becomes = ("acknowledged", "open") if reopen else ("open", "acknowledged")
    with Client() as client:
        found = _targets(client, target)
    chosen = [alert["id"] for alert in found if alert["state"] == wanted]
    if chosen:
        alerts.say(_writer(), chosen, "reopen" if reopen else "acknowledge", who(), reason)
    if as_json:
        unchanged = [alert["id"] for alert in found if alert["id"] not in chosen]
        print(output.as_json({becomes: chosen, "unchanged": unchanged}))
        return 0
    for alert in found:
        if alert["id"] in chosen:
            told = f"is {becomes} now"
        elif len(found) > 1:
            continue  # of a run only what changed is news
        else:
            told = f"is {alert['state']} already" if alert["state"] != wanted else ""
        print(f"{alert['id'][: alerts.ID_SHOWN_CHARS]} {told}: {output.clean(alert['title'])}")
    if not chosen and len(found) != 1:
        print(f"{output.clean(target)} has no alert that is {wanted}")
    return 0


def _targets(client: Client, target: str) -> list[dict[str, Any]]:
    """The alert whose id begins with `target`, else the alerts of the run that `target` names."""
    unclear: Ambiguous | None = None
    if re.fullmatch(r"[0-9a-f]{1,64}", target):
        try:
            return [client.alert(target)]
        except NotFound:
            pass
        except Ambiguous as error:
            unclear = error  # unless it is a run's very name
    try:
        found = client.alerts(limit=RUN_ALERTS_MAX, run=target).to_pylist()
    except NotFound:
        if unclear is None:
            hint = "`runtide alerts` and `runtide runs` list them"
            raise NotFound(f"there is no alert and no run {target!r}: {hint}") from None
        found = []
    if unclear is not None and not any(target in (row["run_id"], row["run"]) for row in found):
        raise unclear
    return found


def mute(
    project: str | None, group: str | None, metric: str | None, kind: str | None, everything: bool,
    duration: str | None, reason: str, as_json: bool,
) -> int:  # fmt: skip
    """Tell nobody of such alerts. They are kept and shown."""
    from runtide_storage import alerts

    if everything == any((project, group, metric, kind)):
        raise CommandError("mute what? Give --project, --group, --metric or --kind, several narrow it down; or --all")
    for_s = None if duration is None else seconds(duration)
    given = {"project": project or "", "group": group or "", "metric": metric or "", "kind": kind or ""}
    muted = alerts.mute(_writer(), **given, for_s=for_s, who=who(), reason=reason)
    if as_json:
        print(output.as_json({"id": muted, **given, "for_s": for_s}))
    else:
        until = f"for {output.duration(for_s)}" if for_s is not None else "until it is lifted"
        print(f"muted {until}; `runtide alerts unmute {muted}` lifts it")
    return 0


def unmute(prefix: str | None, everything: bool, as_json: bool) -> int:
    """Lift one mute, or all of them."""
    from runtide_storage import Client, alerts

    if everything == bool(prefix):
        raise CommandError("unmute what? An ID of `runtide alerts mutes`, or --all")
    with Client() as client:
        rows = client.mutes().to_pylist()
    lifted = rows if everything else [_mute(rows, prefix or "")]
    alerts.lift(_writer(), lifted, who())
    if as_json:
        print(output.as_json({"lifted": [row["id"] for row in lifted]}))
    else:
        print(f"lifted {', '.join(row['id'] for row in lifted)}" if lifted else "nothing is muted")
    return 0


def _mute(rows: Sequence[dict[str, Any]], prefix: str) -> dict[str, Any]:
    fitting = [row for row in rows if row["id"].startswith(prefix)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise CommandError(f"{prefix!r} could be any of {', '.join(row['id'] for row in fitting)}")
    raise CommandError(f"there is no mute {prefix!r} in force: `runtide alerts mutes` lists them")


def mutes(as_json: bool) -> int:
    """What is muted now."""
    from runtide_storage import Client

    with Client() as client:
        rows = client.mutes().to_pylist()
    if as_json:
        print(output.as_json({"mutes": rows}))
    elif rows:
        named = ("project", "group", "metric", "kind")
        shown = [
            (row["id"], *(row[name] or "any" for name in named), row["until"], row["who"], row["reason"], row["at"])
            for row in rows
        ]
        output.table(("id", *named, "until", "by", "reason", "since"), shown)
    else:
        print("nothing is muted")
    return 0


def try_channels(as_json: bool) -> int:
    """Send a message to every channel. 1: one of them did not take it."""
    from runtide_workers.alerting import config, message, targets

    settings, dashboard = config.load(), runtide.settings.load().dashboard
    if not settings.channels:
        raise CommandError(
            f"there is nobody to tell: give {config.ENVIRONMENT_URLS} a URL, or write [[notify]] into {config.FILE}"
        )
    results = []
    for channel in settings.channels:
        error = targets.open_target(channel.url)(message.trial(channel.label, dashboard))
        results.append(
            {
                "label": channel.label, "severity": channel.severity, "project": channel.project or None,
                "ok": error is None, "error": error,
            }
        )  # fmt: skip
        if not as_json:
            said = f"{channel.label} (from {channel.severity} on{_of(channel.project)})"
            print(output.printable(f"{'ok  ' if error is None else 'FAIL'}  {said}{f': {error}' if error else ''}"))
    if as_json:
        print(output.as_json({"channels": results}))
    return 0 if all(each["ok"] for each in results) else 1


def _of(project: str) -> str:
    return f", project {project}" if project else ""


def seconds(text: str) -> float:
    """'90s', '30m', '2h', '1h30m', '3d'. Raises `CommandError`."""
    if not _DURATION.fullmatch(text):
        raise CommandError(f"--for {text}: expected a duration such as 30m, 2h, 1h30m or 3d")
    return sum(float(number) * _UNITS_S[unit] for number, unit in re.findall(r"([\d.]+)([smhdw])", text))


def who() -> str:
    """user@host, as far as the system knows them."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container without a name for this user
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _writer() -> Writer:
    from runtide_storage.connect import connect
    from runtide_storage.settings import clickhouse_url
    from runtide_storage.writer import Writer

    return Writer(connect(clickhouse_url("writer")))
