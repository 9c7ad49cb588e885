"""The demo's trainings in small: real scripts, a kill, a failure, and a count that does not come from Runtide."""

from pathlib import Path

import pytest

from runtide_workers.demo import plan, report
from runtide_workers.demo.training import Trainee, train
from tests.fixtures.stack import Stack

pytest.importorskip("sklearn", reason="the extra `demo` is not installed")
pytest.importorskip("xgboost", reason="the extra `demo` is not installed")


def test_each_script_logs_what_the_demo_says_it_does(stack: Stack, tmp_path: Path) -> None:
    small = [
        plan.classifier("wine", "mlp", 0.01, steps=60),
        plan.classifier("cancer", "sgd", 0.001, steps=60),
        plan.trees(0.3, 2, 20),
        plan.diabetes("elasticnet", 0.01, steps=60),
        plan.network("adam", 0.003, 8, 60),
        plan.network("adam", 0.003, 9, 100_000, fate="killed"),
        plan.network("sgd", 30.0, 64, 5_000, fate="failed"),
    ]
    trainees = [Trainee(training, f"{training.name}-{number}", tmp_path) for number, training in enumerate(small)]
    train(trainees, 3, lambda _: None, stack.env)
    assert [trainee.training.name for trainee in trainees if not trainee.as_planned] == []
    assert all(trainee.count.points > 0 for trainee in trainees)

    complete, found, _ = report.wait_until_stored(stack.client, trainees, timeout_s=60)
    assert complete, found
    assert sum(of.duplicates for of in found.values()) == 0
    runs = report.wait_for_states(stack.client, trainees)
    for trainee in trainees:
        run = runs[trainee.run_id]
        assert (run["name"], run["state"]) == (trainee.training.name, trainee.training.fate)
    assert {row["kind"] for row in stack.client.events(f"demo/{trainees[0].run_id}").to_pylist()} >= {"decision"}
    best = report.summaries(stack.client, trainees)[trainees[0].run_id]["val/accuracy"]["max"]
    assert 0 < best <= 1
    report.print_table(trainees, runs, report.summaries(stack.client, trainees))
