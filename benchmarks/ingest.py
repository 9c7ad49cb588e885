"""Points per second from `run.log` in training processes until all of them can be queried, and what that costs in CPU.

Everything (trainers, shipper, broker, worker, ClickHouse) runs on this one machine, first without and then with
detection: the runs are then of a family whose finished runs each of their metrics is compared with.
  paced     trainers log at a set rate for a while: can the path keep up, and how far behind is it at the end?
  flat out  trainers log a set number of points as fast as they can: what does the path carry?
Each run ends with an exact count: every point, once, with the value that was logged. Its CPU seconds are counted until
tiers, merges and verdicts are done.

At the end ClickHouse's own Kafka engine reads the same messages from the same broker (benchmarks.ingest_bare), which
says what the least is that they can cost.
"""

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.costs import cpu_s, settle
from benchmarks.ingest_bare import Bare, consume
from benchmarks.report import Figure, report
from tests.fixtures.expect import Logged, exactly, stored
from tests.fixtures.stack import PARTS, Stack, running_stack

SCALARS = 10  # per log call
WARM_UP_POINTS = 20_000
BASELINES = 8
BASELINE_CALLS = 400  # over as many steps as the runs that are compared with them have
OURS = ("worker", "clickhouse")  # what the Kafka engine stands for
BUDGETS = {"off": 2.0, "on": 3.0}  # of the Kafka engine's CPU
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

    @property
    def ours_s(self) -> float:
        return sum(self.cpu_s_per_million[part] for part in OURS)

    def __str__(self) -> str:
        speed = f"{self.points:,} points, {self.points_per_s:,.0f}/s, all there {self.lag_s:.2f} s after the last log"
        return f"{speed}; worker and ClickHouse {self.ours_s:.2f} CPU s per million"


def run(stack: Stack, project: str, producers: int, calls: int, rate: float, *, family: bool) -> Outcome:
    """`producers` trainers make `calls` calls each, `rate` calls/s each (0: flat out)."""
    earlier = baselines(stack, project, calls) if family else []
    go = stack.home / f"{project}.go"
    arguments = ["--calls", calls, "--scalars", SCALARS, "--rate", rate, "--wait-for", go, "--finish-timeout", 0]
    arguments += ["--family", "family"] if family else []
    trainers = [stack.trainer(project, "--process", number, *arguments, env=NO_SAMPLES) for number in range(producers)]
    wait_for(
        stack, "SELECT count() AS found FROM v_runs WHERE project = {project:String}", project, producers + len(earlier)
    )
    settle(pids(stack))
    rows = rows_stored(stack)
    before, began = used(stack), time.perf_counter()
    go.touch()
    told = [ending(trainer) for trainer in trainers]
    logged_s = time.perf_counter() - began
    points = producers * calls * SCALARS
    while rows_stored(stack) - rows < points:
        if time.perf_counter() - began - logged_s > 600:
            raise SystemExit(f"after 10 minutes not all of {points} points are stored: {stored(stack.client, project)}")
        time.sleep(0.05)
    lag_s = time.perf_counter() - began - logged_s
    wait_for(stack, SUMMARISED, project, points + sum(each.points for each in earlier))
    if family:
        wait_for(stack, COMPARED, project, producers * SCALARS)
    settle(pids(stack))
    after = used(stack)
    exactly(stack.client, project, [*earlier, *(Logged(f"p{number}", calls, SCALARS) for number in range(producers))])
    cost = {part: (after[part] - before[part]) / points * 1e6 for part in PARTS}
    cost["trainers"] = sum(each["cpu_s"] for each in told) / points * 1e6
    return Outcome(points, logged_s, lag_s, cost)


SUMMARISED = "SELECT sum(n) AS found FROM v_summary WHERE project = {project:String}"
# Verdicts of the runs that were measured on metrics that at least six baselines have.
COMPARED = """
SELECT count() AS found FROM v_verdicts
WHERE project = {project:String} AND metric != '' AND verdict != 'no baseline' AND n >= 6
  AND startsWith(run_id, 'p')
"""


