"""A training process for benchmarks.alerts: runs one after the other, each a family's loss at 50 steps a second.

Prints one JSON object at its end: when each step of each run was logged.
"""

import argparse
import json
import time

import numpy as np

import runtide

STEPS = 200
STEPS_PER_S = 50
ONSET = 0.5


def losses(seed: int, worse: float) -> list[float]:
    """Decays, is noisy, and lies as a whole a little higher or lower than other seeds' do."""
    rng = np.random.default_rng(seed)
    at = np.arange(STEPS) / STEPS
    curve = (0.3 + 2.0 * np.exp(-6 * at)) * np.exp(rng.normal(0, 0.01) + rng.normal(0, 0.02, STEPS))
    curve[at >= ONSET] *= worse
    return [float(value) for value in curve]


def train(project: str, name: str, seed: int, worse: float) -> list[float]:
    logged = []
    # Without git: a file that somebody edits meanwhile would make all runs one incident, of which people hear once.
    settings = {"capture_git": False}
    with runtide.init(project=project, group="probe", id=name, config={"batch_size": 1}, settings=settings) as run:
        run.define_metric("loss", goal="minimize")
        began = time.perf_counter()
        for step, loss in enumerate(losses(seed, worse)):
            time.sleep(max(0.0, began + step / STEPS_PER_S - time.perf_counter()))
            logged.append(time.time())
            run.log({"loss": loss}, step=step)
    return logged


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--project", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--worse", type=float, default=1.0)
    args = parser.parse_args()
    offset = 0 if args.worse == 1 else 1_000
    logged = {
        f"{args.name}{number}": train(args.project, f"{args.name}{number}", offset + number, args.worse)
        for number in range(args.runs)
    }
    print(json.dumps({"project": args.project, "logged": logged}), flush=True)


if __name__ == "__main__":
    main()
