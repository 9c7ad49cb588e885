"""How many regressions are found, how soon, and how many healthy runs are called worse: Runtide beside others.

`--curves DIR` (or RUNTIDE_CURVES) names a folder with cases.py, runs.csv.gz and points.parquet of real curves; without
one they are made up, which is easier. Others are compared if they are installed: pip install "runtide[bench]". Apache
Otava pins an older numpy than the rest can use; beside them it works too: pip install --no-deps apache-otava.

False alarms: the share of healthy runs called worse. Recall and delay (from the onset, as a share of the run): of runs
that are worse by themselves ("natural") and of healthy ones made worse on the way ("injected"); an alarm before the
onset is a miss. All of it on one half of the families. Where others have a threshold it is also moved so that 1 % of
the healthy runs of the other half alarm. The last part watches 100,000 series in one process.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil

from benchmarks.detection_cases import STEPS, Case, Floats, real, synthetic
from benchmarks.detection_peers import Binned, Peer, binned, peers
from benchmarks.report import Figure, report
from runtide_workers.detection import Bank, Baseline, Monitor

BATCH = 50  # points
SERIES, BASELINES = 100_000, 100
ROUNDS = 20  # of one point per series, before and after ten times as many
RATE = 0.01  # of false alarms, to which others are tuned

# What the method that was there before did on the same curves, at its better threshold for each (docs/detection.md).
BUDGETS = {
    "false alarms": 0.58,
    "natural missed": 10.3,
    "natural delay": 8.5,
    "injected missed": 25.2,
    "injected delay": 13.5,
}


@dataclass(frozen=True)
class Outcome:
    """What a detector made of the cases. Percent; a delay is the median of those found, NaN if none was."""

    name: str
    healthy: int
    alarms: int
    recall: dict[str, float]
    delay: dict[str, float]
    us_per_point: float

    @property
    def rate(self) -> float:
        return 100 * self.alarms / max(self.healthy, 1)

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, after E. B. Wilson, JASA 22, 1927."""
        n, z = max(self.healthy, 1), 1.96
        share = self.alarms / n
        middle = (share + z * z / 2 / n) / (1 + z * z / n)
        half = z * np.sqrt(share * (1 - share) / n + z * z / 4 / n / n) / (1 + z * z / n)
        return 100 * max(0.0, middle - half), 100 * (middle + half)


def outcome(name: str, cases: Sequence[Case], alarms: Sequence[float | None], us_per_point: float) -> Outcome:
    """`alarms`: the step of the first one of each case."""
    recall, delay = {}, {}
    for label in ("natural", "injected"):
        pairs = [(case, at) for case, at in zip(cases, alarms, strict=True) if case.label == label]
        found = [100 * (at - case.onset) / case.length for case, at in pairs if at is not None and at >= case.onset]
        recall[label] = 100 * len(found) / max(len(pairs), 1)
        delay[label] = float(np.median(found)) if found else float("nan")
    healthy = [at for case, at in zip(cases, alarms, strict=True) if case.label == "healthy"]
    return Outcome(name, len(healthy), sum(at is not None for at in healthy), recall, delay, us_per_point)


Item = TypeVar("Item")


def shown(items: Sequence[Item], what: str) -> Iterator[Item]:
    """Says how far it is, every five seconds."""
    began = said = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - said > 5:
            said = time.monotonic()
            print(f"  {what}: {done:,} of {len(items):,}, {said - began:.0f} s", file=sys.stderr, flush=True)
        yield item


@dataclass(frozen=True)
class Watched:
    """What Runtide made of one case."""

    baseline: Baseline
    alarm: float | None
    fit_ms: float
    us_per_point: float


def watch(case: Case) -> Watched:
    """In batches, as it comes in live."""
    began = time.perf_counter()
    baseline = case.fit()
    fitted = time.perf_counter()
    monitor, found = Monitor(baseline), []
    for at in range(0, len(case.steps), BATCH):
        found += monitor.update(case.steps[at : at + BATCH], case.values[at : at + BATCH])
    found += monitor.finish()
    spent_s = time.perf_counter() - fitted
    alarm = min((alert.step for alert in found if alert.severity == "page"), default=None)
    return Watched(baseline, alarm, (fitted - began) * 1e3, spent_s / len(case.steps) * 1e6)


def run_peer(peer: Peer, cases: Sequence[Case], runs: Sequence[Binned]) -> list[Outcome]:
    """On the half that isn't for tuning; with its own threshold and, if it has one, with a tuned one."""
    scores, spent, points = [], 0.0, 0
    for case, run in zip(shown(cases, peer.name), runs, strict=True):
        began = time.perf_counter()
        scores.append(peer.score(run) if len(run.steps) else np.zeros(0))
        spent += time.perf_counter() - began
        points += len(case.steps)
    tests = [index for index, case in enumerate(cases) if not case.cal]

    def at(threshold: float, name: str) -> Outcome:
        alarms = [first(scores[index], runs[index].steps, threshold) for index in tests]
        return outcome(name, [cases[index] for index in tests], alarms, spent / points * 1e6)

    found = [at(peer.threshold, f"{peer.name}, as it is")]
    if peer.tunable:
        highest = [
            max(score.tolist(), default=0.0)
            for case, score in zip(cases, scores, strict=True)
            if case.cal and case.label == "healthy"
        ]
        found.append(at(float(np.quantile(highest, 1 - RATE, method="higher")), f"{peer.name}, tuned to 1 %"))
    return found


