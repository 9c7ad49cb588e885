"""Lightning (`lightning` or `pytorch_lightning`): a logger for the Trainer.

Trainer(logger=RuntideLogger(project="digits"))
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import runtide
from runtide._run import Run
from runtide.integrations import going_on, harmless, library


def _library(part: str) -> Any:
    """Of the Lightning that the program uses: there are two packages with the same content."""
    if "lightning" not in sys.modules and "pytorch_lightning" in sys.modules:
        return library(f"pytorch_lightning.{part}")
    return library(f"lightning.pytorch.{part}")


_logger: Any = _library("loggers.logger")
_rank_zero: Any = _library("utilities.rank_zero")


class RuntideLogger(_logger.Logger):  # type: ignore[misc]
    """Logs what modules `log`, at the Trainer's global step, from rank 0 alone.

    `run`: one that goes on already, else one begins when it is first needed, with what `init` takes (`project`, `name`,
    `id`, ...). `log_model`: record checkpoints as artifacts. A fit that fails ends the run as failed; else it goes on,
    for `test` or another `fit`, until `finish` or the end of the program.
    """

    def __init__(self, run: Run | None = None, *, log_model: bool | str = False, prefix: str = "", **init: Any) -> None:
        super().__init__()
        self._run = run
        self._log_model = bool(log_model)
        self._prefix = f"{prefix}{self.LOGGER_JOIN_CHAR}" if prefix else ""
        offline = init.pop("offline", False)
        self._init: dict[str, Any] = {"mode": "offline"} if offline else {}
        self._init |= {{"save_dir": "dir", "version": "id"}.get(name, name): value for name, value in init.items()}

    @property
    @_logger.rank_zero_experiment  # type: ignore[untyped-decorator]
    def experiment(self) -> Run:
        """The run."""
        if self._run is None:
            self._run = going_on() or runtide.init(**self._init)
        return self._run

    @property
    def name(self) -> str | None:
        return self._run.project if self._run is not None else self._init.get("project")

    @property
    def version(self) -> str | None:
        return self._run.id if self._run is not None else self._init.get("id")

    @_rank_zero.rank_zero_only  # type: ignore[untyped-decorator]
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.experiment.log({f"{self._prefix}{name}": value for name, value in metrics.items()}, step=step)

    @_rank_zero.rank_zero_only  # type: ignore[untyped-decorator]
    def log_hyperparams(self, params: Mapping[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        with harmless(self.experiment, "Lightning's logger"):
            self.experiment.config.update(params)

    @_rank_zero.rank_zero_only  # type: ignore[untyped-decorator]
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        with harmless(self.experiment, "Lightning's logger"):
            best = getattr(checkpoint_callback, "best_model_path", "")
            if best:
                self.experiment.summary["best_model_path"] = best
                score = getattr(checkpoint_callback, "best_model_score", None)
                if score is not None:
                    self.experiment.summary["best_model_score"] = float(score)
            for path in {best, getattr(checkpoint_callback, "last_model_path", "")} if self._log_model else ():
                if path:
                    self.experiment.log_artifact(path, type="checkpoint")

    @_rank_zero.rank_zero_only  # type: ignore[untyped-decorator]
    def finalize(self, status: str) -> None:
        if status == "failed" and self._run is not None:
            self._run.finish(exit_code=1)

    def watch(self, model: Any, log: str | None = "gradients", log_freq: int = 100, **_: Any) -> None:
        """`Run.watch`."""
        self.experiment.watch(model, log=log, log_freq=log_freq)


WandbLogger = RuntideLogger  # as wandb's adapter is called
