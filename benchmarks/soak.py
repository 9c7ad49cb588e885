"""A day's volume through the whole stack in an hour: does anything grow, leak, fall behind or get lost?

`--producers` trainers log `--rate` points/s all the time. Beside them `--lanes` processes each make short runs one
after the other, of which every 40th gets worse (detection finds it and a webhook is told) and every 25th is killed with
its process. A reader asks for runs, curves and comparisons about once a second, and one browser's worth of questions
comes from an open Live page. 30,000 points/s for 65 minutes are what 1,350 points/s make in 24 hours.

Every 10 s each process is measured; `--out` keeps the samples as CSV. At the end every point is compared.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Self

import numpy as np

from benchmarks import soak_runs
from benchmarks.report import Figure, report
from benchmarks.sessions import Session, Sessions
from benchmarks.soak_samples import Row, Sampler, slope_per_h
from runtide_storage import Client, Result
from runtide_storage.errors import StorageError
from runtide_storage.ids import key_id, run_key
from tests.fixtures.stack import Stack, running_stack
from tests.fixtures.waiting import wait_until
from tests.fixtures.webhook import webhook

SCALARS = 10  # per log call of the long-lived trainers
RUNS_PER_PROCESS = 25
LANE = 100_003  # run numbers of one lane of short runs: a round one would make equal runs of the same turn
RUNS_PER_QUERY = 500
WARM_UP_PART = 0.25  # of a process's life is not judged
LIFE_SAMPLES_MIN = 30  # shorter lives say nothing about growth
LAG_S_MAX = 120.0  # to empty the broker stops storing for some 20 s; others on the machine may make it more
LAG_GROWTH_S_PER_H = 10.0
# MiB that the memory of its own (USS) of a process may grow in an hour, which has a day's volume.
GROWTH_MIB_PER_H = {
    "trainer": 4.0, "shipper": 8.0, "supervisor": 4.0, "worker": 32.0, "dashboard": 32.0, "clickhouse": 256.0,
}  # fmt: skip
FDS_GROWTH_MAX = 8.0  # between the medians of the first and the last quarter of what is judged; ClickHouse: parts
LONG = """
SELECT count() AS points, uniqExact(key, step) AS places, max(step) AS last,
    countIf(value != (({process:Int64} * 1000003 + step * 1009 + metric * 17) % 1000000) / 1000) AS wrong
FROM (SELECT key, step, value, toInt64(indexOf({keys:Array(UInt64)}, key)) - 1 AS metric
      FROM points FINAL WHERE run = {run:UInt64} AND key IN {keys:Array(UInt64)})
"""
SHORT = """
SELECT number, count() AS points, uniqExact(key, step) AS places, countIf(WRONG) AS wrong
FROM (SELECT transform(run, {runs:Array(UInt64)}, {numbers:Array(Int64)}, toInt64(-1)) AS number, key, step, value,
          toInt64(indexOf({keys:Array(UInt64)}, key)) - 1 AS metric
      FROM points FINAL WHERE run IN {runs:Array(UInt64)} AND key IN {keys:Array(UInt64)})
