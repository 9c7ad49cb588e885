"""LightGBM: what is evaluated after each round, as `<data>/<metric>`.

lightgbm.train(params, train, valid_sets=[test], callbacks=[RuntideCallback()])
"""

from __future__ import annotations

from typing import Any

from runtide._run import Run
from runtide.integrations import current, harmless


class RuntideCallback:
    """Works with `train`, `cv` (mean, and `/std` over the folds) and the scikit-learn estimators.

    The step is the number of the round: training that goes on with `init_model` goes on there.
    """

    order = 20  # after LightGBM's own printing, before early stopping, which raises
    before_iteration = False

    def __init__(self, run: Run | None = None, log_params: bool = True, **_wandb: Any) -> None:
        self.run = current(run)
        self._log_params = log_params
        self._defined: set[str] = set()

    def __call__(self, env: Any) -> None:
        with harmless(self.run, "LightGBM's callback"):
            if self._log_params:
                self._log_params = False
                self.run.config.update({"lightgbm": dict(env.params)})
            values: dict[str, float] = {}
            for data, metric, value, rises, *spread in env.evaluation_result_list or ():
                name = f"{data}/{metric}"
                if name not in self._defined:
                    self._defined.add(name)
                    self.run.define_metric(name, goal="maximize" if rises else "minimize")
                values[name] = value
                if spread:
                    values[f"{name}/std"] = spread[0]
            self.run.log(values, step=env.iteration)


def log_summary(model: Any, run: Run | None = None, save_model_checkpoint: str | bool = False, **_wandb: Any) -> None:
    """Best round and scores into the summary, features' importance as a table, the model as an artifact if wanted."""
    from runtide.media import Table

    found = current(run)
    with harmless(found, "LightGBM's log_summary"):
        booster = getattr(model, "booster_", model)
        found.summary["best_iteration"] = booster.best_iteration
        for data, metrics in booster.best_score.items():
            for metric, value in metrics.items():
                found.summary[f"best_score/{data}/{metric}"] = value
        rows = list(zip(booster.feature_name(), booster.feature_importance("gain").tolist(), strict=True))
        found.log({"feature_importance": Table(columns=["feature", "gain"], data=rows)}, commit=False)
        if save_model_checkpoint:
            path = "model.txt" if save_model_checkpoint is True else save_model_checkpoint
            booster.save_model(path)
            found.log_artifact(path, type="model")


wandb_callback = RuntideCallback  # as wandb's adapter is called
