"""How old is a point when a query first sees it, while other trainers keep the path busy at a steady rate?

A probe logs 20 points a second, each stored with the wall clock of its `log` call. A poller asks ClickHouse every 20 ms
for points of the probe that it has not seen, and takes the clock when the answer is there: the query itself and half a
poll on average are part of the figure.
"""

import argparse
import json
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.report import Figure, report
from runtide_storage.ids import key_id, run_key
from tests.fixtures.stack import Stack, running_stack

SCALARS = 10  # per log call of the busy trainers
PROBES_PER_S = 20
POLL_S = 0.02
WARM_UP_S = 5.0  # not counted: first batches, caches
NEW_POINTS = """
SELECT step, toUnixTimestamp64Milli(ts) AS at_ms FROM points FINAL
WHERE run = {run:UInt64} AND key = {key:UInt64} AND step > {last:Int64} ORDER BY step
"""


@dataclass(frozen=True)
class Freshness:
    p50_s: float
    p99_s: float
    worst_s: float
    query_s: float  # median of the poller's own query, which each age includes
    seen: int

    def __str__(self) -> str:
        return f"p50 {self.p50_s:.3f} s, p99 {self.p99_s:.3f} s, worst {self.worst_s:.3f} s of {self.seen} points"


def run(stack: Stack, project: str, points_per_s: int, seconds: float, producers: int) -> Freshness:
    curve = {"run": run_key(project, "p99"), "key": key_id("m0")}  # by ids, as the query API asks
    rate = points_per_s / producers / SCALARS
    total_s = WARM_UP_S + seconds
    end = stack.home / f"{project}.end"
    busy = ["--calls", 10**9, "--rate", rate, "--scalars", SCALARS, "--until", end, "--finish-timeout", 0]
    trainers = [stack.trainer(project, "--process", number, *busy) for number in range(producers)]
    probe = ["--calls", int(total_s * PROBES_PER_S), "--rate", PROBES_PER_S, "--scalars", 1, "--finish-timeout", 0]
    trainers.append(stack.trainer(project, "--process", 99, *probe))
    try:
        ages: list[float] = []
        queries: list[float] = []
        last = -1
        deadline = time.monotonic() + total_s + 60
        while last < int(total_s * PROBES_PER_S) - 1 and time.monotonic() < deadline:
            asked = time.monotonic()
            rows = stack.client.sql(NEW_POINTS, curve | {"last": last}).to_pylist()
            now = time.time()
            queries.append(time.monotonic() - asked)
            for row in rows:
                last = row["step"]
                if row["step"] >= WARM_UP_S * PROBES_PER_S:
                    ages.append(now - row["at_ms"] / 1000)
            time.sleep(max(0.0, asked + POLL_S - time.monotonic()))
        end.touch()
        for trainer in trainers:
            output, _ = trainer.communicate(timeout=60)
            if trainer.returncode != 0:
                raise SystemExit(f"a trainer failed: {output}")
            told = json.loads(output.splitlines()[-1])
            if told["seconds"] > 1.05 * total_s + 60:
                raise SystemExit(f"a trainer did not keep its pace: {told}")
    finally:
        for trainer in trainers:
            if trainer.poll() is None:
                trainer.kill()
                trainer.communicate()
    if len(ages) < seconds * PROBES_PER_S:
        raise SystemExit(f"only {len(ages)} of {seconds * PROBES_PER_S:.0f} probes were seen")
    p50_s, p99_s = np.quantile(ages, (0.5, 0.99))
    return Freshness(float(p50_s), float(p99_s), max(ages), float(np.median(queries)), len(ages))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--rates", type=int, nargs="+", default=[20_000, 50_000], help="points/s")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--producers", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()

    figures = []
    with running_stack() as stack:
        for rate in args.rates:
            outcomes = []
            for number in range(args.repeat):
                outcomes.append(run(stack, f"rate-{rate}-{number}", rate, args.seconds, args.producers))
                print(f"{rate:,} points/s, {number + 1} of {args.repeat}: {outcomes[-1]}")
            for what, budget in (("p50", 0.5), ("p99", 1.5), ("worst", None)):
                values = [getattr(outcome, f"{what}_s") for outcome in outcomes]
                figures.append(Figure.of(f"log to SELECT at {rate:,} points/s, {what}", values, "s", budget))
            values = [outcome.query_s for outcome in outcomes]
            figures.append(Figure.of(f"the SELECT itself at {rate:,} points/s, p50", values, "s"))
    report("freshness", figures, as_json=args.json)


if __name__ == "__main__":
    main()
