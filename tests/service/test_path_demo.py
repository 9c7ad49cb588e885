"""The demo in small: real scripts, a kill, a failure, a count that does not come from Runtide; and a bad data file."""

from pathlib import Path

import numpy as np
import pytest

from runtide_workers.demo import nightly_data, plan, regression, report
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


def test_the_bad_file_has_the_wrong_labels_and_nothing_else(tmp_path: Path) -> None:
    good, bad = (np.load(file) for file in nightly_data.write(tmp_path))
    assert [name for name in good if not np.array_equal(good[name], bad[name])] == ["y_train"]
    wrong = good["y_train"] != bad["y_train"]
    assert plan.CORRUPTED * 0.8 < wrong.mean() <= plan.CORRUPTED  # neighbours may happen to have the same label
    assert sorted(good["y_train"]) == sorted(bad["y_train"])


def test_the_training_with_the_bad_file_is_caught_and_no_other(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history, tonight = regression.planned(1, "small", tmp_path, steps=200, batches_per_s=100)
    *siblings, bad = tonight
    train(history, len(history), lambda _: None, stack.env)
    assert regression.wait_until_judged(stack.client, history)

    lookout = regression.Lookout(stack.client, "http://pages")
    train(tonight, len(tonight), lookout.beside(lambda _: None), stack.env)
    assert [trainee.training.name for trainee in [*history, *tonight] if not trainee.as_planned] == []
    assert regression.wait_until_judged(stack.client, tonight)
    told = regression.is_told(lookout, tonight)
    assert list(lookout.caught) == [bad.run_id]
    caught = lookout.caught[bad.run_id]
    assert told == caught.is_training
    assert caught.alert["step"] < bad.training.steps / 2
    assert "mean of 8 baseline runs" in caught.alert["text"]
    assert "dataset digits digits-v1 -> digits-v2" in caught.alert["text"]

    assert regression.is_gated(tonight, stack.env)
    said = capsys.readouterr().out
    assert f"http://pages/alerts?project=demo&alert={caught.alert['id']}" in said
    for trainee in siblings:
        assert lookout.raised(trainee, "page", "warn") == []
        assert f"{trainee.training.name}: no alert" in said
