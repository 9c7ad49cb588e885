"""What the demo asks of ClickHouse afterwards: is every point there, once, and how do the runs compare?"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from runtide_storage import Client

from .plan import PROJECT
from .training import Trainee

WIDE = 105  # columns of a terminal that has room for everything

STORED = """
SELECT run_id, count() AS stored, count() - uniqExact(metric, step) AS duplicates
FROM v_points
WHERE project = {project:String} AND run_id IN {run_ids:Array(String)} AND NOT startsWith(metric, 'system/')
GROUP BY run_id
"""


class Stored(NamedTuple):
    """Points of one run that a query sees, and how many of them say the same metric and step again."""

    points: int
    duplicates: int


def stored(client: Client, trainees: Sequence[Trainee]) -> dict[str, Stored]:
    parameters = {"project": PROJECT, "run_ids": [trainee.run_id for trainee in trainees]}
    rows = client.sql(STORED, parameters).to_pylist()
    return {row["run_id"]: Stored(row["stored"], row["duplicates"]) for row in rows}


def is_complete(trainee: Trainee, found: Mapping[str, Stored]) -> bool:
    """Whether every point that `trainee` counted is stored.

    Of a killed one there may be more: a `log` that was cut off before it was counted may have reached the journal.
    """
    points = found.get(trainee.run_id, Stored(0, 0)).points
    if trainee.training.fate == "killed":
        return points >= trainee.count.points
    return points == trainee.count.points


def wait_until_stored(
    client: Client, trainees: Sequence[Trainee], timeout_s: float = 120.0
) -> tuple[bool, dict[str, Stored], float]:
    """(is all stored, what is stored, seconds waited)."""
    began = time.monotonic()
    while True:
        found = stored(client, trainees)
        waited_s = time.monotonic() - began
        complete = all(is_complete(trainee, found) for trainee in trainees)
        if complete or waited_s > timeout_s:
            return complete, found, waited_s
        time.sleep(0.2)


def wait_for_states(client: Client, trainees: Sequence[Trainee], timeout_s: float = 60.0) -> dict[str, dict[str, Any]]:
    """run id -> its row of `Client.runs`, once each state is what the process's end makes it, or at the timeout."""
    ids = {trainee.run_id: trainee.training.fate for trainee in trainees}
    deadline = time.monotonic() + timeout_s
    while True:
        rows = {row["run_id"]: row for row in client.runs(project=PROJECT, limit=10_000).to_pylist()}
        runs = {run_id: rows[run_id] for run_id in ids if run_id in rows}
        if (
            all(runs.get(run_id, {}).get("state") == fate for run_id, fate in ids.items())
            or time.monotonic() > deadline
        ):
            return runs
        time.sleep(0.2)


SUMMARIES = """
SELECT run_id, metric, last, max, last_step
FROM v_summary
WHERE project = {project:String} AND run_id IN {run_ids:Array(String)}
"""


def summaries(client: Client, trainees: Sequence[Trainee]) -> dict[str, dict[str, dict[str, Any]]]:
    """run id -> metric -> {last, max, last_step}."""
    parameters = {"project": PROJECT, "run_ids": [trainee.run_id for trainee in trainees]}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in client.sql(SUMMARIES, parameters).to_pylist():
        found.setdefault(row["run_id"], {})[row["metric"]] = row
    return found


def print_table(
    trainees: Sequence[Trainee],
    runs: Mapping[str, Mapping[str, Any]],
    metrics: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> None:
    """The comparison, best validation accuracy first; `accuracy` is the last one."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=120)  # a file or a pipe has no width of its own
    is_wide = console.width >= WIDE
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("run", "model", "state") if is_wide else ("run", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("steps", "accuracy", "best", "val loss", *(["seconds"] if is_wide else [])):
        table.add_column(heading, justify="right", no_wrap=True)

    def best(trainee: Trainee) -> float:
        return float(metrics.get(trainee.run_id, {}).get("val/accuracy", {}).get("max", -1.0))

    colours = {"finished": "green", "failed": "red", "killed": "yellow"}
    for trainee in sorted(trainees, key=best, reverse=True):
        run, of = runs.get(trainee.run_id, {}), metrics.get(trainee.run_id, {})
        state = str(run.get("state", "?"))
        seconds = f"{(run['ended_at'] - run['started_at']).total_seconds():.1f}" if run.get("ended_at") else "-"
        accuracy, loss, steps = of.get("val/accuracy"), of.get("val/loss"), of.get("train/loss")
        table.add_row(
            trainee.training.name,
            *([trainee.training.model] if is_wide else []),
            f"[{colours.get(state, 'white')}]{state}",
            f"{steps['last_step'] + 1:,}" if steps else "-",
            f"{accuracy['last']:.3f}" if accuracy else "-",
            f"{accuracy['max']:.3f}" if accuracy else "-",
            f"{loss['last']:.4f}" if loss else "-",
            *([seconds] if is_wide else []),
        )
    console.print(table)
