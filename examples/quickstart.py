"""Fit a line by gradient descent and log every step: all of Runtide that a training script needs."""

import random

import runtide

points = [(x / 100, 3 * x / 100 + 1 + random.gauss(0, 0.1)) for x in range(100)]

with runtide.init(project="quickstart", config={"lr": 0.1, "steps": 500}) as run:
    slope = offset = 0.0
    lr = run.config["lr"]
    for step in range(run.config["steps"]):
        errors = [slope * x + offset - y for x, y in points]
        slope -= lr * sum(2 * error * x for error, (x, _) in zip(errors, points, strict=True)) / len(points)
        offset -= lr * sum(2 * error for error in errors) / len(points)
        run.log({"loss": sum(error**2 for error in errors) / len(points), "slope": slope, "offset": offset}, step=step)

print(f"y = {slope:.2f} x + {offset:.2f}; see it with: runtide show quickstart/{run.id}")
