"""XGBoost's and LightGBM's callbacks: the journal holds what the library itself reports, number by number."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runtide
from runtide.integrations import lightgbm as ours_lightgbm
from runtide.integrations import xgboost as ours_xgboost
from tests.fixtures.journals import BARE, journal, journals

lightgbm = pytest.importorskip("lightgbm")
xgboost = pytest.importorskip("xgboost")

ROUNDS = 6
X = np.random.default_rng(1).normal(size=(120, 4))
Y = (X[:, 0] + 0.3 * X[:, 1] > 0).astype(int)
XGB_PARAMS = {"objective": "binary:logistic", "eval_metric": ["logloss", "auc"], "nthread": 1, "max_depth": 2}
LGB_PARAMS = {"objective": "binary", "metric": ["binary_logloss", "auc"], "num_threads": 1, "verbosity": -1,
              "min_data_in_leaf": 5, "num_leaves": 4}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Iterator[runtide.Run]:
    run = runtide.init("boosting", dir=tmp_path, settings=BARE)
    yield run
    run.finish()


def xgb_train(rounds: int = ROUNDS, **options: Any) -> tuple[Any, dict[str, Any]]:
    train, test = xgboost.DMatrix(X[:80], Y[:80]), xgboost.DMatrix(X[80:], Y[80:])
    found: dict[str, Any] = {}
    model = xgboost.train(XGB_PARAMS, train, rounds, evals=[(train, "train"), (test, "test")], evals_result=found,
                          verbose_eval=False, **options)  # fmt: skip
    return model, found


def test_xgboost_train(run: runtide.Run, tmp_path: Path) -> None:
    _, found = xgb_train(callbacks=[ours_xgboost.RuntideCallback()])
    written = journal(tmp_path)
    for data in ("train", "test"):
        for metric in ("logloss", "auc"):
            assert written.points(f"{data}-{metric}") == list(enumerate(found[data][metric]))
    goals = {each["name"]: each["goal"] for each in written.events("define_metric")}
    assert goals["test-auc"] == "maximize" and goals["test-logloss"] == "minimize"
    assert written.values("config")["xgboost/objective"] == "binary:logistic"
    assert written.values("config")["xgboost/max_depth"] == "2"


def test_xgboost_early_stopping_and_estimator(run: runtide.Run, tmp_path: Path) -> None:
    estimator = xgboost.XGBClassifier(
        n_estimators=200, early_stopping_rounds=3, eval_metric="logloss", n_jobs=1, learning_rate=0.9, max_depth=2,
        callbacks=[ours_xgboost.WandbCallback(log_model=str(tmp_path / "model.ubj"))],
    )  # fmt: skip
    estimator.fit(X[:80], Y[:80], eval_set=[(X[80:], Y[80:])], verbose=False)
    written = journal(tmp_path)
    course = estimator.evals_result()["validation_0"]["logloss"]
    assert written.points("validation_0-logloss") == list(enumerate(course)) and len(course) < 200
    run.finish()
    written = journal(tmp_path)
    assert written.values("summary")["best_iteration"] == estimator.best_iteration
    assert written.values("summary")["best_score"] == pytest.approx(estimator.best_score, rel=1e-6)
    assert written.events("artifact")[0]["path"] == str(tmp_path / "model.ubj")


def test_estimators_that_are_copied_keep_the_run(run: runtide.Run, tmp_path: Path) -> None:
    from sklearn.model_selection import GridSearchCV

    estimator = xgboost.XGBClassifier(
        n_estimators=2, n_jobs=1, max_depth=2, callbacks=[ours_xgboost.RuntideCallback()], eval_metric="logloss"
    )
    GridSearchCV(estimator, {"learning_rate": [0.1, 0.3]}, cv=2).fit(X, Y, eval_set=[(X, Y)], verbose=False)
    assert [step for step, _ in journal(tmp_path).points("validation_0-logloss")] == [0, 1] * 5
    assert runtide.run is run


def test_xgboost_goes_on_where_the_model_ended(run: runtide.Run, tmp_path: Path) -> None:
    first, begun = xgb_train(4, callbacks=[ours_xgboost.RuntideCallback()])
    _, went_on = xgb_train(3, callbacks=[ours_xgboost.RuntideCallback()], xgb_model=first)
    course = begun["test"]["logloss"] + went_on["test"]["logloss"]
    assert journal(tmp_path).points("test-logloss") == list(enumerate(course))


def test_only_the_first_worker_of_xgboost_logs(
    run: runtide.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xgboost.collective, "get_rank", lambda: 1)
    xgb_train(callbacks=[ours_xgboost.RuntideCallback()])
    assert journal(tmp_path).metrics == []


def test_xgboost_cv(run: runtide.Run, tmp_path: Path) -> None:
    table = xgboost.cv(XGB_PARAMS, xgboost.DMatrix(X, Y), ROUNDS, nfold=3, seed=1, as_pandas=False,
                       callbacks=[ours_xgboost.RuntideCallback()])  # fmt: skip
    written = journal(tmp_path)
    assert written.points("test-auc") == list(enumerate(table["test-auc-mean"]))
    assert written.points("test-auc/std") == list(enumerate(table["test-auc-std"]))


class Interrupted(Exception):
    """As a training that runs out of memory."""


def test_a_training_that_fails_keeps_its_rounds(tmp_path: Path) -> None:
    base: Any = xgboost.callback.TrainingCallback

    class Fails(base):  # type: ignore[misc]
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            if epoch == 2:
                raise Interrupted
            return False

    with pytest.raises(Interrupted), runtide.init("boosting", dir=tmp_path, settings=BARE) as run:
        xgb_train(callbacks=[ours_xgboost.RuntideCallback(run), Fails()])
    written = journal(tmp_path)
    assert [step for step, _ in written.points("test-logloss")] == [0, 1, 2]
    assert written.events("finish")[0]["state"] == "failed"


def test_what_the_callback_can_not_record_never_stops_training(run: runtide.Run, tmp_path: Path) -> None:
    callback = ours_xgboost.RuntideCallback(run, log_model=str(tmp_path / "missing" / "model.ubj"))
    model, found = xgb_train(callbacks=[callback])
    assert model.num_boosted_rounds() == ROUNDS
    assert journal(tmp_path).points("test-auc") == list(enumerate(found["test"]["auc"]))
    run.finish()
    assert any("could not record" in drop["reason"] for drop in journal(tmp_path).events("drops"))


def lgb_train(rounds: int = ROUNDS, **options: Any) -> tuple[Any, dict[str, Any]]:
    found: dict[str, Any] = {}
    callbacks = [lightgbm.record_evaluation(found), *options.pop("callbacks", [])]
    train = lightgbm.Dataset(X[:80], Y[:80], free_raw_data=False)
    test = lightgbm.Dataset(X[80:], Y[80:], reference=train, free_raw_data=False)
    model = lightgbm.train(LGB_PARAMS, train, rounds, valid_sets=[train, test], valid_names=["train", "test"],
                           callbacks=callbacks, **options)  # fmt: skip
    return model, found


def test_lightgbm_train(run: runtide.Run, tmp_path: Path) -> None:
    model, found = lgb_train(callbacks=[ours_lightgbm.RuntideCallback()])
    ours_lightgbm.log_summary(model)
    written = journal(tmp_path)
    for data in ("train", "test"):
        for metric in ("binary_logloss", "auc"):
            assert written.points(f"{data}/{metric}") == list(enumerate(found[data][metric]))
    goals = {each["name"]: each["goal"] for each in written.events("define_metric")}
    assert goals == {"train/binary_logloss": "minimize", "train/auc": "maximize",
                     "test/binary_logloss": "minimize", "test/auc": "maximize"}  # fmt: skip
    assert written.values("config")["lightgbm/num_leaves"] == 4
    summary = written.values("summary")
    assert dict(summary["feature_importance/data"]) == dict(
        zip(model.feature_name(), model.feature_importance("gain").tolist(), strict=True)
    )
    assert summary["best_score/test/auc"] == model.best_score["test"]["auc"]


def test_lightgbm_goes_on_where_the_model_ended(run: runtide.Run, tmp_path: Path) -> None:
    first, begun = lgb_train(4, callbacks=[ours_lightgbm.RuntideCallback()])
    _, went_on = lgb_train(3, callbacks=[ours_lightgbm.RuntideCallback()], init_model=first)
    course = begun["test"]["auc"] + went_on["test"]["auc"]
    assert journal(tmp_path).points("test/auc") == list(enumerate(course))


def test_lightgbm_early_stopping_keeps_the_last_round(run: runtide.Run, tmp_path: Path) -> None:
    stopping = lightgbm.early_stopping(2, verbose=False)
    _, found = lgb_train(100, callbacks=[stopping, ours_lightgbm.RuntideCallback()])
    course = found["test"]["auc"]
    assert len(course) < 100
    assert journal(tmp_path).points("test/auc") == list(enumerate(course))


def test_lightgbm_cv(run: runtide.Run, tmp_path: Path) -> None:
    table = lightgbm.cv(LGB_PARAMS, lightgbm.Dataset(X, Y), ROUNDS, nfold=3, seed=1,
                        callbacks=[ours_lightgbm.RuntideCallback()])  # fmt: skip
    written = journal(tmp_path)
    assert written.points("valid/auc") == list(enumerate(table["valid auc-mean"]))
    assert written.points("valid/auc/std") == list(enumerate(table["valid auc-stdv"]))


def test_lightgbm_that_fails_keeps_its_rounds(tmp_path: Path) -> None:
    def fails(env: Any) -> None:
        if env.iteration == 2:
            raise Interrupted

    fails.order = 30  # type: ignore[attr-defined]
    with pytest.raises(Interrupted), runtide.init("boosting", dir=tmp_path, settings=BARE):
        lgb_train(callbacks=[ours_lightgbm.RuntideCallback(), fails])
    [written] = journals(tmp_path)
    assert [step for step, _ in written.points("test/auc")] == [0, 1, 2]
    assert written.events("finish")[0]["state"] == "failed"


def test_without_a_run_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtide, "run", None)
    with pytest.raises(runtide.RuntideError, match=r"call runtide\.init\(\) first"):
        ours_xgboost.RuntideCallback()
