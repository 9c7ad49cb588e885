"""Optuna: a study as one run, and a run for each trial."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import runtide
from runtide.integrations.optuna import RuntideCallback, run_per_trial
from tests.fixtures.journals import BARE, Written, journal, journals

optuna = pytest.importorskip("optuna")
optuna.logging.set_verbosity(optuna.logging.ERROR)

STEPS = 5


@pytest.fixture
def run(tmp_path: Path) -> Iterator[runtide.Run]:
    run = runtide.init("search", dir=tmp_path, settings=BARE)
    yield run
    run.finish()


def new_study(**options: Any) -> Any:
    sampler = optuna.samplers.RandomSampler(seed=3)
    return optuna.create_study(study_name="unit", sampler=sampler, **options)


def objective(trial: Any) -> float:
    """Trial 2 is pruned after two reports, trial 4 fails."""
    x = trial.suggest_float("x", -1, 1)
    trial.suggest_categorical("kind", ["a", "b"])
    for step in range(STEPS):
        trial.report(x * x + 1 / (step + 1), step)
        if trial.number == 2 and step == 1:
            raise optuna.TrialPruned
    if trial.number == 4:
        raise ValueError("diverged")
    return float(x * x)


def by_trial(directory: Path) -> dict[int, Written]:
    return {int(found.values("summary")["trial"]): found for found in journals(directory)}


def test_a_study_as_one_run(run: runtide.Run, tmp_path: Path) -> None:
    study = new_study()
    study.optimize(objective, n_trials=6, catch=(ValueError,), callbacks=[RuntideCallback()])
    written = journal(tmp_path)
    trials = study.trials
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    assert written.points("value") == [(trial.number, trial.value) for trial in complete]
    assert written.points("params/x") == [(trial.number, trial.params["x"]) for trial in trials]
    assert written.points("value_when_pruned") == [(2, trials[2].value)]
    assert written.points("failed") == [(4, 1.0)]
    assert written.points("best_value")[-1] == (5, study.best_value)
    summary = written.values("summary")
    assert {name: summary[f"trials/{name}"] for name in ("complete", "pruned", "fail")} == {
        "complete": 4, "pruned": 1, "fail": 1,
    }  # fmt: skip
    assert summary["best/trial"] == study.best_trial.number
    assert summary["best/params/kind"] == study.best_params["kind"]
    assert {each["name"]: each["goal"] for each in written.events("define_metric")} == {"value": "minimize"}


def test_a_study_that_goes_on(run: runtide.Run, tmp_path: Path) -> None:
    study = new_study(direction="maximize")
    for _ in range(2):
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3, callbacks=[RuntideCallback(run)])
    assert journal(tmp_path).points("value") == [(trial.number, trial.value) for trial in study.trials]
    assert journal(tmp_path).events("define_metric")[0]["goal"] == "maximize"


def test_several_objectives(run: runtide.Run, tmp_path: Path) -> None:
    study = new_study(directions=["minimize", "maximize"])
    with pytest.warns(match="experimental"):
        study.set_metric_names(["loss", "speed"])
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 2.0), n_trials=2, callbacks=[RuntideCallback()])
    written = journal(tmp_path)
    assert written.points("loss") == [(trial.number, trial.values[0]) for trial in study.trials]
    goals = {each["name"]: each["goal"] for each in written.events("define_metric")}
    assert goals == {"loss": "minimize", "speed": "maximize"}


def test_a_run_for_each_trial(run: runtide.Run, tmp_path: Path) -> None:
    trials_directory = tmp_path / "trials"
    study = new_study()
    tracked = run_per_trial(objective, project="search", dir=trials_directory, settings=BARE)
    study.optimize(tracked, n_trials=6, catch=(ValueError,))
    assert runtide.run is run  # which goes on
    run.log({"after": 1.0})
    found = by_trial(trials_directory)
    assert sorted(found) == list(range(6))
    for trial in study.trials:
        written = found[trial.number]
        assert written.points("value") == sorted(trial.intermediate_values.items())
        config = written.values("config")
        assert (config["x"], config["kind"]) == (trial.params["x"], trial.params["kind"])
        state = written.values("summary")["state"]
        assert state == {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}[trial.state.name]
        assert written.events("finish")[0]["state"] == ("failed" if state == "failed" else "finished")
        assert written.events("start")[0]["group"] == "unit"
    assert found[0].values("summary")["value"] == study.trials[0].value
    assert found[2].events("tags") == [{"tags": ["pruned"]}]
    assert "ValueError: diverged" in found[4].events("finish")[0]["error"]


def test_trials_at_once_have_runs_of_their_own(run: runtide.Run, tmp_path: Path) -> None:
    def with_own_run(trial: Any) -> float:
        x = float(trial.suggest_float("x", 0, 1))
        trial.run.log({"x": x, "number": trial.number})
        return x

    study = new_study()
    study.optimize(
        run_per_trial(with_own_run, project="search", dir=tmp_path / "trials", settings=BARE), n_trials=8, n_jobs=4
    )
    assert runtide.run is run
    found = by_trial(tmp_path / "trials")
    assert {number: each.points("number") for number, each in found.items()} == {n: [(0, float(n))] for n in range(8)}
    assert all(found[trial.number].points("x") == [(0, trial.value)] for trial in study.trials)
