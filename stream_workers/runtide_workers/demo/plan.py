"""What the demo trains: twelve models to compare, one of them a victim; then, night after night, one and the same."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PROJECT = "demo"
TRAINERS = "runtide_workers.demo.trainers"


@dataclass(frozen=True)
class Training:
    """One training process. `steps` is what its progress is measured against, `fate` how it is meant to end."""

    script: str
    arguments: tuple[str, ...]
    steps: int
    name: str  # the run's name, as the script builds it
    model: str
    fate: Literal["finished", "failed", "killed"] = "finished"

    def command(self) -> list[str]:
        """Module and arguments, as they would follow `python -m`."""
        return [f"{TRAINERS}.{self.script}", *self.arguments]


def classifier(data: str, model: str, lr: float, seed: int = 0, steps: int = 1000) -> Training:
    arguments = f"--data {data} --model {model} --lr {lr:g} --seed {seed} --steps {steps}"
    name = f"{data}-{model}-lr{lr:g}-s{seed}"
    return Training("sklearn_classifier", tuple(arguments.split()), steps, name, f"scikit-learn {model.upper()}")


def network(
    optimizer: str, lr: float, hidden: int, steps: int, fate: Literal["finished", "failed", "killed"] = "finished"
) -> Training:
    arguments = f"--optimizer {optimizer} --lr {lr:g} --hidden {hidden} --steps {steps}"
    name = f"digits-numpy-{optimizer}-lr{lr:g}-h{hidden}"
    return Training("numpy_mlp", tuple(arguments.split()), steps, name, f"numpy, {optimizer}", fate)


def trees(eta: float, depth: int, rounds: int) -> Training:
    arguments = f"--eta {eta:g} --depth {depth} --rounds {rounds}"
    name = f"cancer-xgboost-eta{eta:g}-d{depth}"
    return Training("xgboost_cancer", tuple(arguments.split()), rounds, name, "XGBoost")


def diabetes(penalty: str, lr: float, steps: int = 2000) -> Training:
    arguments = f"--penalty {penalty} --lr {lr:g} --steps {steps}"
    name = f"diabetes-{penalty}-lr{lr:g}"
    return Training("sklearn_diabetes", tuple(arguments.split()), steps, name, "scikit-learn SGD")


def nightly(data: Path, seed: int, steps: int, batches_per_s: int) -> Training:
    arguments = (str(data), *f"--seed {seed} --steps {steps} --batches-per-s {batches_per_s}".split())
    return Training("numpy_nightly", arguments, steps, f"nightly-{data.stem}-s{seed}", "numpy, adam")


PLAN = (
    classifier("digits", "mlp", 0.02),
    network("adam", 0.003, 128, 20_000, fate="killed"),
    network("adam", 0.003, 64, 6_000),
    classifier("digits", "mlp", 0.002, seed=1),
    trees(0.1, 4, 1200),
    network("sgd", 0.3, 32, 6_000),
    classifier("cancer", "mlp", 0.01),
    network("sgd", 30.0, 64, 6_000, fate="failed"),
    classifier("cancer", "sgd", 0.001),
    trees(0.03, 2, 1200),
    classifier("wine", "mlp", 0.005),
    diabetes("elasticnet", 0.01),
)

# The last act: so many nights that went well, and one with so many healthy trainings beside the bad one.
NIGHTS = 8
SIBLINGS = 2
CORRUPTED = 0.3  # of the training rows of the bad night's data file
