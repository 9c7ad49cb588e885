"""`runtide show`: all that is stored of one run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runtide_workers.cli import output

if TYPE_CHECKING:
    from runtide_storage import Client

SPARK_POINTS = 40
METRICS_MAX = 40  # of a run, in a terminal; --json has them all
EVENTS_MAX = 20
VALUES_MAX = 40

_QUIET_EVENTS = ("heartbeat", "config", "summary", "meta", "define_metric")  # shown as what they amount to
_ALERTS = """
SELECT ts, severity, title, text, metric, step, state FROM v_alerts
WHERE project = {project:String} AND run_id = {run_id:String} ORDER BY ts DESC, id
"""
_SUMMARY = (
    "metric", "n", "nonfinite", "last", "last_step", "min", "min_step", "max", "max_step", "mean", "goal", "best",
    "best_step",
)  # fmt: skip


def show(ref: str, pattern: str | None, as_json: bool) -> int:
    """All about one run. `ref`: PROJECT/RUN, or RUN where that is unique. `pattern`: which metrics."""
    client = _client()
    run = client.run(ref)
    exact = f"{run['project']}/{run['run_id']}"
    events = client.events(exact).to_pylist()
    summaries = client.summaries(exact).to_pylist()
    if pattern is not None:
        wanted = {row["metric"] for row in client.metrics(exact, search=pattern)}
        summaries = [row for row in summaries if row["metric"] in wanted]
    identity = {"project": run["project"], "run_id": run["run_id"]}
    facts = {
        "run": {name: value for name, value in run.items() if name not in ("config", "summary", "meta")},
        "attempts": _attempts(events),
        "metrics": [{name: row[name] for name in _SUMMARY} for row in summaries],
        "config": run["config"],
        "summary": run["summary"],
        "meta": run["meta"],
        "alerts": client.sql(_ALERTS, identity).to_pylist(),
        "events": [
            {name: event[name] for name in ("ts", "kind", "attempt", "rank")} | {"body": json.loads(event["body"])}
            for event in events
            if event["kind"] not in _QUIET_EVENTS
        ],
    }
    if as_json:
        print(output.as_json(facts))
    else:
        _print_run(client, facts)
    return 0


def _attempts(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Attempt, when it began, and how many processes wrote it."""
    found: dict[int, dict[str, Any]] = {}
    writers: dict[int, set[str]] = {}
    for event in events:  # oldest first
        found.setdefault(event["attempt"], {"attempt": event["attempt"], "started_at": event["ts"]})
        writers.setdefault(event["attempt"], set()).add(event["writer"])
    return [found[attempt] | {"writers": len(writers[attempt])} for attempt in sorted(found)]


def _print_run(client: Client, facts: Mapping[str, Any]) -> None:
    run = facts["run"]
    ref = f"{run['project']}/{run['run_id']}"
    output.heading(f"{ref}  {output.clean(run['name'])}".rstrip())
    lines = {
        "state": output.state(run) + (f", exit code {run['exit_code']}" if run["exit_code"] is not None else ""),
        "started": f"{output.moment(run['started_at'])}, took {output.duration(run['duration_s'])}",
        "host": run["host"], "group": run["group"], "job type": run["job_type"], "tags": ", ".join(run["tags"]),
        "notes": run["notes"],
    }  # fmt: skip
    for name, value in lines.items():
        if value:
            print(f"  {name:<10} {output.clean(value)}")
    if len(facts["attempts"]) > 1:
        output.heading("attempts")
        output.table(("attempt", "started", "writers"), [tuple(row.values()) for row in facts["attempts"]])
    if facts["metrics"]:
        _print_metrics(client, ref, facts["metrics"])
    for section in ("config", "summary", "meta"):
        _print_values(section, facts[section])
    if facts["alerts"]:
        output.heading("alerts")
        rows = [(row["ts"], row["severity"], row["title"], row["text"]) for row in facts["alerts"][:EVENTS_MAX]]
        output.table(("time", "severity", "title", "text"), rows)
    if facts["events"]:
        output.heading("events")
        rows = [(row["ts"], row["kind"], row["attempt"], _short_json(row["body"])) for row in facts["events"]]
        _more(len(rows), EVENTS_MAX, "earlier ")
        output.table(("time", "kind", "attempt", ""), rows[-EVENTS_MAX:])


def _print_metrics(client: Client, ref: str, summary: Sequence[Mapping[str, Any]]) -> None:
    output.heading("metrics")
    shown = sorted(summary, key=lambda row: row["metric"].startswith("system/"))[:METRICS_MAX]
    curves = _curves(client, ref, [row["metric"] for row in shown])
    rows = [
        (
            row["metric"], row["last"], row["last_step"], row["best"], row["best_step"],
            row["min"], row["max"], row["n"], output.sparkline(curves.get(row["metric"], ())),
        )
        for row in shown
    ]  # fmt: skip
    columns = ("metric", "last", "at step", "best", "at", "min", "max", "points", "curve")
    output.table(columns, rows, right=columns[1:-1])
    _more(len(summary), METRICS_MAX, "")


def _curves(client: Client, ref: str, metrics: Sequence[str]) -> dict[str, list[float]]:
    """Metric -> about SPARK_POINTS values along its steps."""
    found: dict[str, list[float]] = {}
    for row in client.history([ref], list(metrics), points=SPARK_POINTS).to_pylist():
        found.setdefault(row["metric"], []).append(row["mean"])
    return found


def _print_values(title: str, values: Mapping[str, Any]) -> None:
    if not values:
        return
    output.heading(title)
    width = min(32, max(map(len, values)))
    for name, value in list(values.items())[:VALUES_MAX]:
        print(f"  {output.clean(name):<{width}}  {output.short(_short_json(value), 100)}")
    _more(len(values), VALUES_MAX, "")


def _more(count: int, shown: int, which: str) -> None:
    if count > shown:
        print(f"  … and {count - shown} {which}more: --json has them all")


def _short_json(value: object) -> str:
    return output.clean(value if isinstance(value, str) else output.as_json(value))


def _client() -> Client:
    from runtide_storage import Client

    return Client()
