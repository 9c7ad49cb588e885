"""1,000 training processes at the same time on one machine, through one shipper and one worker; every value is checked.

They are started a few at a time, wait until all are there, and then log `--calls` calls of `--scalars` scalars each,
`--rate` calls a second each (0: as fast as they can). A process of its own for each, with the SDK as it is by default.
"""

import argparse
import json
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.report import Figure, report
from benchmarks.soak_samples import MIB, Row, Sampler
from tests.fixtures.expect import Logged, exactly, stored
from tests.fixtures.stack import Stack, running_stack
from tests.fixtures.waiting import wait_until

STARTING_MAX = 24  # processes that begin at a time: more would only take the processor from each other
LOOK_S = 0.25  # between two looks at how many have begun, which cost ClickHouse something
OPEN_FILES = 512  # besides the pipe from each process
PARTS = ("shipper", "worker", "clickhouse", "broker", "supervisor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--processes", type=int, default=1_000)
    parser.add_argument("--calls", type=int, default=120)
    parser.add_argument("--scalars", type=int, default=10)
    parser.add_argument("--rate", type=float, default=1, help="calls a second of each process; 0: flat out")
    args = parser.parse_args()
    allow_open_files(args.processes + OPEN_FILES)
    with running_stack() as stack, tempfile.TemporaryDirectory(prefix="runtide-load-") as folder:
        trainers: list[subprocess.Popen[str]] = []
        try:
            figures = load(stack, args, trainers, Path(folder))
        finally:
            for trainer in trainers:
                trainer.kill()
                trainer.communicate()
    report("load", figures, as_json=args.json)


def load(stack: Stack, args: argparse.Namespace, trainers: list[subprocess.Popen[str]], folder: Path) -> list[Figure]:
    go, began = stack.home / "go", time.perf_counter()
    arguments = ["--calls", args.calls, "--scalars", args.scalars, "--rate", args.rate, "--wait-for", go]
    there = 0
    for number in range(args.processes):
        trainers.append(stack.trainer("load", "--process", number, *arguments))
        while number - there >= STARTING_MAX:
            there = stack.client.count("load")
            time.sleep(LOOK_S)
    wait_until(lambda: stack.client.count("load") == args.processes, 600, or_else="not all processes have begun")
    ready_s = time.perf_counter() - began
    print(f"{args.processes} processes are there after {ready_s:.1f} s")
    ended = [trainer.poll() for trainer in trainers if trainer.poll() is not None]
    if ended:
        raise SystemExit(f"{len(ended)} processes have ended before the first log call, with {set(ended)}")
    memory = [psutil.Process(trainer.pid).memory_full_info() for trainer in trainers]
    fds = [psutil.Process(trainer.pid).num_fds() for trainer in trainers]
    shippers = {process.pid for process in stack.processes("shipper")}

    with Sampler(stack, {"trainer": trainers[0].pid}, folder, every_s=2.0) as sampler:
        began = time.perf_counter()
        go.touch()
        told = []
        for trainer in trainers:
            output, _ = trainer.communicate(timeout=600 + args.calls / (args.rate or args.calls))
            if trainer.returncode != 0:
                raise SystemExit(f"a trainer failed: {output}")
            told.append(json.loads(output.splitlines()[-1]))
        logged_s = time.perf_counter() - began
        shippers |= {process.pid for process in stack.processes("shipper")}
        # Raises unless every point is there, once, with the value that was logged.
        exactly(stack.client, "load", [Logged(f"p{n}", args.calls, args.scalars) for n in range(args.processes)], 600)
        stored_s = time.perf_counter() - began
    points = args.processes * args.calls * args.scalars
    found = stored(stack.client, "load").values()
    kept = sum(run["places"] for run in found)
    twice = sum(run["points"] - run["places"] for run in found)
    changed = sum(run["wrong"] for run in found)
    print(f"{kept:,} of {points:,} points stored, {twice} twice, {changed} with another value")
    return [
        Figure("processes at the same time", args.processes, "processes"),
        Figure("points lost, doubled or changed", points - kept + twice + changed, "points", 0),
        Figure("shippers that served them", len(shippers), "processes", 1),
        Figure("until all were there", ready_s, "s"),
        Figure.of("slowest process, all its log calls", [max(each["seconds"] for each in told)], "s"),
        Figure("until the last process had ended", logged_s, "s"),
        Figure("until every point was stored and compared", stored_s, "s"),
        Figure.of("CPU of a process, start to end", [each["cpu_s"] for each in told], "s"),
        Figure.of("memory of its own of a process (USS)", [each.uss / MIB for each in memory], "MiB"),
        Figure.of("resident memory of a process", [each.rss / MIB for each in memory], "MiB"),
        Figure("memory of all processes (PSS)", sum(each.pss for each in memory) / MIB, "MiB"),
        Figure("open files of a process, most", max(fds), "fds"),
        *of_samples(sampler),
    ]


def of_samples(sampler: Sampler) -> list[Figure]:
    """What the parts needed meanwhile, and how far they fell behind."""

    def most(rows: list[Row], name: str) -> float:
        return max((float(row[name]) for row in rows if row[name] != ""), default=0.0)

    figures = [
        Figure("messages not stored yet, most", most(sampler.path, "worker_lag"), "messages"),
        Figure("age of the oldest of a batch when stored, most", most(sampler.path, "worker_freshness_s"), "s"),
        Figure("oldest byte that Kafka does not have, most", most(sampler.path, "shipper_lag_s"), "s"),
        Figure("journals on disk, most", most(sampler.path, "journal_mib"), "MiB"),
    ]
    for part in PARTS:
        rows = [row for row in sampler.processes if row["part"] == part]
        used = [float(row["cpu_s"]) for row in rows]
        figures += [
            Figure(f"{part}: resident memory, most", most(rows, "rss_mib"), "MiB"),
            Figure(f"{part}: open files, most", most(rows, "fds"), "fds"),
            Figure(f"{part}: CPU", max(used) - min(used), "s"),
        ]
    return figures


def allow_open_files(wanted: int) -> None:
    """A pipe per process is more than the 1,024 that many systems allow at first. Exits if the hard limit is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SystemExit(
            f"{wanted} open files are needed and {hard} allowed: raise it (ulimit -Hn), or fewer --processes"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    main()
