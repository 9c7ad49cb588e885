"""XGBoost: what is evaluated after each round, as `<data>-<metric>`.

xgboost.train(params, train, 100, evals=[(test, "test")], callbacks=[RuntideCallback()])
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from runtide._run import Run
from runtide.integrations import current, harmless, library

_callback: Any = library("xgboost.callback")
_collective: Any = library("xgboost.collective")

RISING = ("auc", "aucpr", "map", "ndcg", "pre")  # metrics that are better the higher they are


class RuntideCallback(_callback.TrainingCallback):  # type: ignore[misc]
    """Works with `train`, `cv` (mean, and `/std` over the folds) and the scikit-learn estimators.

    The step is the number of the round in the model: training that goes on with `xgb_model` goes on there. Of several
    workers the first one logs.
    `log_model`: save the model into this file at the end and record it as an artifact.
    """

    def __init__(self, run: Run | None = None, log_model: str | bool | None = None, **_wandb: Any) -> None:
        super().__init__()
        self.run = current(run)
        self._log_model = "model.ubj" if log_model is True else log_model
        self._defined: set[str] = set()

    def before_training(self, model: Any) -> Any:
        if _collective.get_rank() != 0:
            return model
        with harmless(self.run, "XGBoost's callback"):
            if hasattr(model, "save_config"):  # cv has several models
                self.run.config.update({"xgboost": _config(json.loads(model.save_config())["learner"])})
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, list[Any]]]) -> bool:
        if _collective.get_rank() != 0:
            return False
        with harmless(self.run, "XGBoost's callback"):
            values: dict[str, Any] = {}
            for data, metrics in evals_log.items():
                for metric, course in metrics.items():
                    name = f"{data}-{metric}"
                    self._define(name, metric)
                    last = course[-1]
                    values |= {name: last[0], f"{name}/std": last[1]} if isinstance(last, tuple) else {name: last}
            rounds = model.num_boosted_rounds() if hasattr(model, "num_boosted_rounds") else epoch + 1
            self.run.log(values, step=rounds - 1)
        return False

    def after_training(self, model: Any) -> Any:
        if _collective.get_rank() != 0:
            return model
        with harmless(self.run, "XGBoost's callback"):
            for name in ("best_score", "best_iteration"):
                value = model.attr(name) if hasattr(model, "attr") else None
                if value is not None:
                    self.run.summary[name] = float(value) if name == "best_score" else int(value)
            if self._log_model:
                model.save_model(self._log_model)
                self.run.log_artifact(self._log_model, type="model")
        return model

    def _define(self, name: str, metric: str) -> None:
        if name not in self._defined:
            self._defined.add(name)
            rises = metric.partition("@")[0] in RISING
            self.run.define_metric(name, goal="maximize" if rises else "minimize")


WandbCallback = RuntideCallback  # as wandb's adapter is called


def _config(learner: Mapping[str, Any]) -> dict[str, Any]:
    """Objective, booster and the parameters of its trees, out of all that XGBoost tells."""
    booster = learner["gradient_booster"]
    trees = booster.get("tree_train_param") or booster.get("gbtree", {}).get("tree_train_param", {})
    return {"objective": learner["objective"]["name"], "booster": booster["name"], **trees}
