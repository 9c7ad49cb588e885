"""A database of MLflow and a log folder of TensorBoard, each with `--points` points, imported through the whole stack.

Both are written by their own libraries. Every value, step and time is compared with what was logged, and then all of it
is imported again.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.report import Figure, report
from runtide.importing import Report, SourceRun, bring, mlflow, tensorboard
from tests.fixtures.import_stores import START_MS, EventFile, mlflow_store
from tests.fixtures.stack import Stack, running_stack

METRICS = 10
STEPS = 5_000  # of a run
BATCH = 1_000  # metrics that MLflow takes at a time
WAVE_WAIT_S = 1_800.0
# `wrong` compares exactly: eighths below 2^17 are the same number in single and in double precision.
STORED = """
SELECT count() AS points, uniqExact(run_id, metric, step) AS places,
       countIf(value != ((number * 1000003 + step * 1009 + place * 17) % 1000000) / 8
               OR at_ms != {start:Int64} + step) AS wrong
FROM (SELECT run_id, metric, step, value, toUnixTimestamp64Milli(ts) AS at_ms,
             toInt64(extract(run, '[0-9]+$')) AS number, toInt64(substring(metric, 2)) AS place
      FROM v_points WHERE project = {project:String})
"""
Source = Callable[[], Iterable[SourceRun]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--points", type=int, default=1_000_000, help="of each store")
    args = parser.parse_args()
    steps = min(STEPS, args.points // METRICS)
    runs = args.points // (METRICS * steps)
    figures = []
    with tempfile.TemporaryDirectory(prefix="runtide-imports-") as folder, running_stack() as stack:
        for kind, write in (("mlflow", write_mlflow), ("tensorboard", write_tensorboard)):
            began = time.perf_counter()
            source = write(Path(folder) / kind, runs, steps)
            took_s = time.perf_counter() - began
            print(f"{kind}: {runs} runs of {METRICS} metrics and {steps:,} steps, written in {took_s:.1f} s")
            figures += figures_of(stack, kind, source, runs * METRICS * steps)
    report("imports", figures, as_json=args.json)


def figures_of(stack: Stack, kind: str, source: Source, points: int) -> list[Figure]:
    first = imported(stack, kind, source)
    began = time.perf_counter()
    again = imported(stack, kind, source)
    again_s = time.perf_counter() - began
    if first.waiting or again.counts["unchanged"] != len(first.runs):
        raise SystemExit(f"{kind}: {first.waiting} runs are not stored; the second time: {dict(again.counts)}")
    [found] = stack.client.sql(STORED, {"project": kind, "start": START_MS}).to_pylist()
    lost, twice = points - found["places"], found["points"] - found["places"]
    print(
        f"{found['places']:,} of {points:,} points stored, {twice} twice, {found['wrong']} with another value or time"
    )
    total_s = first.reading_s + first.delivering_s
    return [
        Figure(f"{kind}: points", points, "points"),
        Figure(f"{kind}: points lost, doubled or changed", lost + twice + found["wrong"], "points", 0),
        Figure(f"{kind}: read, and written as journals", first.reading_s, "s"),
        Figure(f"{kind}: sent, until all is stored", first.delivering_s, "s"),
        Figure(f"{kind}: points imported", points / total_s, "points/s"),
        Figure(f"{kind}: all of it again, unchanged", again_s, "s"),
    ]


def imported(stack: Stack, kind: str, source: Source) -> Report:
    return bring(source(), kind, home=str(stack.home), kafka=stack.kafka, wait_s=WAVE_WAIT_S)


def value(run: int, step: int, place: int) -> float:
    return ((run * 1_000_003 + step * 1_009 + place * 17) % 1_000_000) / 8


def write_mlflow(folder: Path, runs: int, steps: int) -> Source:
    from mlflow.entities import Metric

    folder.mkdir()
    client = mlflow_store(f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("mlflow")
    for run in range(runs):
        run_id = client.create_run(experiment, start_time=START_MS, run_name=f"run {run}").info.run_id
        metrics = [
            Metric(f"m{place}", value(run, step, place), START_MS + step, step)
            for step in range(steps)
            for place in range(METRICS)
        ]
        for start in range(0, len(metrics), BATCH):
            client.log_batch(run_id, metrics=metrics[start : start + BATCH])
        client.set_terminated(run_id, end_time=START_MS + steps)
    return lambda: mlflow.runs(str(folder / "mlflow.db"))


def write_tensorboard(folder: Path, runs: int, steps: int) -> Source:
    """One event per scalar, as PyTorch's and TensorFlow's writers do."""
    for run in range(runs):
        file = EventFile(folder / f"r{run}")
        for step in range(steps):
            for place in range(METRICS):
                file.scalars(step, START_MS + step, {f"m{place}": value(run, step, place)})
        file.close()
    return lambda: tensorboard.runs(str(folder))


if __name__ == "__main__":
    main()
