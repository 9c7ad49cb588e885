"""Fit a linear model to the diabetes data by stochastic gradient descent and log every step.

Usage: python -m runtide_workers.demo.trainers.sklearn_diabetes --lr 0.01 --penalty elasticnet
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import SGDRegressor
from sklearn.model_selection import train_test_split

import runtide


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--penalty", choices=["l2", "l1", "elasticnet"], default="l2")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=32)
    args = parser.parse_args()

    x, y = load_diabetes(return_X_y=True)
    x, y = x / x.std(axis=0), (y - y.mean()) / y.std()
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.25, random_state=0)
    model = SGDRegressor(learning_rate="invscaling", eta0=args.lr, penalty=args.penalty, random_state=args.seed)
    rng = np.random.default_rng(args.seed)

    with runtide.init(
        project="demo",
        name=f"diabetes-{args.penalty}-lr{args.lr:g}",
        group="diabetes",
        config=vars(args),
        tags=["sklearn", "regression"],
    ) as run:
        run.define_metric("val/r2", goal="maximize")
        run.define_metric("*/loss", goal="minimize")
        for step in range(args.steps):
            began = time.perf_counter()
            batch = rng.integers(0, len(x_train), args.batch_size)
            model.partial_fit(x_train[batch], y_train[batch])
            elapsed = time.perf_counter() - began
            residual = model.predict(x_train[batch]) - y_train[batch]
            point = {
                "train/loss": float(np.mean(residual**2)),
                "lr": args.lr / model.t_**model.power_t,
                "epoch": step * args.batch_size / len(x_train),
                "weights/norm": float(np.linalg.norm(model.coef_)),
                "weights/zero": int(np.sum(model.coef_ == 0)),
                "samples_per_s": args.batch_size / elapsed,
            }
            if step % 20 == 0 or step == args.steps - 1:
                error = float(np.mean((model.predict(x_val) - y_val) ** 2))
                point |= {"val/loss": error, "val/r2": 1 - error / float(np.var(y_val))}
            run.log(point, step=step)
        run.note(f"{int(np.sum(model.coef_ == 0))} of {model.coef_.size} coefficients ended at exactly zero")


if __name__ == "__main__":
    main()
