"""How runs differ: the settings they don't share, and the values they reached."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

ABSENT = "–"
Goal = Literal["minimize", "maximize"]

_LESS_IS_BETTER = frozenset(
    ("loss", "error", "err", "perplexity", "ppl", "mae", "mse", "rmse", "nll", "bpb", "wer", "cer", "fid", "regret")
)
_MORE_IS_BETTER = frozenset(
    (
        "acc", "accuracy", "auc", "f1", "precision", "recall", "bleu", "rouge", "reward", "return", "score", "r2",
        "iou", "map", "ndcg", "mfu",
    )
)  # fmt: skip


def differing(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """key -> run -> value, only for keys whose value is not the same in all runs. A run that lacks a key has no entry.

    Values are compared as JSON, so 1 and 1.0 are the same and 1 and "1" are not.
    """
    keys = sorted({key for config in configs.values() for key in config})
    found: dict[str, dict[str, Any]] = {}
    for key in keys:
        values = {run: config[key] for run, config in configs.items() if key in config}
        if len(values) < len(configs) or len({_canonical(value) for value in values.values()}) > 1:
            found[key] = values
    return found


def _canonical(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, default=str)


def shown(value: Any) -> str:
    """A setting as text: strings bare, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def goal_of(metric: str, defined: str | None = None) -> Goal | None:
    """What is better for `metric`: as `define_metric` said, else by the words of its name, else None."""
    if defined == "minimize":
        return "minimize"
    if defined == "maximize":
        return "maximize"
    words = set(metric.lower().replace("/", "_").replace("-", "_").replace(".", "_").split("_"))
    if words & _LESS_IS_BETTER:
        return "minimize"
    if words & _MORE_IS_BETTER:
        return "maximize"
    return None


@dataclass(frozen=True, slots=True)
class Reached:
    """What one run reached in one metric. `best` is None where nobody knows what is better."""

    last: float
    best: float | None
    best_step: int | None


def best_of(
    goal: Goal | None, minimum: tuple[float, int], maximum: tuple[float, int]
) -> tuple[float | None, int | None]:
    """(value, step) of the best finite point; (None, None) without a goal or a finite point."""
    if goal is None:
        return None, None
    value, step = minimum if goal == "minimize" else maximum
    return (value, step) if math.isfinite(value) else (None, None)


def winner(values: Sequence[float | None], goal: Goal | None) -> int | None:
    """Index of the best value, None if fewer than two are finite, all are equal, or nothing is better than another."""
    finite = [(value, index) for index, value in enumerate(values) if value is not None and math.isfinite(value)]
    if goal is None or len({value for value, _ in finite}) < 2:
        return None
    return (min if goal == "minimize" else max)(finite, key=lambda pair: pair[0])[1]