GROUP BY number
""".replace("WRONG", soak_runs.WRONG)
PAGES = "SELECT DISTINCT run_id FROM v_alerts WHERE project = 'short' AND severity = 'page'"
STATES = "SELECT state, count() AS n FROM v_runs WHERE project = 'short' GROUP BY state"


class Lanes:
    """Processes that make short runs, a new one whenever one is killed in its last run, until `end` exists."""

    def __init__(self, stack: Stack, lanes: int, end: Path) -> None:
        self.calls: dict[int, int] = {}  # run number -> how many log calls returned
        self.killed = 0
        self.failures: list[str] = []
        self._stack, self._end = stack, end
        self._pool = ThreadPoolExecutor(lanes)
        self._lanes = [self._pool.submit(self._lane, number) for number in range(lanes)]

    def _lane(self, lane: int) -> None:
        first = lane * LANE
        while not self._end.exists():
            process = self._stack.python(
                "-m", "benchmarks.soak_runs", "--project", "short", "--first", str(first),
                "--runs", str(RUNS_PER_PROCESS), "--kill-last", "--until", str(self._end),
            )  # fmt: skip
            output, _ = process.communicate()
            told = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
            self.calls |= {run["number"]: run["calls"] for run in told}
            if process.returncode == -9:
                self.killed += 1
            elif process.returncode != 0:
                self.failures.append(output)
            first += RUNS_PER_PROCESS

    def join(self) -> None:
        for lane in self._lanes:
            lane.result()
        self._pool.shutdown()


class Reader:
    """Asks what people ask, about once a second, for the time of a `with`."""

    def __init__(self, url: str, long_runs: int) -> None:
        self.took_s: dict[str, list[float]] = {"runs": [], "history": [], "compare": []}
        self.failures: list[str] = []
        self._client = Client(url)
        self._long_runs = long_runs
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        turn = 0
        while not self._end.wait(1.0):
            turn += 1
            try:
                recent = self._timed("runs", self._client.runs, project="short", limit=20).to_pylist()
                refs = [f"short/{run['run_id']}" for run in recent]
                self._timed("history", self._client.history, f"long/p{turn % self._long_runs}", ["m0", "m1"])
                if len(refs) > 5:
                    self._timed("history", self._client.history, refs[:10], "loss")
                    self._timed("compare", self._client.compare, refs[:2], baseline=refs[2:], metrics="loss")
            except StorageError as error:  # counted: it goes on asking
                self.failures.append(f"{type(error).__name__}: {error}")

    def _timed(self, what: str, ask: Callable[..., Result], *arguments: object, **options: object) -> Result:
        began = time.perf_counter()
        answer = ask(*arguments, **options)
        self.took_s[what].append(time.perf_counter() - began)
        return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--minutes", type=float, default=65)
    parser.add_argument("--rate", type=int, default=30_000, help="points/s of the long-lived trainers together")
    parser.add_argument("--producers", type=int, default=20, help="long-lived trainers")
    parser.add_argument("--lanes", type=int, default=4, help="processes that make a short run each 4 s")
    parser.add_argument("--broker-memory", type=float, default=1.25, help="GiB; then the broker is emptied (recycled)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the samples; it is made")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    with webhook() as hook:
        alerts = f'[[notify]]\nurl = "{hook.url}"\nproject = "short"'
        with running_stack(alerts=alerts, options=("--broker-memory", str(args.broker_memory))) as stack:
            figures = soak(stack, args)
            figures.append(Figure("webhooks told of alerts", len(hook.received), "messages"))
            (args.out / "supervisor.log").write_text((stack.home / "logs" / "supervisor.log").read_text())
    report("soak", figures, as_json=args.json)


def soak(stack: Stack, args: argparse.Namespace) -> list[Figure]:
    end, began = stack.home / "end", time.monotonic()
    shape = ["--calls", 10**9, "--rate", args.rate / args.producers / SCALARS, "--scalars", SCALARS, "--until", end]
    long_lived = [
        stack.trainer("long", "--process", number, *shape, "--finish-timeout", 0) for number in range(args.producers)
    ]
    wait_until(lambda: stack.client.count("long") == args.producers, 120, or_else="not all trainers have begun")
    lanes = Lanes(stack, args.lanes, end)
    try:
        with (
            Sampler(stack, {"trainer": long_lived[0].pid}, args.out) as sampler,
            Reader(stack.described()["clickhouse_reader"], args.producers) as reader,
            open_page(stack) as page,
        ):
            until = began + args.minutes * 60
            while time.monotonic() < until:
                time.sleep(min(5.0, max(until - time.monotonic(), 0)))
                sampler.check()
                if any(trainer.poll() is not None for trainer in long_lived):
                    raise SystemExit("a trainer has ended early")
            end.touch()
            logged_s = time.monotonic() - began
            calls = [ending(trainer) for trainer in long_lived]
            lanes.join()
            wait_until(lambda: settled(sampler), 300, or_else="the path does not become empty")
    finally:
        end.touch()
        for trainer in long_lived:
            trainer.kill()
            trainer.communicate()
    lost, points = compare_long(stack, calls)
    short_lost, short_points = compare_short(stack, lanes.calls)
    states = {row["state"]: row["n"] for row in stack.client.sql(STATES).to_pylist()}
    print(f"short runs by state: {states}", *lanes.failures[:3], sep="\n")
    total = points + short_points
    return [
        Figure("points", total, f"points in {logged_s / 60:.1f} min"),
        Figure("... as a day's steady rate", total / 86_400, "points a second"),
        Figure("points lost, doubled or changed", lost + short_lost, "points", 0.0),
        Figure("short runs", len(lanes.calls), "runs"),
        Figure("... stored", sum(states.values()), "runs"),
        Figure("... whose process was killed", lanes.killed, "runs"),
        Figure("processes that failed", len(lanes.failures), "processes", 0),
        *found_worse(stack, lanes.calls),
        *of_path(sampler.path),
        *of_processes(sampler.processes, args.broker_memory),
        Figure("recycles of the broker", lives(sampler.processes, "broker") - 1, "times"),
        *of_reader(reader),
        Figure("refreshes of the open page", page.refreshed, "times"),
    ]


@contextmanager
def open_page(stack: Stack) -> Iterator[Session]:
    """A browser's worth of questions. Where it breaks off, its refreshes tell so, and the soak goes on."""
    try:
        with Sessions(stack.described()["dashboard"], [("live", "project=short")]) as sessions:
            yield sessions.open[0]
    except SystemExit as error:
        print(error, file=sys.stderr)


