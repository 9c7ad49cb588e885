"""scikit-learn: searches, fitted estimators, and loops over `partial_fit`.

log_search(GridSearchCV(...).fit(X, y))         # a step for each candidate
log_estimator(model, X_test, y_test)            # parameters, score, curves that it kept
fit_partially(model, batches, classes=[0, 1], test=(X_test, y_test))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from runtide._run import Run
from runtide.integrations import current, harmless
from runtide.media import Table

# What estimators keep of their training: name of the metric by attribute.
CURVES = {
    "loss_curve_": "loss",
    "validation_scores_": "validation_score",
    "train_score_": "train_score",
    "validation_score_": "validation_score",
    "oob_improvement_": "oob_improvement",
    "oob_scores_": "oob_score",
}


def log_search(search: Any, run: Run | None = None, prefix: str = "search") -> None:
    """All candidates of a fitted GridSearchCV, RandomizedSearchCV or halving search.

    Metrics at step candidate: each mean and deviation of scores and times (`search/mean_test_score`, ...), ranks, and
    parameters that are numbers (`search/params/C`). Summary: the best candidate; all of them as a table.
    """
    found = current(run)
    with harmless(found, "scikit-learn's log_search"):
        results: Mapping[str, Any] = search.cv_results_
        columns = [name for name in results if name.startswith(("mean_", "std_", "rank_", "split"))]
        rows = []
        for number, params in enumerate(results["params"]):
            values = {f"{prefix}/{name}": float(results[name][number]) for name in columns}
            numeric = {name: value for name, value in params.items() if isinstance(value, (int, float))}
            values |= {f"{prefix}/params/{name}": value for name, value in numeric.items()}
            found.log(values, step=number)
            rows.append([number, str(params), *(float(results[name][number]) for name in columns)])
        found.log({f"{prefix}/candidates": Table(["candidate", "params", *columns], rows)}, commit=False)
        if hasattr(search, "best_index_"):  # not with several scores and refit=False
            best: dict[str, Any] = {"candidate": int(search.best_index_)}
            best["params"] = results["params"][best["candidate"]]
            if hasattr(search, "best_score_"):
                best["score"] = float(search.best_score_)
            found.summary.update({f"{prefix}/best": best})
        found.config.update({prefix: {"estimator": type(search.estimator).__name__, "cv": str(search.cv)}})


def log_estimator(estimator: Any, X: Any = None, y: Any = None, run: Run | None = None, prefix: str = "") -> None:  # noqa: N803
    """A fitted estimator: class and parameters as config, `score(X, y)` as a metric, and the curves that it kept.

    A curve (`loss_curve_`, `train_score_`, ...) has a point for each iteration.
    """
    found = current(run)
    start = f"{prefix}/" if prefix else ""
    with harmless(found, "scikit-learn's log_estimator"):
        params = {name: value for name, value in estimator.get_params().items() if _is_plain(value)}
        found.config.update({f"{start}estimator": type(estimator).__name__, f"{start}params": params})
        for attribute, name in CURVES.items():
            curve = getattr(estimator, attribute, None)
            for step, value in enumerate([] if curve is None else curve):
                found.log({f"{start}{name}": float(value)}, step=step)
        if X is not None:
            found.log({f"{start}score": float(estimator.score(X, y))})


def fit_partially(
    estimator: Any,
    batches: Iterable[tuple[Any, Any]],
    *,
    classes: Any = None,
    test: tuple[Any, Any] | None = None,
    every: int = 1,
    run: Run | None = None,
) -> Any:
    """`estimator.partial_fit` for each (X, y); after every `every`th one its `loss`, and `test/score` where `test` is.

    Gives the estimator. What its own methods raise is raised.
    """
    found = current(run)
    for number, (X, y) in enumerate(batches):  # noqa: N806 - as scikit-learn calls them
        estimator.partial_fit(X, y, **({"classes": classes} if classes is not None else {}))
        if number % every == 0:
            with harmless(found, "scikit-learn's fit_partially"):
                values = {"loss": float(estimator.loss_)} if hasattr(estimator, "loss_") else {}
                if test is not None:
                    values["test/score"] = float(estimator.score(*test))
                found.log(values, step=number)
    return estimator


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, list, tuple, dict))
