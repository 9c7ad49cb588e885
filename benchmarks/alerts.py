"""How long from `log()` of the point that decides until the alert is a row in ClickHouse, and until a webhook is told?

Other trainers keep the path busy at a steady rate meanwhile. Each probe is a real training process that logs a family's
loss through the SDK, and then one run after the other that gets worse half-way, which detection has to find. The
deciding point is the one at the alert's own step; its clock is taken right before `log()`. Rows are looked for every
20 ms, which is part of the figure; webhooks are answered by a real HTTP server.
"""

import argparse
import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Figure, report
from runtide_storage.ids import run_key
from tests.fixtures.stack import Stack, running_stack
from tests.fixtures.webhook import Webhook, webhook

PROBE = Path(__file__).with_name("alert_probe.py")
BASELINES = 8
POLL_S = 0.02
WARM_UP_S = 5.0
SCALARS = 10  # per log call of the busy trainers
# The table and not the view: looking every 20 ms must not cost what is measured.
ALERTS = "SELECT run, id, step, ts FROM alerts WHERE severity = 'page' AND metric = 'loss' AND NOT quiet"


@dataclass(frozen=True)
class Seen:
    """When an alert was first found, and of which point it speaks."""

    project: str
    run_id: str
    id: str
    step: int
    raised_s: float  # as the worker says
    at_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--rate", type=int, default=50_000, help="points/s of the other trainers")
    parser.add_argument("--projects", type=int, default=4, help="probes side by side, each with a channel of its own")
    parser.add_argument("--runs", type=int, default=12, help="runs of each that get worse, one after the other")
    parser.add_argument("--producers", type=int, default=4)
    args = parser.parse_args()

    projects = [f"probe-{number}" for number in range(args.projects)]
    with webhook() as hook:
        with running_stack(alerts=channels(hook, projects)) as stack:
            print(f"{BASELINES} baseline runs of each of {len(projects)} families")
            each_ends([probe(stack, project, "base", BASELINES, 1.0) for project in projects])
            wait_for_verdicts(stack, projects, BASELINES)
            busy, end = trainers(stack, args.producers, args.rate)
            time.sleep(WARM_UP_S)
            print(f"{args.runs} runs of each get worse, beside {args.rate:,} points/s")
            probes = [probe(stack, project, "bad", args.runs, 1.3) for project in projects]
            try:
                seen = watch(stack, projects, args.runs, probes)
                logged = each_ends(probes)
                time.sleep(2.0)
            finally:
                end.touch()
                for trainer in busy:
                    trainer.communicate(timeout=60)
        report("alerts", figures(args, seen, logged, hook), as_json=args.json)


def channels(hook: Webhook, projects: list[str]) -> str:
    """One channel per project: each is limited to twenty messages a minute."""
    return "\n".join(
        f'[[notify]]\nurl = "{hook.url}{project}"\nproject = "{project}"\nlabel = "{project}"' for project in projects
    )


def probe(stack: Stack, project: str, name: str, runs: int, worse: float) -> subprocess.Popen[str]:
    return stack.python(str(PROBE), "--project", project, "--name", name, "--runs", str(runs), "--worse", str(worse))


def trainers(stack: Stack, producers: int, rate: int) -> tuple[list[subprocess.Popen[str]], Path]:
    end = stack.home / "busy.end"
    shape = ["--calls", 10**9, "--rate", rate / producers / SCALARS, "--scalars", SCALARS, "--finish-timeout", 0]
    busy = [stack.trainer("busy", "--process", number, *shape, "--until", end) for number in range(producers)]
    return busy, end


def wait_for_verdicts(stack: Stack, projects: list[str], runs: int, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    sql = "SELECT count() AS n FROM v_verdicts WHERE metric = '' AND project IN {projects:Array(String)}"
    while stack.client.sql(sql, {"projects": projects}).to_pylist()[0]["n"] < runs * len(projects):
        if time.monotonic() > deadline:
            raise SystemExit("the baseline runs were not judged")
        time.sleep(0.1)


def watch(stack: Stack, projects: list[str], runs: int, probes: list[subprocess.Popen[str]]) -> dict[str, Seen]:
    """alert id -> when it was first there, until the probes have ended and a moment more."""
    seen: dict[str, Seen] = {}
    names = {run_key(project, f"bad{i}"): (project, f"bad{i}") for project in projects for i in range(runs)}
    until_s = float("inf")
    while time.monotonic() < until_s:
        asked_s = time.monotonic()
        rows = stack.client.sql(ALERTS).to_pylist()
        now_s = time.time()
        for row in rows:
            if row["run"] in names:
                found = Seen(*names[row["run"]], row["id"], row["step"], row["ts"].timestamp(), now_s)
                seen.setdefault(row["id"], found)
        if until_s == float("inf") and all(process.poll() is not None for process in probes):
            until_s = time.monotonic() + 2.0
        time.sleep(max(0.0, asked_s + POLL_S - time.monotonic()))
    return seen


def each_ends(probes: list[subprocess.Popen[str]]) -> dict[str, dict[str, list[float]]]:
    """project -> run -> when each step was logged, as the probes tell."""
    found: dict[str, dict[str, list[float]]] = {}
    for process in probes:
        output, _ = process.communicate(timeout=600)
        if process.returncode != 0:
            raise SystemExit(f"a probe failed: {output}")
        told = json.loads(output.splitlines()[-1])
        found[told["project"]] = told["logged"]
    return found


def figures(
    args: argparse.Namespace, seen: dict[str, Seen], logged: dict[str, dict[str, list[float]]], hook: Webhook
) -> list[Figure]:
    expected = args.projects * args.runs
    told = {find_id(body, seen): at_s for at_s, body in hook.received}
    to_raise = [each.raised_s - logged[each.project][each.run_id][each.step] for each in seen.values()]
    to_row = [each.at_s - logged[each.project][each.run_id][each.step] for each in seen.values()]
    to_hook = [
        told[each.id] - logged[each.project][each.run_id][each.step] for each in seen.values() if each.id in told
    ]
    if len(to_row) < expected or len(to_hook) < expected:
        print(f"of {expected} runs that got worse {len(to_row)} were found and {len(to_hook)} told")
    beside = f"at {args.rate:,} points/s"
    return [
        Figure(f"runs that got worse, found {beside}", len(to_row), f"of {expected}"),
        Figure(f"log to finding {beside}, p50", float(np.median(to_raise)) if to_raise else float("nan"), "s"),
        *quantiles(f"log to alert row {beside}", to_row),
        *quantiles(f"log to webhook {beside}", to_hook),
    ]


def find_id(body: dict[str, Any], seen: dict[str, Seen]) -> str:
    text = str(body)
    return next((key for key in seen if key in text), "")


def quantiles(what: str, values: list[float]) -> list[Figure]:
    p50, p99 = np.quantile(values or [float("nan")], (0.5, 0.99)).tolist()
    worst = max(values, default=float("nan"))
    return [
        Figure(f"{what}, p50", p50, "s"),
        Figure(f"{what}, p99", p99, "s", 2.0),
        Figure(f"{what}, worst", worst, "s"),
    ]


if __name__ == "__main__":
    main()