def ending(trainer: subprocess.Popen[str]) -> int:
    output, _ = trainer.communicate(timeout=120)
    if trainer.returncode != 0:
        raise SystemExit(f"a trainer failed: {output}")
    return int(json.loads(output.splitlines()[-1])["calls"])


def settled(sampler: Sampler) -> bool:
    """Is the newest sample of an empty path?"""
    newest = sampler.path[-1]
    return newest["worker_lag"] == 0 and newest["shipper_unconfirmed_bytes"] == 0


def compare_long(stack: Stack, calls: list[int]) -> tuple[int, int]:
    """Points lost, doubled or changed, and logged, of the long-lived trainers."""
    bad = 0
    keys = [key_id(f"m{metric}") for metric in range(SCALARS)]
    for process, count in enumerate(calls):
        given = {"run": run_key("long", f"p{process}"), "keys": keys, "process": process}
        found = stack.client.sql(LONG, given).to_pylist()[0]
        bad += abs(count * SCALARS - found["places"]) + found["points"] - found["places"] + found["wrong"]
    return bad, sum(calls) * SCALARS


def compare_short(stack: Stack, calls: dict[int, int]) -> tuple[int, int]:
    """The same of the short runs."""
    names = [*(f"m{metric}" for metric in range(soak_runs.SCALARS)), "loss"]
    found: dict[int, dict[str, int]] = {}
    for some in batched(sorted(calls), RUNS_PER_QUERY):
        given = {"runs": [run_key("short", f"s{number}") for number in some], "numbers": some}
        rows = stack.client.sql(SHORT, given | {"keys": [key_id(name) for name in names]}).to_pylist()
        found |= {row.pop("number"): row for row in rows}
    bad = sum(row["points"] - row["places"] + row["wrong"] for row in found.values())
    for number, count in calls.items():
        bad += abs(count * len(names) - found.get(number, {"places": 0})["places"])
    return bad, sum(calls.values()) * len(names)


def batched(numbers: list[int], size: int) -> Iterator[list[int]]:
    for first in range(0, len(numbers), size):
        yield numbers[first : first + size]


def found_worse(stack: Stack, calls: dict[int, int]) -> list[Figure]:
    paged = {int(row["run_id"][1:]) for row in stack.client.sql(PAGES).to_pylist()}
    worse = {number for number, count in calls.items() if soak_runs.gets_worse(number) and count == soak_runs.STEPS}
    return [
        Figure("runs that got worse, found", len(paged & worse), f"of {len(worse)}"),
        Figure("other runs that were paged", len(paged - worse), f"of {len(calls) - len(worse)}"),
    ]


