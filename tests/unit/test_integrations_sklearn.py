"""scikit-learn: searches, estimators and partial fits, compared with what scikit-learn itself keeps."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import silhouette_score
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier

import runtide
from runtide.integrations.sklearn import fit_partially, log_estimator, log_search
from tests.fixtures.journals import BARE, journal

X = np.random.default_rng(2).normal(size=(90, 3))
Y = (X[:, 0] - X[:, 2] > 0).astype(int)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[runtide.Run]:
    run = runtide.init("sklearn", dir=tmp_path, settings=BARE)
    yield run
    run.finish()


def test_a_search(run: runtide.Run, tmp_path: Path) -> None:
    search = GridSearchCV(LogisticRegression(), {"C": [0.01, 0.1, 1.0], "fit_intercept": [True, False]}, cv=3).fit(X, Y)
    log_search(search)
    written = journal(tmp_path)
    results = search.cv_results_
    for name in ("mean_test_score", "std_test_score", "rank_test_score", "mean_fit_time", "split1_test_score"):
        assert written.points(f"search/{name}") == list(enumerate(map(float, results[name])))
    assert written.points("search/params/C") == [(n, params["C"]) for n, params in enumerate(results["params"])]
    summary = written.values("summary")
    assert summary["search/best/score"] == search.best_score_
    assert summary["search/best/params/C"] == search.best_params_["C"]
    assert summary["search/candidates/rows"] == 6
    assert written.values("config")["search/estimator"] == "LogisticRegression"


def test_a_search_by_several_scores_without_a_best(run: runtide.Run, tmp_path: Path) -> None:
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=3, scoring=["accuracy", "roc_auc"], refit=False)
    log_search(search.fit(X, Y))
    written = journal(tmp_path)
    assert written.points("search/mean_test_roc_auc") == list(enumerate(search.cv_results_["mean_test_roc_auc"]))
    assert not any(name.startswith("search/best") for name in written.values("summary"))


def test_a_search_with_a_candidate_that_fails(run: runtide.Run, tmp_path: Path) -> None:
    """It has NaN for a score, and so has the run."""
    search = GridSearchCV(LogisticRegression(), {"C": [1.0, -1.0]}, cv=3, error_score=np.nan)
    with pytest.warns(match=r"fits failed|non-finite"):
        search.fit(X, Y)
    log_search(search)
    good, bad = journal(tmp_path).points("search/mean_test_score")
    assert good == (0, search.cv_results_["mean_test_score"][0]) and np.isnan(bad[1])


def test_an_estimator_with_its_loss_curve(run: runtide.Run, tmp_path: Path) -> None:
    model = MLPClassifier((4,), max_iter=12, random_state=0, early_stopping=True, n_iter_no_change=20)
    with pytest.warns(match="Maximum iterations"):
        model.fit(X, Y)
    log_estimator(model, X, Y)
    written = journal(tmp_path)
    assert written.points("loss") == list(enumerate(model.loss_curve_))
    assert written.points("validation_score") == list(enumerate(model.validation_scores_))
    assert [value for _, value in written.points("score")] == [model.score(X, Y)]
    config = written.values("config")
    assert config["estimator"] == "MLPClassifier" and config["params/max_iter"] == 12


def test_boosting_keeps_its_scores(run: runtide.Run, tmp_path: Path) -> None:
    model = HistGradientBoostingClassifier(max_iter=5, early_stopping=True, random_state=0).fit(X, Y)
    log_estimator(model, prefix="booster")
    written = journal(tmp_path)
    assert written.points("booster/train_score") == list(enumerate(model.train_score_))
    assert written.points("booster/validation_score") == list(enumerate(model.validation_score_))


def test_partial_fits(run: runtide.Run, tmp_path: Path) -> None:
    batches = [(X[start : start + 20], Y[start : start + 20]) for start in range(0, 80, 20)]
    test = (X[80:], Y[80:])
    expected = []
    check = SGDClassifier(random_state=0)
    for each in batches:
        check.partial_fit(*each, classes=[0, 1])
        expected.append(check.score(*test))
    model = fit_partially(SGDClassifier(random_state=0), batches, classes=[0, 1], test=test)
    assert journal(tmp_path).points("test/score") == list(enumerate(expected))
    assert np.array_equal(model.coef_, check.coef_)


def test_partial_fits_log_the_loss_and_what_fails_is_raised(tmp_path: Path) -> None:
    def batches() -> Iterator[tuple[Any, Any]]:
        yield X[:20], Y[:20]
        yield X[:20], Y[:10]

    model = MLPClassifier((4,), random_state=0)
    with pytest.raises(ValueError, match="inconsistent"), runtide.init("sklearn", dir=tmp_path, settings=BARE):
        fit_partially(model, batches(), classes=[0, 1])
    written = journal(tmp_path)
    assert written.points("loss") == [(0, model.loss_)]
    assert written.events("finish")[0]["state"] == "failed"


def test_what_is_no_search_is_told_and_not_raised(run: runtide.Run, tmp_path: Path) -> None:
    log_search(LogisticRegression())
    run.finish()
    [drop] = journal(tmp_path).events("drops")
    assert "log_search could not record" in drop["reason"]


def test_wandb_s_plots_of_a_classifier(run: runtide.Run, tmp_path: Path) -> None:
    import runtide as wandb

    model = LogisticRegression().fit(X[:60], Y[:60])
    probabilities, guessed = model.predict_proba(X[60:]), model.predict(X[60:])
    wandb.sklearn.plot_classifier(
        model, X[:60], X[60:], Y[:60], Y[60:], guessed, probabilities, ["no", "yes"], True, "Logistic", ["a", "b", "c"]
    )  # fmt: skip
    wandb.sklearn.plot_learning_curve(model, X, Y, train_sizes=[0.5, 0.75, 1.0])
    written = journal(tmp_path)
    [accuracy] = [value for _, value in written.points("summary/accuracy")]
    assert accuracy == model.score(X[60:], Y[60:])
    summary = written.values("summary")
    counts = {(row[0], row[1]): row[2] for row in summary["confusion_matrix/data"]}
    assert counts["yes", "yes"] == int(((guessed == 1) & (Y[60:] == 1)).sum())
    assert dict(summary["feature_importances/data"])["b"] == abs(model.coef_[0, 1])
    assert ["no", "train", int((Y[:60] == 0).sum())] in summary["class_proportions/data"]
    names = ("roc", "precision_recall", "learning_curve", "calibration_curve")
    assert all(summary[f"{name}/rows"] > 2 for name in names)
    run.finish()
    assert journal(tmp_path).events("drops") == []


def test_wandb_s_plots_of_a_regressor_and_a_clusterer(run: runtide.Run, tmp_path: Path) -> None:
    import runtide as wandb

    target = X @ [1.0, 2.0, 3.0]
    model = Ridge().fit(X, target)
    wandb.sklearn.plot_regressor(model, X, X, target, target, "Ridge")
    clusters = KMeans(3, n_init=1, random_state=0).fit(X)
    wandb.sklearn.plot_clusterer(clusters, X, clusters.labels_)
    written = journal(tmp_path)
    assert [value for _, value in written.points("summary/r2")] == [model.score(X, target)]
    summary = written.values("summary")
    assert summary["residuals/rows"] == len(X)
    assert [row[0] for row in summary["elbow_curve/data"]] == [1, 3, 5, 7, 9]
    means = [row[1] for row in summary["silhouette/data"]]
    weights = np.bincount(clusters.labels_)
    assert np.average(means, weights=weights) == pytest.approx(silhouette_score(X, clusters.labels_))
