"""docs/integrations.md: the examples of the large libraries run."""

import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runtide
from tests.fixtures.journals import BARE, journal

os.environ.setdefault("KERAS_BACKEND", "torch")
DOCUMENT = Path(__file__).parents[2] / "docs" / "integrations.md"
REASON = "not installed: make test-libraries"
X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")


def library(name: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} is {REASON}")


def given_keras(_: Path) -> dict[str, Any]:
    library("torch")
    keras = library("keras")
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(loss="binary_crossentropy")
    return {"model": model, "X": X, "y": Y, "X_test": X, "y_test": Y}


def given_lightning(_: Path) -> dict[str, Any]:
    torch, lightning = library("torch"), library("lightning.pytorch")
    warnings.filterwarnings("ignore", message=".*num_workers.*|.*Checkpoint directory.*|.*GPU.*")
    base: Any = lightning.LightningModule

    class Model(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)

        def training_step(self, batch: Any, index: int) -> Any:
            loss = self.layer(batch[0]).square().mean()
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.01)

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.from_numpy(X)), batch_size=20)
    return {"lightning": lightning, "model": Model(), "loader": loader}


def given_transformers(directory: Path) -> dict[str, Any]:
    torch, transformers = library("torch"), library("transformers")
    library("accelerate")
    tokens = torch.tensor([1, 2, 3, 0])
    config = transformers.GPT2Config(vocab_size=8, n_positions=4, n_embd=8, n_layer=1, n_head=2)
    arguments = transformers.TrainingArguments(str(directory), max_steps=2, logging_steps=1, save_strategy="no",
                                               report_to=[], use_cpu=True, disable_tqdm=True)  # fmt: skip
    return {"transformers": transformers, "arguments": arguments, "model": transformers.GPT2LMHeadModel(config),
            "data": [{"input_ids": tokens, "labels": tokens}] * 8}  # fmt: skip


def given_jax(_: Path) -> dict[str, Any]:
    jax, optax = library("jax"), library("optax")
    train_state, linen = library("flax.training.train_state"), library("flax.linen")
    model = linen.Dense(1)

    @jax.jit  # type: ignore[untyped-decorator]
    def train_step(state: Any, batch: Any) -> tuple[Any, Any]:
        loss, gradients = jax.value_and_grad(lambda params: (state.apply_fn(params, batch) ** 2).mean())(state.params)
        return state.apply_gradients(grads=gradients), {"loss": loss}

    return {"TrainState": train_state.TrainState, "model": model, "params": model.init(jax.random.key(0), X),
            "optax": optax, "train_step": train_step, "batch": X}  # fmt: skip


def given_torch(_: Path) -> dict[str, Any]:
    torch = library("torch")
    return {"runtide": runtide, "model": torch.nn.Linear(3, 1), "batches": torch.from_numpy(X).split(10)}


@pytest.mark.parametrize(
    ("title", "given", "metric"),
    [
        ("Keras", given_keras, "val_loss"), ("Lightning", given_lightning, "train_loss"),
        ("transformers", given_transformers, "train/loss"), ("JAX and Flax", given_jax, "loss"),
        ("torch", given_torch, "gradients/norm"),
    ],
)  # fmt: skip
def test_the_example_runs(
    title: str, given: Callable[[Path], dict[str, Any]], metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = given(tmp_path)
    section = DOCUMENT.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    [code] = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    for name, value in {**BARE, "dir": tmp_path / "journal"}.items():
        monkeypatch.setenv(f"RUNTIDE_{name.upper()}", str(value))
    run = None if title == "torch" else runtide.init("docs")  # that example begins its own
    exec(compile(code, f"docs/integrations.md {title}", "exec"), names)
    runtide.finish()
    assert run is None or run is runtide.run
    assert journal(tmp_path / "journal").points(metric)