def of_path(path: list[Row]) -> list[Figure]:
    def column(name: str) -> list[float]:
        return [float(row[name]) for row in path if row[name] != ""]

    figures = []
    for name, what, unit, budget in (
        ("worker_lag", "messages not stored yet", "messages", None),
        ("worker_freshness_s", "age of the oldest message of a batch when stored", "s", LAG_S_MAX),
        ("shipper_lag_s", "oldest byte that Kafka does not have", "s", None),
        ("shipper_backlog_bytes", "bytes that Kafka does not have", "B", None),
        ("journal_mib", "journals on disk", "MiB", None),
        ("journal_files", "files in the journals' folder", "files", None),
        ("parts_of_one_table", "folders of the fullest table, parts and merged ones", "folders", None),
        ("logs_mib", "logs", "MiB", None),
    ):
        values = column(name)
        p50, p99 = np.quantile(values, (0.5, 0.99)).tolist()
        figures.append(Figure(f"{what}, p99", p99, unit, None, p50, max(values)))
        figures.append(Figure(f"{what}, most", max(values), unit, budget))
    later = path[int(len(path) * WARM_UP_PART) :]
    later = [row for row in later if row["worker_freshness_s"] != ""]
    grown = slope_per_h([float(row["at_s"]) for row in later], [float(row["worker_freshness_s"]) for row in later])
    figures.append(Figure("growth of that age", grown, "s/hour", LAG_GROWTH_S_PER_H))
    figures.append(Figure("load of the machine, median", float(np.median(column("load"))), "processes"))
    figures.append(Figure("ClickHouse's files in the end", column("stored_mib")[-1], "MiB"))
    figures.append(Figure("dead letters", max(column("worker_dead_letters")), "lines", 0))
    return figures


def lives(rows: list[Row], part: str) -> int:
    return len({row["pid"] for row in rows if row["part"] == part})


def of_processes(rows: list[Row], broker_gib: float) -> list[Figure]:
    figures = []
    for part, found in groupby(sorted(rows, key=lambda row: str(row["part"])), lambda row: str(row["part"])):
        samples = list(found)
        for each in samples:
            each["at_s"] = float(each["at_s"])
        memory = [float(row["rss_mib"]) for row in samples]
        ceiling = broker_gib * 1024 * 1.25 if part == "broker" else None
        figures.append(Figure(f"{part}: resident memory, most", max(memory), "MiB", ceiling))
        longest = max(
            ([row for row in samples if row["pid"] == pid] for pid in {row["pid"] for row in samples}), key=len
        )
        judged = longest[int(len(longest) * WARM_UP_PART) :]
        if part != "broker" and len(longest) >= LIFE_SAMPLES_MIN:
            at_s = [float(row["at_s"]) for row in judged]
            grown = slope_per_h(at_s, [float(row["uss_mib"]) for row in judged])
            figures.append(Figure(f"{part}: growth of its own memory", grown, "MiB/h", GROWTH_MIB_PER_H[part]))
        fds = [float(row["fds"]) for row in judged]
        quarter = max(len(fds) // 4, 1)
        opened = float(np.median(fds[-quarter:]) - np.median(fds[:quarter]))
        figures.append(Figure(f"{part}: open files, most", max(fds), "fds", None, min(fds), max(fds)))
        figures.append(
            Figure(f"{part}: growth of open files", opened, "fds", None if part == "clickhouse" else FDS_GROWTH_MAX)
        )
        figures.append(Figure(f"{part}: threads, most", max(float(row["threads"]) for row in samples), "threads"))
    return figures


def of_reader(reader: Reader) -> list[Figure]:
    figures = []
    for what, took_s in reader.took_s.items():
        p50, p99 = np.quantile(took_s, (0.5, 0.99)).tolist()
        figures.append(Figure(f"reader: {what}, p50", p50 * 1000, "ms", None, min(took_s) * 1000, max(took_s) * 1000))
        figures.append(Figure(f"reader: {what}, p99", p99 * 1000, "ms"))
    print("\n".join(reader.failures[:5]), file=sys.stderr)
    figures.append(Figure("reader: questions that failed", len(reader.failures), "questions", 0))
    return figures


if __name__ == "__main__":
    main()
