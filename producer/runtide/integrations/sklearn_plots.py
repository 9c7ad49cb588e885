"""`wandb.sklearn.plot_...`: what wandb draws of scikit-learn's estimators, logged into the current run as charts.

Names and arguments are wandb's. What a chart shows is computed by scikit-learn; nothing here raises.
"""
# ruff: noqa: N803 - X is what scikit-learn and wandb call it

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from runtide.integrations import current, harmless, library
from runtide.media import Chart, Table, plot

SIZES = (0.1, 0.325, 0.55, 0.775, 1.0)  # shares of the data that a learning curve tries


def _logged(name: str) -> Callable[[Callable[..., Chart | dict[str, Any]]], Callable[..., None]]:
    """Log what a function makes, under a name: a chart, or numbers by their names."""

    def decorate(make: Callable[..., Chart | dict[str, Any]]) -> Callable[..., None]:
        @wraps(make)
        def log(*arguments: Any, **options: Any) -> None:
            run = current(None)
            with harmless(run, f"wandb.sklearn's {make.__name__}"):
                run.log({name: make(*arguments, **options)})

        return log

    return decorate


@_logged("confusion_matrix")
def plot_confusion_matrix(y_true: Any = None, y_pred: Any = None, labels: Any = None, *_: Any, **__: Any) -> Chart:
    return plot.confusion_matrix(y_true=y_true, preds=y_pred, class_names=_names(labels))


@_logged("roc")
def plot_roc(
    y_true: Any = None, y_probas: Any = None, labels: Any = None, plot_micro: bool = True, plot_macro: bool = True,
    classes_to_plot: Any = None,
) -> Chart:  # fmt: skip
    del plot_micro, plot_macro
    return plot.roc_curve(y_true, y_probas, _names(labels), classes_to_plot)


@_logged("precision_recall")
def plot_precision_recall(
    y_true: Any = None, y_probas: Any = None, labels: Any = None, plot_micro: bool = True, classes_to_plot: Any = None
) -> Chart:
    del plot_micro
    return plot.pr_curve(y_true, y_probas, _names(labels), classes_to_plot)


@_logged("feature_importances")
def plot_feature_importances(
    model: Any = None, feature_names: Any = None, title: str = "Feature importance", max_num_features: int = 50
) -> Chart:
    """Of trees their importances, of linear models the sizes of their coefficients."""
    found = getattr(model, "feature_importances_", None)
    values = abs(model.coef_).reshape(-1, model.coef_.shape[-1]).mean(axis=0) if found is None else found
    names = _names(feature_names) or [f"feature {number}" for number in range(len(values))]
    rows = sorted(zip(names, map(float, values), strict=True), key=lambda row: -row[1])[:max_num_features]
    return plot.bar(Table(["feature", "importance"], rows), "feature", "importance", title)


@_logged("class_proportions")
def plot_class_proportions(y_train: Any = None, y_test: Any = None, labels: Any = None) -> Chart:
    names = dict(enumerate(_names(labels) or ()))
    rows = [
        [names.get(label, str(label)), part, count]
        for part, values in (("train", y_train), ("test", y_test))
        for label, count in zip(*(each.tolist() for each in _numpy().unique(values, return_counts=True)), strict=True)
    ]
    return plot.bar(Table(["class", "dataset", "count"], rows), "class", "count")


@_logged("learning_curve")
def plot_learning_curve(
    model: Any = None, X: Any = None, y: Any = None, cv: Any = None, shuffle: bool = False,
    random_state: Any = None, train_sizes: Any = None, n_jobs: int = 1, scoring: Any = None,
) -> Chart:  # fmt: skip
    """The mean scores over the folds, for each number of rows that it was trained with."""
    sizes, train, test = library("sklearn.model_selection").learning_curve(
        model, X, y, cv=cv, n_jobs=n_jobs, train_sizes=SIZES if train_sizes is None else train_sizes, scoring=scoring,
        shuffle=shuffle, random_state=random_state,
    )  # fmt: skip
    return plot.line_series(
        sizes.tolist(), [train.mean(axis=1).tolist(), test.mean(axis=1).tolist()], ["train", "test"], xname="rows"
    )


@_logged("summary")
def plot_summary_metrics(
    model: Any = None,
    X: Any = None,
    y: Any = None,
    X_test: Any = None,
    y_test: Any = None,
) -> dict[str, Any]:
    """As metrics `summary/...`: of classifiers accuracy, precision, recall, F1; of others MAE, MSE, R2."""
    del X, y
    judge, guessed = library("sklearn.metrics"), model.predict(X_test)
    if library("sklearn.base").is_classifier(model):
        options = {"average": "weighted", "zero_division": 0}
        names = {"precision": judge.precision_score, "recall": judge.recall_score, "f1": judge.f1_score}
        scores = {name: float(score(y_test, guessed, **options)) for name, score in names.items()}
        return {"accuracy": float(judge.accuracy_score(y_test, guessed)), **scores}
    names = {"mae": judge.mean_absolute_error, "mse": judge.mean_squared_error, "r2": judge.r2_score}
    return {name: float(score(y_test, guessed)) for name, score in names.items()}


