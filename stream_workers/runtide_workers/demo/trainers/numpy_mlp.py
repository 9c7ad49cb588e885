"""A small neural network in plain numpy, trained on the handwritten digits, logging every step.

Usage: python -m runtide_workers.demo.trainers.numpy_mlp --lr 0.003 --hidden 64
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import runtide

from .network import Network, cross_entropy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lr", type=float, default=0.003)
    parser.add_argument("--optimizer", choices=["adam", "sgd"], default="adam")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--warmup", type=int, default=500, help="steps until the learning rate is reached")
    parser.add_argument("--batch-size", type=int, default=128)
    args = parser.parse_args()

    x, y = load_digits(return_X_y=True)
    x_train, x_val, y_train, y_val = train_test_split(x / 16, y, test_size=0.25, stratify=y, random_state=0)
    rng = np.random.default_rng(args.seed)
    network = Network(x.shape[1], args.hidden, 10, rng)

    with runtide.init(
        project="demo",
        name=f"digits-numpy-{args.optimizer}-lr{args.lr:g}-h{args.hidden}",
        group="digits",
        config=vars(args),
        tags=["numpy", args.optimizer],
    ) as run:
        run.define_metric("val/accuracy", goal="maximize")
        run.define_metric("*/loss", goal="minimize")
        usual = 0.0  # moving average of the loss
        for step in range(args.steps):
            began = time.perf_counter()
            lr = args.lr * min(1, (step + 1) / args.warmup) * 0.5 * (1 + np.cos(np.pi * step / args.steps))
            batch = rng.integers(0, len(x_train), args.batch_size)
            loss, accuracy, gradients = network.gradients(x_train[batch], y_train[batch])
            if args.optimizer == "adam":
                network.adam(gradients, lr, step)
            else:
                network.descend(gradients, lr)
            point = {
                "train/loss": loss,
                "train/accuracy": accuracy,
                "lr": lr,  # numpy scalars are fine
                "epoch": step * args.batch_size / len(x_train),
                "grad/norm": np.sqrt(sum(float(np.sum(g * g)) for g in gradients)),
                "weights/norm": np.sqrt(sum(float(np.sum(w * w)) for w in network.weights)),
                "samples_per_s": args.batch_size / (time.perf_counter() - began),
            }
            if step % 25 == 0 or step == args.steps - 1:
                _, p = network.probabilities(x_val)
                point |= {"val/loss": cross_entropy(p, y_val), "val/accuracy": np.mean(p.argmax(axis=1) == y_val)}
            run.log(point, step=step)
            usual += 0.01 * (loss - usual)
            if not np.isfinite(loss) or (step > 1000 and usual > 0.999 * np.log(10)):
                run.note(f"no better than guessing at step {step}: a learning rate of {lr:.3g} is too high")
                raise ArithmeticError(f"training broke down: loss {loss:.3f} at step {step}")


if __name__ == "__main__":
    main()
