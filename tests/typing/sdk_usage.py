"""Code as users write it: it has to type-check, strictly. It is never run."""

import argparse
import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import runtide


@dataclass
class Options:
    lr: float = 0.1


def train(options: Options, flags: argparse.Namespace) -> float:
    with runtide.init("project", name="a run", config=options, tags=["a"], dir=Path("journals"), mode="offline") as run:
        run.config.update(flags)
        run.config.lr = 0.2
        rate: float = run.config["lr"]
        for epoch in range(3):
            run.log({"loss": 1.0, "nested": {"accuracy": np.float32(0.5)}}, step=epoch)
        run.log({"late": 1}, timestamp=dt.datetime.now(dt.UTC), commit=False)
        run.summary["best"] = rate
        run.define_metric("loss", goal="minimize")
        run.alert("title", "text", level="WARN")
        run.note("note")
        run.decide("keep", "better", next_step=None)
        run.use_dataset("digits", Path("data"), version="1")
        run.log_artifact("model.pt", name="weights", type="model", aliases=("best",))
        run.use_artifact("weights:best")
        run.tags = (*run.tags, "b")
        step: int = run.step
        url: str | None = run.url
        print(step, url, run.id, run.name, run.project, run.dir)
    return rate


def module_level() -> None:
    run: runtide.Run = runtide.init(settings=runtide.Settings(mode="disabled"))
    runtide.log({"loss": 1.0}, step=3)
    runtide.config.seed = 1
    runtide.summary["best"] = 1.0
    current: runtide.Run | None = runtide.run
    runtide.finish(exit_code=0, timeout=1.0)
    print(run, current)
