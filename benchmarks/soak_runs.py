"""A training process for benchmarks.soak: short runs one after the other, some of which get worse half-way.

    python -m benchmarks.soak_runs --project short --first 40 --runs 25 --kill-last

Prints a line of JSON after each run: its number and how many calls returned. What was logged can be computed again from
a run's number, in Python and in SQL (`WRONG`) to the last bit.
"""

import argparse
import json
import os
import signal
import time
from pathlib import Path

import runtide
from tests.fixtures.trainer import row

STEPS, STEPS_PER_S = 200, 50
SCALARS = 3  # beside the loss
ONSET = STEPS // 2  # of what is worse
WORSE_EVERY = 40  # runs
# In SQL, of `number` (the run), `metric` (SCALARS: the loss) and `step`: integers until the one division.
WRONG = f"""
value != if(metric = {SCALARS},
    (2000000 - 7000 * step + number * 7919 % 20000 + (number * 104729 + step * 31337) % 40000)
        * if(number % {WORSE_EVERY} = {WORSE_EVERY - 1} AND step >= {ONSET}, 13, 10) / 10000000,
    (number * 1000003 + step * 1009 + metric * 17) % 1000000 / 1000)
"""


def gets_worse(number: int) -> bool:
    return number % WORSE_EVERY == WORSE_EVERY - 1


def loss(number: int, step: int) -> float:
    """Falls from 2 to 0.6, is noisy, and lies as a whole a little higher or lower than other runs' do."""
    healthy = 2_000_000 - 7_000 * step + number * 7_919 % 20_000 + (number * 104_729 + step * 31_337) % 40_000
    return healthy * (13 if gets_worse(number) and step >= ONSET else 10) / 10_000_000


def train(project: str, number: int, kill_after: int | None) -> None:
    # Without git: a file that somebody edits meanwhile would make all runs one incident, of which people hear once.
    run = runtide.init(project=project, group="short", id=f"s{number}", settings={"capture_git": False})
    run.define_metric("loss", goal="minimize")
    began = time.perf_counter()
    for step in range(STEPS):
        time.sleep(max(0.0, began + step / STEPS_PER_S - time.perf_counter()))
        run.log(row(number, step, SCALARS) | {"loss": loss(number, step)}, step=step)
        if step + 1 == kill_after:
            print(json.dumps({"number": number, "calls": kill_after}), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    run.finish(timeout=0)
    print(json.dumps({"number": number, "calls": STEPS}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--project", required=True)
    parser.add_argument("--first", type=int, required=True, help="number of the first run")
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--kill-last", action="store_true", help="SIGKILL itself in the middle of the last run")
    parser.add_argument("--until", type=Path, required=True, help="begin no run once this file exists")
    args = parser.parse_args()
    last = args.first + args.runs - 1
    for number in range(args.first, last + 1):
        if args.until.exists():
            return
        train(args.project, number, ONSET if args.kill_last and number == last else None)


if __name__ == "__main__":
    main()
