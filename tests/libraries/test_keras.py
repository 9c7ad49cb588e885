"""Keras 3 (on torch): the journal holds what `fit` returns, number by number."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runtide
from tests.fixtures.journals import BARE, journal, journals

os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.importorskip("torch", reason="torch is not installed: make test-libraries")
keras = pytest.importorskip("keras", reason="keras is not installed: make test-libraries")

X = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[runtide.Run]:
    run = runtide.init("keras", dir=tmp_path, settings=BARE)
    yield run
    run.finish()


def new_model(learning_rate: float = 0.1) -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer=keras.optimizers.SGD(learning_rate), loss="binary_crossentropy", metrics=["accuracy"])
    return model


def fit(model: Any, callback: Any, epochs: int = 3, **options: Any) -> dict[str, list[float]]:
    history = model.fit(X[:48], Y[:48], validation_data=(X[48:], Y[48:]), epochs=epochs, batch_size=16, verbose=0,
                        callbacks=[callback], **options)  # fmt: skip
    return dict(history.history)


def test_epochs_are_what_fit_returns(run: runtide.Run, tmp_path: Path) -> None:
    from runtide.integrations.keras import RuntideCallback

    model = new_model()
    history = fit(model, RuntideCallback())
    model.evaluate(X, Y, verbose=0, callbacks=[RuntideCallback()])
    written = journal(tmp_path)
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    for name, course in history.items():
        assert written.points(name) == list(enumerate(course))
    assert [value for _, value in written.points("learning_rate")] == pytest.approx([0.1] * 3)
    assert len(written.points("test/loss")) == 1
    config = written.values("config")
    assert (config["keras/epochs"], config["keras/parameters"], config["keras/momentum"]) == (3, 4, 0.0)


def test_batches_are_counted_over_epochs_and_checkpoints(run: runtide.Run, tmp_path: Path) -> None:
    from runtide.integrations.keras import WandbMetricsLogger

    model = new_model()
    first = fit(model, WandbMetricsLogger(log_freq="batch"), epochs=2)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    second = fit(again, WandbMetricsLogger(log_freq=3), epochs=3, initial_epoch=2)
    written = journal(tmp_path)
    assert [step for step, _ in written.points("batch/loss")] == [1, 2, 3, 4, 5, 6, 9]
    assert written.points("batch/step") == [(step, float(step)) for step in (1, 2, 3, 4, 5, 6, 9)]
    assert written.points("loss") == list(enumerate(first["loss"] + second["loss"]))
    assert written.points("batch/loss")[-1][1] == pytest.approx(second["loss"][0], rel=1e-6)  # its running mean


def test_a_fit_that_fails_keeps_its_epochs(tmp_path: Path) -> None:
    from runtide.integrations.keras import RuntideCallback

    base: Any = keras.callbacks.Callback

    class Fails(base):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise MemoryError

    model = new_model()
    with pytest.raises(MemoryError), runtide.init("keras", dir=tmp_path, settings=BARE):
        model.fit(X, Y, epochs=5, verbose=0, callbacks=[RuntideCallback(), Fails()])
    [written] = journals(tmp_path)
    assert [step for step, _ in written.points("loss")] == [0, 1]
    assert written.events("finish")[0]["state"] == "failed"


def test_a_diverging_loss_is_kept(run: runtide.Run, tmp_path: Path) -> None:
    from runtide.integrations.keras import RuntideCallback

    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(1e30), loss="mse")
    course = model.fit(X, Y, epochs=3, verbose=0, callbacks=[RuntideCallback()]).history["loss"]
    assert np.array_equal([value for _, value in journal(tmp_path).points("loss")], course, equal_nan=True)
    assert not np.isfinite(course[-1])
