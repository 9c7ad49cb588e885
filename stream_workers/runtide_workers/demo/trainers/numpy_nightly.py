"""The same small network every night, on the data file of that night, as fast as its data loader delivers.

Usage: python -m runtide_workers.demo.trainers.numpy_nightly DATA.npz --seed 3
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import runtide

from .network import Array, Network, cross_entropy

WARMUP = 0.05  # of the steps
PREFETCHED = 4  # batches that wait for a training that was held up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="a .npz with x_train, y_train, x_val and y_val")
    parser.add_argument("--lr", type=float, default=0.003)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--batches-per-s", type=float, default=50.0, help="the loader's pace")
    args = parser.parse_args()

    with np.load(args.data) as file:
        x_train, y_train, x_val, y_val = (file[name] for name in ("x_train", "y_train", "x_val", "y_val"))
    rng = np.random.default_rng(args.seed)
    network = Network(x_train.shape[1], args.hidden, 10, rng)

    with runtide.init(
        project="demo",
        name=f"nightly-{args.data.stem}-s{args.seed}",
        group="nightly",
        config={name: value for name, value in vars(args).items() if name != "data"},
        tags=["numpy", "nightly"],
    ) as run:
        run.define_metric("val/loss", goal="minimize")
        run.use_dataset("digits", args.data, version=args.data.stem)
        batches = loader(x_train, y_train, args.batch_size, args.batches_per_s, rng)
        for step in range(args.steps):
            x, y = next(batches)
            rising = min(1.0, (step + 1) / (WARMUP * args.steps))
            lr = args.lr * rising * 0.5 * (1 + np.cos(np.pi * step / args.steps))
            loss, accuracy, gradients = network.gradients(x, y)
            network.adam(gradients, lr, step)
            point = {"train/loss": loss, "train/accuracy": accuracy, "lr": lr}
            if step % 2 == 1:  # on a sample: a training doesn't stop for the whole of it
                chosen = rng.integers(0, len(x_val), args.batch_size)
                _, p = network.probabilities(x_val[chosen])
                right = p.argmax(axis=1) == y_val[chosen]
                point |= {"val/loss": cross_entropy(p, y_val[chosen]), "val/accuracy": np.mean(right)}
            run.log(point, step=step)
        weights = args.data.with_name(f"{run.id}.npz")
        np.savez(weights, *network.weights)
        run.log_artifact(weights, name="digits-mlp", type="model", aliases=[args.data.stem])


def loader(
    x: Array, y: NDArray[np.int64], size: int, per_s: float, rng: np.random.Generator
) -> Iterator[tuple[Array, NDArray[np.int64]]]:
    """Random batches without end, at most `per_s` a second: a sleep stands for storage that can't do better."""
    due = time.perf_counter()
    while True:
        due = max(due + 1 / per_s, time.perf_counter() - PREFETCHED / per_s)
        time.sleep(max(0.0, due - time.perf_counter()))
        chosen = rng.integers(0, len(x), size)
        yield x[chosen], y[chosen]


if __name__ == "__main__":
    main()
