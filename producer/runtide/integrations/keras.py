"""Keras 3, on any of its backends: what `fit` and `evaluate` report.

model.fit(x, y, validation_data=test, callbacks=[RuntideCallback()])
"""
# ruff: noqa: ARG002 - the signatures are the library's

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtide._run import Run
from runtide.integrations import current, harmless, library

_keras: Any = library("keras")


class RuntideCallback(_keras.callbacks.Callback):  # type: ignore[misc]
    """Epochs as `loss`, `val_loss`, ... at step epoch; with `log_freq=n` every n-th batch as `batch/...` besides.

    Batches are counted by the optimizer, so training that goes on from a checkpoint goes on there. What `evaluate`
    finds outside of `fit` becomes `test/...`.
    """

    def __init__(self, run: Run | None = None, log_freq: int | str = "epoch") -> None:
        super().__init__()
        self.run = current(run)
        self._every = log_freq if isinstance(log_freq, int) else 1 if log_freq == "batch" else 0
        self._batch = 0
        self._fits = False

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._fits = True
        with harmless(self.run, "Keras' callback"):
            optimizer = self.model.optimizer
            self._batch = int(optimizer.iterations)
            facts = {**optimizer.get_config(), "parameters": self.model.count_params(), **self.params}
            facts.pop("verbose", None)
            self.run.config.update({"keras": facts})
            self.run.define_metric("batch/*", step_metric="batch/step")

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._batch += 1
        if self._every and self._batch % self._every == 0:
            with harmless(self.run, "Keras' callback"):
                values = {f"batch/{name}": value for name, value in (logs or {}).items()}
                self.run.log({**values, "batch/step": self._batch}, step=self._batch)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        with harmless(self.run, "Keras' callback"):
            self.run.log({**(logs or {}), "learning_rate": float(self.model.optimizer.learning_rate)}, step=epoch)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._fits = False

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if not self._fits:
            self.run.log({f"test/{name}": value for name, value in (logs or {}).items()})


WandbCallback = WandbMetricsLogger = RuntideCallback  # as wandb's adapters are called
