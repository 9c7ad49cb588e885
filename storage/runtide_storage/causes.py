"""Which of two runs' recorded differences likely made their results differ: an order to look in, not a proof.

A difference counts by what it is (a learning rate more than a package that nothing is computed with), and by how
strongly it goes with the metric over the other runs of the project, where it varied there too. What means nothing
(paths, ports, names) is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtide_storage import compare, differences, goals, run_table
from runtide_storage.association import association
from runtide_storage.differences import Part
from runtide_storage.filter_syntax import Field
from runtide_storage.ids import run_key
from runtide_storage.reader import Reader
from runtide_storage.runs import RunName

RUNS_MAX = 100  # of the project, the newest: what they recorded is read whole
RUNS_MIN = 5
# How often a difference of this part explains one in the result, where nothing else is known: our own judgement.
PRIOR: Mapping[Part, float] = {
    "config": 1.0, "code": 0.9, "dataset": 0.9, "input": 0.8, "packages": 0.5, "environment": 0.3, "hardware": 0.3,
}  # fmt: skip
UNKNOWN = 0.5  # of the strength, where no other runs tell it
FLOOR = 0.2  # however weakly it goes with the metric elsewhere: here it may be the cause all the same
ASIDE = 0.2  # times the prior, for packages and code facts that hardly compute anything
_COMPUTES = re.compile(
    r"^(torch|tensorflow|jax|jaxlib|flax|keras|numpy|scipy|scikit-learn|xgboost|lightgbm|catboost|transformers|datasets"
    r"|tokenizers|accelerate|deepspeed|lightning|pytorch-lightning|triton|flash-attn|apex|bitsandbytes|peft|trl|timm"
    r"|torchvision|torchaudio|optax|cupy.*|nvidia-.*|pandas|polars|pyarrow|opencv.*|pillow|albumentations)$"
)
_CODE = frozenset(("commit", "diff"))


@dataclass(frozen=True, slots=True)
class Cause:
    """One difference. `score` 0 ... 1; `strength`: how it goes with the metric over `runs` others, None: not known."""

    part: Part
    name: str
    a: Any
    b: Any
    score: float
    strength: float | None
    runs: int


@dataclass(frozen=True, slots=True)
class Causes:
    """What the result is (None: none was found that both runs have), and its likely causes, the likeliest first."""

    metric: str | None
    a: float | None
    b: float | None
    causes: tuple[Cause, ...]


def causes(reader: Reader, a: RunName, b: RunName, metric: str | None) -> Causes:
    """What `Client.causes` describes."""
    metric, result_a, result_b = _result(reader, a, b, metric)
    values = differences.recorded(reader, [a.key, b.key])
    there, here = (differences.parts(values.get(run.key, {})) for run in (a, b))
    differing = [
        (part, name, there.get(part, {}).get(name), here.get(part, {}).get(name))
        for part in PRIOR
        for name in sorted({*there.get(part, ()), *here.get(part, ())})
        if not differences.same(there.get(part, {}).get(name), here.get(part, {}).get(name))
    ]
    others, target = _others(reader, a, b, metric) if metric is not None and differing else ([], np.empty(0))
    found = []
    for part, name, old, new in differing:
        has = [at for at, recorded in enumerate(others) if name in recorded.get(part, {})]
        told = [others[at][part][name] for at in has]
        strength = association(told, target[has]) if len(has) >= RUNS_MIN else None
        weight = UNKNOWN if strength is None else FLOOR + (1 - FLOOR) * strength
        found.append(Cause(part, name, old, new, round(_prior(part, name) * weight, 4), strength, len(has)))
    found.sort(key=lambda each: (-each.score, each.part, each.name))
    return Causes(metric, result_a, result_b, tuple(found))


def _prior(part: Part, name: str) -> float:
    is_aside = (part == "packages" and not _COMPUTES.match(name)) or (part == "code" and name not in _CODE)
    return PRIOR[part] * (ASIDE if is_aside else 1.0)


def _result(
    reader: Reader, a: RunName, b: RunName, metric: str | None
) -> tuple[str | None, float | None, float | None]:
    """The metric to explain and both values: the given one, else one with a goal, held out rather than trained on."""
    rows = compare.compare(reader, [a], [b], None if metric is None else [metric]).to_pylist()
    both = [row for row in rows if row["baseline"] is not None and (metric is not None or row["goal"] is not None)]
    both.sort(key=lambda row: (not goals.is_held_out(row["metric"]), row["metric"]))
    if not both:
        return metric, None, None
    return both[0]["metric"], both[0]["value"], both[0]["baseline"]


def _others(reader: Reader, a: RunName, b: RunName, metric: str) -> tuple[Sequence[Mapping[str, Any]], Any]:
    """What runs of the projects of both recorded, part by part, and their results; both runs are among them."""
    best, last = str(Field("best", metric)), str(Field("last", metric))
    results: dict[int, float] = {}
    for project in dict.fromkeys((a.project, b.project)):
        table = run_table.run_table(reader, project, f"{last} is not null", "-started_at", RUNS_MAX, 0, [best, last])
        for row in table.to_pylist():
            value = row[best] if row[best] is not None else row[last]
            if value is not None and np.isfinite(value):
                results[run_key(row["project"], row["run_id"])] = value
    recorded = differences.recorded(reader, results)
    return [differences.by_part(recorded.get(key, {})) for key in results], np.array(list(results.values()))