def first(score: Floats, steps: Floats, threshold: float) -> float | None:
    (above,) = np.nonzero(score > threshold)
    return float(steps[above[0]]) if len(above) else None


def measure_scale() -> list[Figure]:
    """100,000 series of 100 families in one bank: memory, and CPU per point now and after ten times as many steps."""
    rng = np.random.default_rng(1)
    steps = np.linspace(0, STEPS, 1000).round()

    def loss(at: Floats) -> Floats:
        level: Floats = 4 * (at / STEPS + 0.01) ** -0.2 * np.exp(rng.normal(0, 0.02, len(at)))
        return level

    families = [Baseline.fit([(steps, loss(steps)) for _ in range(12)]) for _ in range(BASELINES)]
    before = psutil.Process().memory_info().rss
    bank = Bank()
    slots = np.array([bank.add(families[index % BASELINES]) for index in range(SERIES)])

    def spend(batches: Sequence[tuple[Floats, Floats, Floats]]) -> float:
        began = time.process_time()
        for slot, at, value in batches:
            bank.update(slot, at, value)
        return (time.process_time() - began) / sum(len(slot) for slot, _, _ in batches) * 1e6

    def one_each(begin: float) -> list[tuple[Floats, Floats, Floats]]:
        rounds = [np.full(SERIES, begin + each * 4.0) for each in range(ROUNDS)]
        return [(slots, at, loss(at)) for at in rounds]

    early = spend(one_each(400))
    for at in shown(range(480, 5000, 40), f"{SERIES:,} series"):
        bank.update(slots, np.full(SERIES, at), loss(np.full(SERIES, float(at))))
    late = spend(one_each(5000))
    held = psutil.Process().memory_info().rss - before
    bank.drop(slots[1:])
    long = np.linspace(5200, STEPS, 200_000).round()
    single = spend([(np.full(1000, slots[0]), part, loss(part)) for part in np.split(long, 200)])
    return [
        Figure(f"memory of {SERIES:,} series", held / 1e6, "MB"),
        Figure("a point for each of them: CPU", early, "us/point", 1.0),
        Figure("likewise, after 10 times as many steps", late, "us/point", 1.0),
        Figure("1,000 points of one series: CPU", single, "us/point", 1.0),
    ]


def figures_of(ours: Outcome, fit_ms: float, budgets: dict[str, float]) -> list[Figure]:
    low, high = ours.interval
    found = [Figure("false alarms per 100 healthy runs", ours.rate, "%", budgets.get("false alarms", 1.0), low, high)]
    for label in ("natural", "injected"):
        missed = 100 - ours.recall[label]
        found.append(Figure(f"{label} regressions missed", missed, "%", budgets.get(f"{label} missed")))
        name = f"{label} regressions: median delay"
        found.append(Figure(name, ours.delay[label], "% of the run", budgets.get(f"{label} delay")))
    return [
        *found,
        Figure("fit a baseline", fit_ms, "ms"),
        Figure(f"one series in batches of {BATCH}: time", ours.us_per_point, "us/point"),
    ]


def compare(outcomes: Sequence[Outcome], show: Callable[[str], None] = print) -> None:
    width = max(len(each.name) for each in outcomes)
    show(f"\n{'':{width}}  false alarms       natural @ delay    injected @ delay  us/point")
    for each in outcomes:
        low, high = each.interval
        rates = f"{each.rate:5.2f} % ({low:.2f}-{high:.2f})"
        found = "  ".join(f"{each.recall[label]:7.1f} % @ {each.delay[label]:4.1f} %" for label in each.recall)
        show(f"{each.name:{width}}  {rates:19}{found}  {each.us_per_point:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--curves", type=Path, default=os.environ.get("RUNTIDE_CURVES") or None)
    parser.add_argument("--fraction", type=float, default=0.2, help="of the cases")
    args = parser.parse_args()
    cases = real(Path(args.curves), args.fraction) if args.curves else synthetic(args.fraction)
    print(f"{len(cases):,} {'real' if args.curves else 'made-up'} cases, half of them for tuning the others")

    watched = [watch(case) for case in shown(cases, "Runtide")]
    tests = [(case, each) for case, each in zip(cases, watched, strict=True) if not case.cal]
    us_per_point = float(np.median([each.us_per_point for _, each in tests]))
    ours = outcome("Runtide", [case for case, _ in tests], [each.alarm for _, each in tests], us_per_point)
    runs = [binned(case, each.baseline) for case, each in zip(cases, watched, strict=True)]
    outcomes = [ours, *(found for peer in peers() for found in run_peer(peer, cases, runs))]
    compare(outcomes)
    fit_ms = float(np.median([each.fit_ms for each in watched]))
    figures = figures_of(ours, fit_ms, BUDGETS if args.curves else {}) + measure_scale()
    for each in outcomes[1:]:
        figures.append(Figure(f"{each.name}: false alarms", each.rate, "%", None, *each.interval))
        figures += [Figure(f"{each.name}: {label} found", share, "%") for label, share in each.recall.items()]
    report("detection", figures, as_json=args.json)


if __name__ == "__main__":
    main()
