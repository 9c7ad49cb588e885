"""Kills and stops every part of the path under steady load, and counts what is lost, doubled, changed or told wrongly.

    python -m benchmarks.faults --seed 6 --faults 200
    python -m benchmarks.faults --faults 10 --rebalance-s 0 --outage-s 0     # a short one

Fifty training processes, three brokers of Apache Kafka, two workers, ClickHouse. docs/faults.md says what is counted.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fault_ledger import Exactness, Telling, posts, published
from benchmarks.fault_plan import Fault, schedule
from benchmarks.fault_stage import Stage, stage
from benchmarks.report import Figure, machine, report, versions

CHANGE_S = 10.0  # between two changes of the number of workers
TELL_S = 120.0  # until all that must be told is


@dataclass
class Survived:
    """What one fault did: seconds until all was stored again, counted from the kill or from the end of the stop."""

    fault: Fault
    recovery_s: float
    found: Exactness
    repeated: int  # alerts that the webhook was told of again meanwhile


@dataclass
class Phase:
    """What was found after one phase."""

    name: str
    points: Exactness
    alerts: Telling
    recovery_s: list[float] = field(default_factory=list)


@dataclass
class Outcome:
    """All of it. `bad`: how many things are not as they must be."""

    survived: list[Survived] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    worker_exits: int = 0
    processes: int = 0
    seconds: float = 0.0

    @property
    def bad(self) -> int:
        along = sum(each.found.bad for each in self.survived)
        return along + sum(phase.points.bad + phase.alerts.bad for phase in self.phases)


Say = Callable[[str], None]


def campaign(
    home: Path,
    say: Say,
    *,
    seed: int,
    faults: int,
    stop_s_max: float = 20.0,
    rebalance_s: float = 180.0,
    outage_s: float = 600.0,
    slots: int = 50,
    families: int = 10,
    calls_per_s: float = 4.0,
    lag_s_max: float = 2.0,
    outcome: Outcome | None = None,
) -> Outcome:
    """Run it in `home`. Raises AssertionError if something does not recover; `outcome` has what was till then."""
    outcome, began = outcome or Outcome(), time.monotonic()
    with stage(home, slots=slots, families=families, calls_per_s=calls_per_s, seed=seed, lag_s_max=lag_s_max) as made:
        made.recovered(time.monotonic())
        say(f"{slots} processes are up after {time.monotonic() - began:.0f} s; seed {seed}")
        if faults:
            for number, fault in enumerate(schedule(seed, faults, stop_s_max), 1):
                outcome.survived.append(_survive(made, fault, f"{number}/{faults}", say))
            outcome.phases.append(
                _checked(made, "kills and stops", [each.recovery_s for each in outcome.survived], say)
            )
        if rebalance_s:
            times = _rebalance(made, rebalance_s, random.Random(seed), say)
            outcome.phases.append(_checked(made, "workers added and removed", times, say))
        if outage_s:
            outcome.phases.append(_checked(made, "all brokers down", [_outage(made, outage_s, say)], say))
        outcome.phases.append(_ended(made, say))
        outcome.worker_exits, outcome.processes = made.worker_exits, len(made.producers.all)
    outcome.seconds = time.monotonic() - began
    return outcome


def _survive(made: Stage, fault: Fault, which: str, say: Say) -> Survived:
    _, before = posts(made.webhook.bodies)
    over = made.harm(fault)
    recovery_s, (_, calls) = made.recovered(over)
    made.whole()
    found = made.exact(lambda: made.ledger.news(calls))
    made.ledger.looked_at(calls)
    repeated = posts(made.webhook.bodies)[1] - before
    again = f"; {repeated} alerts told again" if repeated else ""
    say(f"{which} {fault}: recovered in {recovery_s:.1f} s; {found}{again}")
    return Survived(fault, recovery_s, found, repeated)


def _rebalance(made: Stage, seconds: float, chance: random.Random, say: Say) -> list[float]:
    """Seconds until the lag was small again after each change."""
    times: list[float] = []
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        changed = time.monotonic()
        if len(made.workers) < 4 and (len(made.workers) == 1 or chance.random() < 0.5):
            made.add_worker()
        else:
            made.remove_worker(chance.random())
        recovery_s, _ = made.recovered(changed)
        times.append(recovery_s)
        say(f"rebalance {len(times)}: {len(made.workers)} workers, recovered in {recovery_s:.1f} s")
        made.pause(max(0.0, changed + CHANGE_S - time.monotonic()))
    made.whole()
    return times


def _outage(made: Stage, seconds: float, say: Say) -> float:
    for node in made.kafka.nodes:
        node.kill()
    began = time.monotonic()
    while (left := began + seconds - time.monotonic()) > 0:
        say(f"all brokers are down, {left:.0f} s to go")
        made.pause(min(left, 30.0))
    for node in made.kafka.nodes:
        node.start()
    recovery_s, _ = made.recovered(time.monotonic(), 600.0)
    made.whole()
    say(f"all brokers were down for {seconds:.0f} s: recovered in {recovery_s:.1f} s")
    return recovery_s


def _checked(made: Stage, name: str, times: list[float], say: Say) -> Phase:
    """Look at every point and alert so far."""
    calls = {each.number: (each, each.accepted()) for each in made.producers.all}
    made.recovered(time.monotonic())
    points = made.exact(lambda: made.ledger.everything(calls))
    phase = Phase(name, points, _told(made, set(calls)), times)
    say(f"after {name}: {points}; {phase.alerts}")
    return phase


def _ended(made: Stage, say: Say) -> Phase:
    """Let all trainers end, and look again: exactly that must be there."""
    made.producers.finish()
    deadline = time.monotonic() + 180
    while made.producers.alive and time.monotonic() < deadline:
        made.pause(0.5)
    assert not made.producers.alive, f"{len(made.producers.alive)} trainers did not end"
    calls = {each.number: (each, each.accepted()) for each in made.producers.all}
    points = made.exact(lambda: made.ledger.everything(calls, ended=True))
    phase = Phase("the end", points, _told(made, set(calls)))
    pages = published(made.services)
    say(f"at the end: {points}; {phase.alerts}; {len(pages)} pages in the topic, in {pages.total()} messages")
    return phase


def _told(made: Stage, numbers: set[int]) -> Telling:
    """What was told of those of `numbers` that have ended; waits for what is late."""
    alive = {each.number for each in made.producers.alive}
    deadline = time.monotonic() + TELL_S
    while True:
        ended = [each for each in made.producers.all if each.number in numbers - alive]
        found = made.ledger.telling(made.producers.all, ended, made.webhook.bodies)
        if not (found.missed or found.untold) or time.monotonic() > deadline:
            return found
        made.pause(1.0)


def table(outcome: Outcome) -> str:
    """Per part and kind of fault, and per phase, in Markdown."""
    rows = [["part", "fault", "times", "p50 s", "p95 s", "max s", "lost", "twice", "wrong", "told again"], ["---"] * 10]
    kinds: list[tuple[str, str]] = sorted({(each.fault.part, each.fault.kind) for each in outcome.survived})
    for part, kind in [*kinds, ("all", "")]:
        some = [each for each in outcome.survived if not kind or (each.fault.part, each.fault.kind) == (part, kind)]
        found = Exactness()
        for each in some:
            found.add(each.found)
        counts = [found.lost, found.twice, found.wrong, sum(each.repeated for each in some)]
        times = _quantiles([each.recovery_s for each in some])
        rows.append([part, kind, str(len(some)), *times, *map(str, counts)])
    rows += [[], ["after", "p50 s", "p95 s", "max s", "points", "lost", "twice", "wrong", "incidents", "missed"]]
    rows[-1] += ["doubled", "false", "not told", "told again"]
    rows.append(["---"] * 14)
    for phase in outcome.phases:
        points, alerts = phase.points, phase.alerts
        counts = [points.lost, points.twice, points.wrong]
        raised = [len(alerts.missed), len(alerts.doubled), len(alerts.false), len(alerts.untold), alerts.repeated]
        row = [phase.name, *_quantiles(phase.recovery_s), f"{points.expected:,}", *map(str, counts)]
        rows.append([*row, f"{alerts.raised} of {alerts.due}", *map(str, raised)])
    return "\n".join(f"| {' | '.join(row)} |" if row else "" for row in rows)


def _quantiles(times: list[float]) -> list[str]:
    """p50, p95 and maximum."""
    if not times:
        return [""] * 3
    ordered = sorted(times)
    p95 = ordered[round(0.95 * (len(ordered) - 1))]
    return [f"{each:.1f}" for each in (statistics.median(ordered), p95, ordered[-1])]


def figures(outcome: Outcome) -> list[Figure]:
    found: list[Figure] = [Figure("faults survived", len(outcome.survived), "faults")]
    for part, kind in sorted({(each.fault.part, each.fault.kind) for each in outcome.survived}):
        times = [each.recovery_s for each in outcome.survived if (each.fault.part, each.fault.kind) == (part, kind)]
        found.append(Figure.of(f"recovery, {part} {kind}", times, "s"))
    found += [
        Figure.of(f"recovery, {phase.name}", phase.recovery_s, "s") for phase in outcome.phases if phase.recovery_s
    ]
    last, exits = outcome.phases[-1], float(outcome.worker_exits)
    points, alerts = last.points, last.alerts
    return [
        *found,
        Figure("points", points.expected, "points"),
        Figure("points lost, doubled or changed", points.bad, "points", 0.0),
        Figure("incidents", alerts.due, "incidents"),
        Figure("incidents missed, doubled or false, alerts not told", alerts.bad, "incidents", 0.0),
        Figure("alerts that the webhook was told of again", alerts.repeated, "messages"),
        Figure("workers that ended by themselves", exits, "workers"),
        Figure("trainers in all", outcome.processes, "processes"),
        Figure("duration", outcome.seconds, "s"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--seed", type=int, default=6, help="of the schedule")
    parser.add_argument("--faults", type=int, default=200, help="kills and stops")
    parser.add_argument("--stop-s", type=float, default=20.0, help="the longest SIGSTOP")
    parser.add_argument(
        "--rebalance-s", type=float, default=180.0, help="add or remove a worker every 10 s for so long"
    )
    parser.add_argument("--outage-s", type=float, default=600.0, help="all brokers down for so long")
    parser.add_argument("--producers", type=int, default=50)
    parser.add_argument("--families", type=int, default=10, help="of the producers, those whose runs may get worse")
    parser.add_argument(
        "--lag-s", type=float, default=2.0, help="recovered is what lags no more; more on a busy machine"
    )
    parser.add_argument("--calls-per-s", type=float, default=4.0, help="of log, by each of the other producers")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it, logs and all")
    args = parser.parse_args()

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # brokers that are away are the point
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell started it in the background
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()

    def say(words: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {words}", flush=True)

    with tempfile.TemporaryDirectory(prefix="runtide-faults-", ignore_cleanup_errors=True) as scratch:
        home = args.keep or Path(scratch)
        home.mkdir(parents=True, exist_ok=True)
        outcome = Outcome()
        try:
            campaign(
                home, say, seed=args.seed, faults=args.faults, stop_s_max=args.stop_s, rebalance_s=args.rebalance_s,
                outage_s=args.outage_s, slots=args.producers, families=args.families, calls_per_s=args.calls_per_s,
                lag_s_max=args.lag_s, outcome=outcome,
            )  # fmt: skip
        except KeyboardInterrupt:
            print(f"\n{table(outcome)}\n\ninterrupted; all processes are ended", file=sys.stderr)
            return 130
        except AssertionError:
            print(f"\n{table(outcome)}\n", flush=True)
            raise
    print(f"\n{table(outcome)}\n\n{json.dumps(machine())} {json.dumps(versions())}")
    report("faults", figures(outcome), as_json=args.json)
    return 1 if outcome.bad else 0


if __name__ == "__main__":
    sys.exit(main())