def baselines(stack: Stack, project: str, calls: int) -> list[Logged]:
    """Finished runs of the family, one after the other, with fewer points over the same steps."""
    stride = max(1, calls // BASELINE_CALLS)
    made = []
    for number in range(100, 100 + BASELINES):
        made.append(Logged(f"b{number}", min(calls, BASELINE_CALLS), SCALARS, stride=stride))
        arguments = ["--run", f"b{number}", "--calls", made[-1].calls, "--scalars", SCALARS, "--stride", stride]
        ending(stack.trainer(project, "--process", number, *arguments, "--family", "family", env=NO_SAMPLES))
        judged = "SELECT count() AS found FROM v_verdicts WHERE project = {project:String} AND metric = ''"
        wait_for(stack, judged, project, len(made))
    return made


def wait_for(stack: Stack, count: str, project: str, least: int, timeout_s: float = 180.0) -> None:
    deadline = time.monotonic() + timeout_s
    while (found := stack.client.sql(count, {"project": project}).to_pylist()[0]["found"]) < least:
        if time.monotonic() > deadline:
            raise SystemExit(f"{found} of {least} after {timeout_s:.0f} s: {count}")
        time.sleep(0.5)


def pids(stack: Stack) -> list[int]:
    return [process.pid for part in OURS for process in stack.processes(part)]


def used(stack: Stack) -> dict[str, float]:
    """CPU seconds that each part of the stack has used so far."""
    return {part: cpu_s(process.pid for process in stack.processes(part)) for part in PARTS}


def rows_stored(stack: Stack) -> int:
    """Rows that a query finds: a count that costs ClickHouse nothing. `exactly` looks for doubles afterwards."""
    return int(stack.client.sql("SELECT count() AS found FROM points").to_pylist()[0]["found"])


def ending(trainer: subprocess.Popen[str]) -> dict[str, float]:
    output, _ = trainer.communicate(timeout=600)
    if trainer.returncode != 0:
        raise SystemExit(f"a trainer failed: {output}")
    told: dict[str, float] = json.loads(output.splitlines()[-1])
    return told


def measure(args: argparse.Namespace, detection: str) -> list[Figure]:
    """All runs with detection on or off, and the Kafka engine on what they left in the topic."""
    per_call = args.producers * SCALARS
    shapes = {
        "paced": (int(args.rate * args.seconds) // per_call, args.rate / per_call),
        "flat out": (args.points // per_call, 0.0),
    }
    outcomes: dict[str, list[Outcome]] = {name: [] for name in shapes}
    with running_stack(env={"RUNTIDE_DETECTION": detection}) as stack:
        run(stack, "warm-up", args.producers, WARM_UP_POINTS // per_call, 0, family=False)
        for name, (calls, rate) in shapes.items():
            for number in range(args.repeat):
                project = f"{name.replace(' ', '-')}-{number}"
                found = run(stack, project, args.producers, calls, rate, family=detection == "on")
                outcomes[name].append(found)
                print(f"detection {detection}, {name}, {number + 1} of {args.repeat}: {found}", flush=True)
        points = rows_stored(stack)
        bare = [consume(stack.home / f"bare-{number}", stack.kafka, points) for number in range(args.repeat)]
        for each in bare:
            print(f"the Kafka engine on the same {each.points:,} points: {each}", flush=True)
    figures = [figure for name in shapes for figure in summarise(name, detection, outcomes[name])]
    return figures + beside(detection, outcomes["flat out"], bare)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--producers", type=int, default=4)
    parser.add_argument("--rate", type=int, default=150_000, help="points/s of the paced runs, all trainers together")
    parser.add_argument("--seconds", type=float, default=20, help="how long a paced run logs")
    parser.add_argument("--points", type=int, default=10_000_000, help="points of a flat-out run")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--detection", choices=("off", "on"), help="only so; default: off, then on")
    args = parser.parse_args()
    figures = []
    for detection in [args.detection] if args.detection else ["off", "on"]:
        figures += measure(args, detection)
    report("ingest", figures, as_json=args.json)


def summarise(name: str, detection: str, outcomes: Sequence[Outcome]) -> list[Figure]:
    def figure(what: str, unit: str, values: list[float], budget: float | None = None) -> Figure:
        return Figure.of(f"detection {detection}, {name}: {what}", values, unit, budget)

    points_per_s = [outcome.points_per_s for outcome in outcomes]
    figures = [
        figure("log to queryable", "points/s", points_per_s, 300_000 if name == "flat out" else 100_000),
        figure("behind after the last log", "s", [outcome.lag_s for outcome in outcomes]),
    ]
    for part in ["trainers", *PARTS]:
        costs = [outcome.cpu_s_per_million[part] for outcome in outcomes]
        figures.append(figure(f"CPU of {part} per million points", "s", costs))
    return figures


def beside(detection: str, outcomes: Sequence[Outcome], bare: Sequence[Bare]) -> list[Figure]:
    """Runtide beside the Kafka engine. What is compared is the CPU of all that stands between broker and table."""
    least_s = statistics.median(each.cpu_s_per_million for each in bare)
    ours = [outcome.ours_s for outcome in outcomes]
    name = f"detection {detection}"
    return [
        Figure.of(f"{name}: CPU of worker and clickhouse per million points", ours, "s"),
        Figure.of("Kafka engine: CPU of clickhouse per million points", [e.cpu_s_per_million for e in bare], "s"),
        Figure.of("Kafka engine: first row after", [each.first_row_s for each in bare], "s"),
        Figure.of("Kafka engine: once rows flow", [each.points / each.seconds for each in bare], "points/s"),
        Figure.of(f"{name}: times the Kafka engine's CPU", [each / least_s for each in ours], "x", BUDGETS[detection]),
    ]


if __name__ == "__main__":
    main()
