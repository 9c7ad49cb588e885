"""200 training processes at the same time, 500 log calls of 10 scalars each; every value is checked in SQL."""

import argparse
import json
import time

from benchmarks.report import Figure, report
from tests.fixtures.expect import Logged, exactly, stored
from tests.fixtures.stack import running_stack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--processes", type=int, default=200)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--scalars", type=int, default=10)
    args = parser.parse_args()

    points = args.processes * args.calls * args.scalars
    with running_stack() as stack:
        go, began = stack.home / "go", time.perf_counter()
        arguments = ["--calls", args.calls, "--scalars", args.scalars, "--wait-for", go]
        trainers = [stack.trainer("load", "--process", number, *arguments) for number in range(args.processes)]
        while len(stack.client.runs(project="load", limit=10_000).to_pylist()) < args.processes:
            time.sleep(0.2)
        ready_s = time.perf_counter() - began
        print(f"{args.processes} processes are up after {ready_s:.1f} s")
        began = time.perf_counter()
        go.touch()
        slowest_s = 0.0
        for trainer in trainers:
            output, _ = trainer.communicate(timeout=600)
            if trainer.returncode != 0:
                raise SystemExit(f"a trainer failed: {output}")
            slowest_s = max(slowest_s, json.loads(output.splitlines()[-1])["seconds"])
        # Raises unless every point is there, once, with the value that was logged.
        exactly(stack.client, "load", [Logged(f"p{n}", args.calls, args.scalars) for n in range(args.processes)], 300)
        stored_s = time.perf_counter() - began
        found = stored(stack.client, "load").values()
    kept, twice, changed = (
        sum(run["places"] for run in found),
        sum(run["points"] - run["places"] for run in found),
        sum(run["wrong"] for run in found),
    )
    print(f"{kept:,} of {points:,} points stored, {twice} twice, {changed} with another value")
    figures = [
        Figure.of("processes at the same time", [float(args.processes)], "processes", None),
        Figure.of("points lost, doubled or changed", [float(points - kept + twice + changed)], "points", 0.0),
        Figure.of("slowest process, all its log calls", [slowest_s], "s", None),
        Figure.of("from the first log to all checked", [stored_s], "s", None),
    ]
    report("load", figures, as_json=args.json)


if __name__ == "__main__":
    main()
