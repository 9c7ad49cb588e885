"""Hugging Face transformers: a callback for the Trainer.

Trainer(model, args, train_dataset=data, callbacks=[RuntideCallback()])
"""
# ruff: noqa: ARG002 - the signatures are the library's

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import runtide
from runtide._run import Run
from runtide.integrations import going_on, harmless, library

_callback: Any = library("transformers.trainer_callback", "transformers")


class RuntideCallback(_callback.TrainerCallback):  # type: ignore[misc]
    """What the Trainer logs, from the main process alone, at its global step: `train/loss`, `eval/loss`, ...

    `run`: one that goes on already, else the current one, else one begins with what `init` takes. Arguments and the
    model's config are the run's config. `log_model`: record saved checkpoints as artifacts.
    """

    def __init__(self, run: Run | None = None, *, log_model: bool = False, **init: Any) -> None:
        self._run = run
        self._log_model = log_model
        self._init = init

    @property
    def run(self) -> Run:
        if self._run is None:
            self._run = going_on() or runtide.init(**self._init)
        return self._run

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if state.is_world_process_zero:
            with harmless(self.run, "transformers' callback"):
                config: Any = getattr(model, "config", None)
                facts = {"model": config.to_dict()} if hasattr(config, "to_dict") else {}
                self.run.config.update({**args.to_sanitized_dict(), **facts})
                if args.metric_for_best_model:
                    name = _renamed(args.metric_for_best_model if "eval_" in args.metric_for_best_model
                                    else f"eval_{args.metric_for_best_model}")  # fmt: skip
                    self.run.define_metric(name, goal="maximize" if args.greater_is_better else "minimize")

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        if state.is_world_process_zero and logs:
            values = {_renamed(name): value for name, value in logs.items() if isinstance(value, (int, float))}
            self.run.log(values, step=state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero and self._log_model:
            self.run.log_artifact(f"{args.output_dir}/checkpoint-{state.global_step}", type="checkpoint")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            best = {"best_metric": state.best_metric, "best_model_checkpoint": state.best_model_checkpoint}
            self.run.summary.update({name: value for name, value in best.items() if value is not None})


def _renamed(name: str) -> str:
    """As the Trainer's other trackers write them."""
    for part in ("eval", "test"):
        if name.startswith(f"{part}_"):
            return f"{part}/{name.removeprefix(f'{part}_')}"
    return f"train/{name}"