@_logged("calibration_curve")
def plot_calibration_curve(clf: Any = None, X: Any = None, y: Any = None, clf_name: str = "Classifier") -> Chart:
    """Of two classes: how often the second was right where it was said to be so likely."""
    likely = clf.predict_proba(X)[:, 1]
    right, said = library("sklearn.calibration").calibration_curve(y, likely, n_bins=10)
    return plot.line_series(said.tolist(), [right.tolist()], [clf_name], xname="predicted")


@_logged("elbow_curve")
def plot_elbow_curve(
    clusterer: Any = None,
    X: Any = None,
    cluster_ranges: Any = None,
    n_jobs: int = 1,
    show_cluster_time: bool = True,
) -> Chart:
    """The score for each number of clusters."""
    del n_jobs, show_cluster_time
    counts = list(range(1, 10, 2) if cluster_ranges is None else cluster_ranges)
    clone = library("sklearn.base").clone
    scores = [float(clone(clusterer).set_params(n_clusters=count).fit(X).score(X)) for count in counts]
    return plot.line_series(counts, [scores], ["score"], xname="clusters")


@_logged("silhouette")
def plot_silhouette(
    clusterer: Any = None, X: Any = None, cluster_labels: Any = None, labels: Any = None, metric: str = "euclidean",
    kmeans: bool = True,
) -> Chart:  # fmt: skip
    """The mean silhouette of each cluster."""
    del kmeans
    clusters = clusterer.fit_predict(X) if cluster_labels is None else _numpy().asarray(cluster_labels)
    values = library("sklearn.metrics").silhouette_samples(X, clusters, metric=metric)
    names = dict(enumerate(_names(labels) or ()))
    rows = [
        [names.get(each, str(each)), float(values[clusters == each].mean())]
        for each in _numpy().unique(clusters).tolist()
    ]
    return plot.bar(Table(["cluster", "silhouette"], rows), "cluster", "silhouette")


@_logged("residuals")
def plot_residuals(regressor: Any = None, X: Any = None, y: Any = None) -> Chart:
    guessed = regressor.predict(X)
    rows = [[float(value), float(true - value)] for value, true in zip(guessed, y, strict=True)]
    return plot.scatter(Table(["predicted", "residual"], rows), "predicted", "residual")


def plot_classifier(
    model: Any, X_train: Any, X_test: Any, y_train: Any, y_test: Any, y_pred: Any, y_probas: Any, labels: Any,
    is_binary: bool = False, model_name: str = "Classifier", feature_names: Any = None,
    log_learning_curve: bool = False,
) -> None:  # fmt: skip
    """All of the above that fit a classifier."""
    current(None).config.update({"estimator": model_name})
    plot_feature_importances(model, feature_names)
    if log_learning_curve:
        plot_learning_curve(model, X_train, y_train)
    plot_confusion_matrix(y_test, y_pred, labels)
    plot_summary_metrics(model, X_train, y_train, X_test, y_test)
    plot_class_proportions(y_train, y_test, labels)
    if is_binary:
        plot_calibration_curve(model, X_train, y_train, model_name)
    plot_roc(y_test, y_probas, labels)
    plot_precision_recall(y_test, y_probas, labels)


def plot_regressor(
    model: Any,
    X_train: Any,
    X_test: Any,
    y_train: Any,
    y_test: Any,
    model_name: str = "Regressor",
) -> None:
    """All of the above that fit a regressor."""
    current(None).config.update({"estimator": model_name})
    plot_summary_metrics(model, X_train, y_train, X_test, y_test)
    plot_residuals(model, X_train, y_train)


def plot_clusterer(
    model: Any,
    X_train: Any,
    cluster_labels: Any,
    labels: Any = None,
    model_name: str = "Clusterer",
) -> None:
    """All of the above that fit a clusterer."""
    current(None).config.update({"estimator": model_name})
    if hasattr(model, "n_clusters"):
        plot_elbow_curve(model, X_train)
    plot_silhouette(model, X_train, cluster_labels, labels)


def _names(labels: Any) -> Sequence[str] | None:
    return None if labels is None else [str(label) for label in labels]


def _numpy() -> Any:
    return library("numpy")
