"""`runtide alerts replay`: what a rule, or another threshold, would have found in the runs that have ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from runtide.cli import CommandError
from runtide_workers.cli import output

if TYPE_CHECKING:
    from runtide_storage import Client
    from runtide_workers.alerting.replay import Hit

HITS_SHOWN_MAX = 20  # in a terminal; --json has all
PROJECTS_MAX = 1_000


def rule(spec: str, metric: str, project: str | None, limit: int, as_json: bool) -> int:
    """Try a rule on the newest `limit` runs of a project, or of each one."""
    from runtide_storage import Client
    from runtide_workers.alerting.replay import replay_rule
    from runtide_workers.detection import rules

    try:
        parsed = rules.parse(json.loads(spec) if spec.lstrip().startswith("{") else spec)
    except ValueError as error:  # of JSON, or of the rule
        raise CommandError(f"--rule {spec}: {error}") from None
    with Client() as client:
        hits = [hit for name in _projects(client, project) for hit in replay_rule(client, parsed, name, metric, limit)]
    fired = [hit for hit in hits if hit.alerts]
    if as_json:
        print(output.as_json({"rule": parsed.text, "runs": _runs(hits), "curves": len(hits), "hits": _as_rows(fired)}))
        return 0
    print(
        f"{output.clean(parsed.text)} on {output.clean(metric)}: it would have fired on {_runs(fired)} of {_runs(hits)}"
        f" runs, {sum(len(hit.alerts) for hit in fired)} times"
    )
    rows = [
        (hit.ref, hit.run, hit.started_at, hit.metric, hit.points, len(hit.alerts), hit.alerts[0].step)
        for hit in fired[:HITS_SHOWN_MAX]
    ]
    if rows:
        columns = ("run", "name", "started", "metric", "points", "times", "first at step")
        output.table(columns, rows, right=columns[4:])
    if len(fired) > HITS_SHOWN_MAX:
        print(f"… and {len(fired) - HITS_SHOWN_MAX} more: --json has them all")
    return 0


def detection(threshold: float, project: str | None, as_json: bool) -> int:
    """Try a threshold of the comparison with baselines on the healthy runs of a project, or of each one."""
    from runtide_storage import Client
    from runtide_workers.alerting.replay import replay_detection

    with Client() as client:
        found = [replay_detection(client, name, threshold) for name in _projects(client, project)]
    if as_json:
        print(output.as_json({"projects": [asdict(each) | {"text": each.text} for each in found]}))
        return 0
    for each in found:
        print(f"{output.clean(each.project)}: {output.clean(each.text)}")
        rows = [(row.metric, row.aspect, row.family, row.runs, row.alarmed) for row in each.metrics if row.alarmed]
        if rows:
            output.table(("metric", "of", "family", "healthy runs", "alarmed"), rows, right=("healthy runs", "alarmed"))
    if not found:
        print("no runs yet")
    return 0


def _projects(client: Client, project: str | None) -> list[str]:
    if project:
        return [project]
    rows = client.sql("SELECT DISTINCT project FROM v_runs ORDER BY project", limit=PROJECTS_MAX)
    return [str(row["project"]) for row in rows]


def _runs(hits: Sequence[Hit]) -> int:
    return len({hit.ref for hit in hits})


def _as_rows(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    return [
        {
            "project": hit.project, "run_id": hit.run_id, "run": hit.run, "started_at": hit.started_at,
            "metric": hit.metric, "points": hit.points,
            "alerts": [
                {"step": alert.step, "severity": alert.severity, "detail": alert.detail} for alert in hit.alerts
            ],
        }
        for hit in hits
    ]  # fmt: skip
