"""`runtide verdict` and `runtide compare`: how runs came out, alone and side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtide.cli import CommandError
from runtide_workers.cli import output
from runtide_workers.cli.comparing import Comparer, Comparison, Row
from runtide_workers.detection.verdict import difference

RUNS_MAX = 20  # beside one another
DIFFERENCES_MAX = 40  # in a terminal; --json has them all
METRICS_MAX = 40
COLUMNS = ("metric", "verdict", "effect", "95 % interval", "level", "baseline", "at step", "runs")
_NUMBERS = ("level", "baseline", "at step", "runs")
_META = ("git/commit", "git/dirty", "host")  # of what was captured, what may explain a difference at a glance
_DECISIONS = """
SELECT ts, decision, reason, next_step FROM v_decisions
WHERE project = {project:String} AND run_id = {run_id:String} ORDER BY ts
"""


def verdict(ref: str, as_json: bool) -> int:
    """The verdict on one run, and what people decided."""
    comparer = Comparer()
    run = comparer.client.run(ref)
    found = comparer.compare(run)
    identity = {"project": run["project"], "run_id": run["run_id"]}
    decisions = comparer.client.sql(_DECISIONS, identity).to_pylist()
    if as_json:
        print(output.as_json({**found.as_dict(), "decisions": decisions}))
        return 0
    print_comparison(found)
    for each in decisions:
        said = f"{output.clean(each['decision'])}: {output.clean(each['reason'])}"
        then = f"; next: {output.clean(each['next_step'])}" if each["next_step"] else ""
        print(f"decided {output.moment(each['ts'])}: {said}{then}")
    return 0


def compare(refs: Sequence[str], baseline: Sequence[str], metrics: Sequence[str], as_json: bool) -> int:
    """Runs side by side, each with its verdict."""
    if len(refs) > RUNS_MAX:
        raise CommandError(f"{len(refs)} runs are more than can be shown side by side: at most {RUNS_MAX}")
    comparer = Comparer()
    runs = {f"{run['project']}/{run['run_id']}": run for run in map(comparer.client.run, refs)}
    found = [comparer.compare(run, baseline, metrics) for run in runs.values()]
    summaries = {(f"{row['project']}/{row['run_id']}", row["metric"]): row for row in comparer.client.summaries(runs)}
    shown = _metrics(found, summaries, metrics)
    differences = _differences(list(runs.values()))
    if as_json:
        print(output.as_json(_as_dict(found, summaries, shown, differences)))
    else:
        _print_side_by_side(found, summaries, shown, differences)
    return 0


def _metrics(found: Sequence[Comparison], summaries: Mapping[tuple[str, str], Row], wanted: Sequence[str]) -> list[str]:
    """The metrics to show: those that were judged first. With `wanted` only these."""
    judged = dict.fromkeys(row["metric"] for each in found for row in each.metrics)
    if wanted:
        return list(judged)
    rest = sorted(
        {metric for _, metric in summaries} - judged.keys(), key=lambda name: (name.startswith("system/"), name)
    )
    return [*judged, *rest]


def _differences(runs: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The config values, and some of what was captured, in which these runs differ. None: not set."""
    found = []
    for section, names in (("config", None), ("meta", _META)):
        known = sorted({name for run in runs for name in run[section]})
        for name in known if names is None else names:
            values = [run[section].get(name) for run in runs]
            if any(value != values[0] for value in values):
                found.append({"name": name if section == "config" else f"{section}.{name}", "values": values})
    return found


def _as_dict(
    found: Sequence[Comparison],
    summaries: Mapping[tuple[str, str], Row],
    metrics: Sequence[str],
    differences: list[Row],
) -> Row:
    columns = ("n", "last", "last_step", "min", "max", "goal", "best", "best_step")
    return {
        "runs": [
            {name: value for name, value in each.run.items() if name not in ("config", "summary", "meta")}
            | {"verdict": each.as_dict()}
            for each in found
        ],
        "config": differences,
        "metrics": [
            {
                "metric": metric,
                "runs": [
                    {name: row[name] for name in columns} if (row := summaries.get((each.ref, metric))) else None
                    for each in found
                ],
            }
            for metric in metrics
        ],
    }


def _print_side_by_side(
    found: Sequence[Comparison],
    summaries: Mapping[tuple[str, str], Row],
    metrics: Sequence[str],
    differences: list[Row],
) -> None:
    columns = ["", *(each.ref for each in found)]
    facts = {
        "name": [each.run["name"] or None for each in found],
        "state": [each.run["state"] for each in found],
        "started": [each.run["started_at"] for each in found],
        "took": [output.duration(each.run["duration_s"]) for each in found],
        "verdict": [each.whole["verdict"] for each in found],
    }
    output.table(columns, [(name, *values) for name, values in facts.items()])
    if differences:
        output.heading("they differ in")
        rows = [(each["name"], *map(_value, each["values"])) for each in differences[:DIFFERENCES_MAX]]
        output.table(columns, rows)
        _more(len(differences), DIFFERENCES_MAX)
    if metrics:
        output.heading("last value (best)")
        rows = [
            (metric, *(_last_and_best(summaries.get((each.ref, metric))) for each in found))
            for metric in metrics[:METRICS_MAX]
        ]
        output.table(columns, rows, right=columns[1:])
        _more(len(metrics), METRICS_MAX)
    for each in found:
        print()
        print_comparison(each)


def print_comparison(found: Comparison) -> None:
    """A verdict for people: in one line, why, then metric by metric."""
    whole = found.whole
    name = f" {output.clean(found.run['name'])}" if found.run["name"] else ""
    so_far = " so far" if found.run["state"] == "running" else ""
    print(f"{found.ref}{name}: {whole['verdict']}{so_far}")
    print(f"  {output.clean(whole['reason'])}")
    if not found.stored:
        print("  (worked out now: no verdict is stored for this comparison)")
    if found.metrics:
        output.table(COLUMNS, [cells(row) for row in found.metrics], right=_NUMBERS)


def cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """A row of v_verdicts under COLUMNS."""
    return (
        row["metric"], row["verdict"], None if row["effect"] is None else difference(row["effect"]), interval(row),
        row["value"], row["baseline"], row["step"], row["n"],
    )  # fmt: skip


def interval(row: Mapping[str, Any]) -> str | None:
    """`-0.5 … +4.2 %`: above 0 is worse."""
    if row["low"] is None or row["high"] is None:
        return None
    return f"{_percent(row['low'])} … {_percent(row['high'])} %"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:+.2g}" if abs(percent) < 10 else f"{percent:+.0f}" if abs(percent) < 10_000 else f"{percent:+.1e}"


def _last_and_best(row: Mapping[str, Any] | None) -> str | None:
    if row is None:
        return None
    last = output.number(float(row["last"]))
    return last if row["best"] is None else f"{last} ({output.number(float(row['best']))})"


def _value(value: object) -> object:
    return value if value is None or isinstance(value, (str, float)) else output.as_json(value)


def _more(count: int, shown: int) -> None:
    if count > shown:
        print(f"  … and {count - shown} more: --json has them all")
