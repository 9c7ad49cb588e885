"""Train a scikit-learn classifier batch by batch with `partial_fit` and log every step.

Usage: python -m runtide_workers.demo.trainers.sklearn_classifier --data digits --model mlp --lr 0.01 --seed 1
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

import runtide

DATA = {"digits": load_digits, "cancer": load_breast_cancer, "wine": load_wine}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", choices=sorted(DATA), default="digits")
    parser.add_argument("--model", choices=["sgd", "mlp"], default="mlp")
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()

    x, y = DATA[args.data](return_X_y=True)
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)
    scaler = StandardScaler().fit(x_train)
    x_train, x_val, classes = scaler.transform(x_train), scaler.transform(x_val), np.unique(y)

    model: SGDClassifier | MLPClassifier
    if args.model == "sgd":
        model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=args.lr, random_state=args.seed)
    else:
        model = MLPClassifier((32,), solver="sgd", learning_rate_init=args.lr, random_state=args.seed)

    with runtide.init(
        project="demo",
        name=f"{args.data}-{args.model}-lr{args.lr:g}-s{args.seed}",
        group=args.data,
        config=vars(args),
        tags=["sklearn", args.model],
    ) as run:
        run.define_metric("val/accuracy", goal="maximize")
        run.define_metric("*/loss", goal="minimize")
        rng = np.random.default_rng(args.seed)
        best = 0.0
        for step in range(args.steps):
            began = time.perf_counter()
            batch = rng.integers(0, len(x_train), args.batch_size)
            x_batch, y_batch = x_train[batch], y_train[batch]
            before = weights(model)
            model.partial_fit(x_batch, y_batch, classes=classes)
            after = weights(model)
            elapsed = time.perf_counter() - began
            probabilities = model.predict_proba(x_batch)
            point = {
                "train/loss": log_loss(y_batch, probabilities, labels=classes),
                "train/accuracy": float(np.mean(classes[probabilities.argmax(axis=1)] == y_batch)),
                "lr": args.lr,
                "epoch": step * args.batch_size / len(x_train),
                "weights/norm": float(np.linalg.norm(after)),
                "weights/update": float(np.linalg.norm(after - before)) if before.size else 0.0,
                "samples_per_s": args.batch_size / elapsed,
            }
            if step % 20 == 0 or step == args.steps - 1:
                probabilities = model.predict_proba(x_val)
                accuracy = float(np.mean(classes[probabilities.argmax(axis=1)] == y_val))
                best = max(best, accuracy)
                point |= {"val/loss": log_loss(y_val, probabilities, labels=classes), "val/accuracy": accuracy}
            run.log(point, step=step)
        majority = float(np.max(np.bincount(y_val)) / len(y_val))
        run.summary.update({"val/accuracy_best": best, "val/accuracy_majority": majority})
        run.decide(
            "keep" if best > majority + 0.1 else "drop",
            f"best validation accuracy {best:.3f}; always saying the commonest class gives {majority:.3f}",
            next_step="try other seeds" if best > majority + 0.1 else "raise the learning rate",
        )


def weights(model: SGDClassifier | MLPClassifier) -> np.ndarray:
    """Every trained number of the model in one vector; empty before the first `partial_fit`."""
    if isinstance(model, SGDClassifier):
        arrays = [model.coef_, model.intercept_] if hasattr(model, "coef_") else []
    else:
        arrays = [*model.coefs_, *model.intercepts_] if hasattr(model, "coefs_") else []
    return np.concatenate([np.ravel(array) for array in arrays]) if arrays else np.empty(0)


if __name__ == "__main__":
    main()
