"""Boost trees on the breast-cancer data and log every round from an XGBoost callback.

Usage: python -m runtide_workers.demo.trainers.xgboost_cancer --eta 0.1 --depth 4
"""

import argparse
import time
from typing import Any

import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import runtide


class LogRounds(xgboost.callback.TrainingCallback):
    """What any user of XGBoost needs to have every round in Runtide."""

    def __init__(self, run: runtide.Run, eta: float) -> None:
        super().__init__()
        self.run, self.eta, self.began = run, eta, time.perf_counter()

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        now = time.perf_counter()
        point = {"lr": self.eta, "trees": model.num_boosted_rounds(), "rounds_per_s": 1 / (now - self.began)}
        for part, series in evals_log.items():  # part is "train" or "val"
            point[f"{part}/loss"] = series["logloss"][-1]
            point[f"{part}/auc"] = series["auc"][-1]
            point[f"{part}/accuracy"] = 1 - series["error"][-1]
        self.run.log(point, step=epoch)
        self.began = now
        return False  # go on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--eta", type=float, default=0.1)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=600)
    args = parser.parse_args()

    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)
    train, val = xgboost.DMatrix(x_train, y_train), xgboost.DMatrix(x_val, y_val)
    settings = {
        "objective": "binary:logistic",
        "eval_metric": ["error", "auc", "logloss"],
        "eta": args.eta,
        "max_depth": args.depth,
        "subsample": 0.8,
        "seed": args.seed,
        "nthread": 1,
    }
    with runtide.init(
        project="demo",
        name=f"cancer-xgboost-eta{args.eta:g}-d{args.depth}",
        group="cancer",
        config=settings,
        tags=["xgboost"],
    ) as run:
        run.define_metric("val/auc", goal="maximize")
        run.define_metric("*/accuracy", goal="maximize")
        run.define_metric("*/loss", goal="minimize")
        watched = [(train, "train"), (val, "val")]
        callbacks = [LogRounds(run, args.eta)]
        history: dict[str, Any] = {}
        xgboost.train(
            settings, train, args.rounds, evals=watched, evals_result=history, callbacks=callbacks, verbose_eval=False
        )
        losses = history["val"]["logloss"]
        best = losses.index(min(losses))
        run.note(f"validation loss was lowest, {losses[best]:.4f}, after round {best} of {args.rounds}")
        run.decide(
            "keep" if best > args.rounds // 2 else "stop earlier",
            f"{args.rounds - 1 - best} rounds were trained after the best one",
            next_step=f"early_stopping_rounds, about {max(10, best // 10)}",
        )


if __name__ == "__main__":
    main()
