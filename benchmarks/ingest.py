"""Points per second from `run.log` in training processes until all of them can be queried, and what that costs in CPU.

Everything (trainers, shipper, broker, worker, ClickHouse) runs on this one machine.
  paced     trainers log at a set rate for a while: can the path keep up, and how far behind is it at the end?
  flat out  trainers log a set number of points as fast as they can: what does the path carry?
Each run ends with an exact count: every point, once, with the value that was logged.
"""

import argparse
import json
import subprocess
import time
from dataclasses import dataclass

from benchmarks.report import Figure, report
from tests.fixtures.expect import Logged, exactly, stored
from tests.fixtures.stack import PARTS, Stack, running_stack

SCALARS = 10  # per log call
WARM_UP_POINTS = 20_000
NO_SAMPLES = {"RUNTIDE_SYSTEM_INTERVAL_S": "0"}  # points of the machine's own would be counted too


@dataclass(frozen=True)
class Outcome:
    """One run. `lag_s` is the time from the last log() until all points could be queried."""

    points: int
    logged_s: float
    lag_s: float
    cpu_s_per_million: dict[str, float]

    @property
    def points_per_s(self) -> float:
        return self.points / (self.logged_s + self.lag_s)

    def __str__(self) -> str:
        return f"{self.points:,} points, {self.points_per_s:,.0f}/s, all there {self.lag_s:.2f} s after the last log"


def cpu_s(stack: Stack) -> dict[str, float]:
    """CPU seconds that each part of the stack has used so far."""
    used = dict.fromkeys(PARTS, 0.0)
    for part in PARTS:
        for process in stack.processes(part):
            times = process.cpu_times()
            used[part] += times.user + times.system
    return used


def run(stack: Stack, project: str, producers: int, calls: int, rate: float) -> Outcome:
    """`producers` trainers make `calls` calls each, `rate` calls/s each (0: flat out)."""
    go = stack.home / f"{project}.go"
    arguments = ["--calls", calls, "--scalars", SCALARS, "--rate", rate, "--wait-for", go, "--finish-timeout", 0]
    trainers = [stack.trainer(project, "--process", number, *arguments, env=NO_SAMPLES) for number in range(producers)]
    wait_for_runs(stack, project, producers)
    rows = rows_stored(stack)
    before, began = cpu_s(stack), time.perf_counter()
    go.touch()
    told = [ending(trainer) for trainer in trainers]
    logged_s = time.perf_counter() - began
    points = producers * calls * SCALARS
    while rows_stored(stack) - rows < points:
        if time.perf_counter() - began - logged_s > 300:
            raise SystemExit(f"after 5 minutes not all of {points} points are stored: {stored(stack.client, project)}")
        time.sleep(0.05)
    lag_s = time.perf_counter() - began - logged_s
    after = cpu_s(stack)
    exactly(stack.client, project, [Logged(f"p{number}", calls, SCALARS) for number in range(producers)])
    cost = {part: (after[part] - before[part]) / points * 1e6 for part in PARTS}
    cost["trainers"] = sum(each["cpu_s"] for each in told) / points * 1e6
    return Outcome(points, logged_s, lag_s, cost)


def rows_stored(stack: Stack) -> int:
    """Rows that a query finds: a count that costs ClickHouse nothing. `exactly` looks for doubles afterwards."""
    return int(stack.client.sql("SELECT count() AS n FROM points").to_pylist()[0]["n"])


def wait_for_runs(stack: Stack, project: str, runs: int) -> None:
    """Until the trainers' first lines are stored: start-up is not what is measured."""
    while len(stack.client.runs(project=project).to_pylist()) < runs:
        time.sleep(0.05)


def ending(trainer: subprocess.Popen[str]) -> dict[str, float]:
    output, _ = trainer.communicate(timeout=600)
    if trainer.returncode != 0:
        raise SystemExit(f"a trainer failed: {output}")
    told: dict[str, float] = json.loads(output.splitlines()[-1])
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--producers", type=int, default=4)
    parser.add_argument("--rate", type=int, default=150_000, help="points/s of the paced runs, all trainers together")
    parser.add_argument("--seconds", type=float, default=30, help="how long a paced run logs")
    parser.add_argument("--points", type=int, default=30_000_000, help="points of a flat-out run")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-detection", action="store_true", help="store only: what does detection cost?")
    args = parser.parse_args()

    figures: list[Figure] = []
    with running_stack(env={"RUNTIDE_DETECTION": "off"} if args.no_detection else {}) as stack:
        run(stack, "warm-up", args.producers, WARM_UP_POINTS // args.producers // SCALARS, 0)
        per_call = args.producers * SCALARS
        shapes = {
            "paced": (int(args.rate * args.seconds) // per_call, args.rate / per_call),
            "flat out": (args.points // per_call, 0.0),
        }
        for name, (calls, rate) in shapes.items():
            outcomes = []
            for number in range(args.repeat):
                outcomes.append(run(stack, f"{name.replace(' ', '-')}-{number}", args.producers, calls, rate))
                print(f"{name}, {number + 1} of {args.repeat}: {outcomes[-1]}")
            figures += summarise(name, outcomes)
    report("ingest", figures, as_json=args.json)


def summarise(name: str, outcomes: list[Outcome]) -> list[Figure]:
    def figure(what: str, unit: str, values: list[float], budget: float | None = None) -> Figure:
        return Figure.of(f"{name}: {what}", values, unit, budget)

    points_per_s = [outcome.points_per_s for outcome in outcomes]
    figures = [
        figure("log to queryable", "points/s", points_per_s, 300_000 if name == "flat out" else 100_000),
        figure("behind after the last log", "s", [outcome.lag_s for outcome in outcomes]),
    ]
    parts = ["trainers", *PARTS]
    for part in parts:
        costs = [outcome.cpu_s_per_million[part] for outcome in outcomes]
        figures.append(figure(f"CPU of {part} per million points", "s", costs))
    return figures


if __name__ == "__main__":
    main()
