"""Norms of a torch model's gradients (and parameters) as metrics: what `run.watch` does.

watch(run, model, log_freq=100)   # gradients/norm, gradients/<parameter>
"""

from __future__ import annotations

from typing import Any

from runtide._run import Run


def watch(run: Run, models: Any, log: Any = "gradients", log_freq: int = 1000) -> list[Watch]:
    """Log at every `log_freq`th backward pass: `log` is "gradients", "parameters", "all" or None."""
    several = models if isinstance(models, (list, tuple)) else [models]
    prefixes = [f"model{number}/" if number else "" for number in range(len(several))]
    return [
        Watch(run, model, prefix, str(log), max(1, int(log_freq)))
        for model, prefix in zip(several, prefixes, strict=True)
    ]


class Watch:
    """Hooks of one model. Norms stay on the device until the pass is over, and only those that are logged are taken."""

    def __init__(self, run: Run, model: Any, prefix: str, log: str, log_freq: int) -> None:
        self.model = model
        self._run = run
        self._prefix = prefix
        self._log = log
        self._log_freq = log_freq
        self._passes = 0
        self._seen: set[str] = set()
        self._norms: dict[str, Any] = {}
        trained = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
        self._count = len(trained)
        self._hooks = [each.register_post_accumulate_grad_hook(self._hook(name)) for name, each in trained]

    def close(self) -> None:
        """Take the hooks off."""
        for hook in self._hooks:
            hook.remove()

    def _hook(self, name: str) -> Any:
        def after_gradient(parameter: Any) -> None:
            try:
                self._take(name, parameter)
            except Exception as error:  # noqa: BLE001 - never into training
                self._run._writer.refusals.add("gradients that can't be watched", f"{name}: {error}")

        return after_gradient

    def _take(self, name: str, parameter: Any) -> None:
        if name in self._seen:  # a parameter that this pass has had before: another pass began
            self._end_of_pass()
        self._seen.add(name)
        if self._passes % self._log_freq == 0:
            if self._log in ("gradients", "all") and parameter.grad is not None:
                self._norms[f"gradients/{self._prefix}{name}"] = parameter.grad.detach().norm()
            if self._log in ("parameters", "all"):
                self._norms[f"parameters/{self._prefix}{name}"] = parameter.detach().norm()
        if len(self._seen) == self._count:
            self._end_of_pass()

    def _end_of_pass(self) -> None:
        norms, self._norms = {name: float(norm) for name, norm in self._norms.items()}, {}
        self._seen.clear()
        self._passes += 1
        if norms:
            for what in ("gradients", "parameters"):
                parts = [value for name, value in norms.items() if name.startswith(f"{what}/")]
                if parts:
                    norms[f"{what}/{self._prefix}norm"] = sum(value * value for value in parts) ** 0.5
            self._run.log(norms, commit=False)
