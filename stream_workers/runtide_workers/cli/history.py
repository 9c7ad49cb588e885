"""`runtide regressions`: when the final values of a family's runs changed for good, and between which commits."""

from __future__ import annotations

from collections.abc import Sequence

from runtide_storage import Client
from runtide_storage.changes import SEGMENT_MIN
from runtide_storage.regressions import RUNS_MIN, By, Found, History, commit, histories
from runtide_workers.cli import output
from runtide_workers.detection.verdict import difference

_PROJECTS = "SELECT DISTINCT project FROM v_runs WHERE state = 'finished' ORDER BY project"


def regressions(project: str | None, group: str | None, metric: str | None, by: By, as_json: bool) -> int:
    """Changes per family, the oldest first. 1 if the present level of any family is a regression."""
    client = Client()
    projects = [project] if project else [row["project"] for row in client.sql(_PROJECTS)]
    rows = [row for each in projects for row in client.finals(each, metric, group).to_pylist()]
    found = histories(rows, by)
    worse = [each for each in found if each.newest == "worse"]
    if as_json:
        print(output.as_json({"families": [each.as_dict() for each in found], "regressions": len(worse)}))
    elif not found:
        print(_nothing(project, group, metric))
    else:
        _print(found)
    return 1 if worse else 0


# ---------------------------------------------------------------------- for people


def _print(found: Sequence[History]) -> None:
    for each in found:
        first = each.rows[0]
        output.heading(output.clean(each.name))
        which = "final" if each.by == "final" else "best"
        goal = f", to {each.goal}" if each.goal else ", no goal known"
        print(f"  {which} {output.clean(first['metric'])}{goal}; {_state(each)}")
        if each.changes:
            columns = ("since", "change", "from", "to", "first run", "commits", "runs before", "since then")
            rows = [_line(change) for change in each.changes]
            output.table(columns, rows, right=("from", "to", "runs before", "since then"))
        if each.suspect:
            run = each.suspect.first_after
            print(
                f"  suspected: {output.clean(run['run'])} on commit {commit(run)} is {_size(each.suspect)}"
                f" than {each.suspect.change.runs_before} runs before it;"
                f" with {SEGMENT_MIN} runs of this commit it will be sure"
            )


def _state(history: History) -> str:
    missing = len(history.rows) - history.known
    without = f" ({missing} without a finite value)" if missing else ""
    if history.by == "best" and not history.known and history.goal is None:
        return "without a goal there is no best value: define_metric(goal=...), or --by final"
    runs = f"{len(history.rows)} run{'s' if len(history.rows) != 1 else ''}{without}"
    if history.newest == "too few runs":
        return f"{runs}: at least {RUNS_MIN} are needed"
    return f"{runs}, steady" if not history.changes else f"{runs}, now {history.newest}"


def _line(found: Found) -> tuple[object, ...]:
    change, run = found.change, found.first_after
    return (
        run["started_at"], _size(found), change.before, change.after, f"{run['project']}/{run['run_id']}",
        found.commits, change.runs_before, change.runs_after,
    )  # fmt: skip


def _size(found: Found) -> str:
    return difference(found.effect) if found.effect is not None else f"{100 * found.change.ratio:+.2g} %"


def _nothing(project: str | None, group: str | None, metric: str | None) -> str:
    where = "".join(
        f" {word} {output.clean(text)}"
        for word, text in (("in project", project), ("of group", group), ("with metric", metric))
        if text is not None
    )
    return (
        f"no finished runs{where} that belong to a family yet: a worker gives each run its family"
        " (`runtide runs --state finished` lists runs)"
    )
