"""Whom a run is compared with: its family, its metrics' goals, and which finished runs are its baseline. Pure.

A family is what makes curves comparable: project and group, and what changes a curve without being the experiment's
question: hardware, world size, batch size, precision, planned length. Baselines from another machine alone made 45 % of
healthy runs alarm on throughput (docs/detection.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, cast

import xxhash

from runtide_storage.cohorts import Candidate, Facts
from runtide_storage.goals import Goal, defined, goal_of

MEMBERS_MAX = 20
PRIMARY_PLACES = ("val", "valid", "validation", "eval", "test")
SYSTEM_PREFIX = "system/"

# Names of config keys, compared by their last part in lower case, that change a curve but are seldom the question.
_SETTINGS = frozenset(
    (
        "amp", "batch", "batch_size", "dtype", "epochs", "eval_batch_size", "global_batch_size", "grad_accum",
        "gradient_accumulation_steps", "max_epochs", "max_iters", "max_steps", "n_gpus", "num_epochs", "num_gpus",
        "num_nodes", "num_steps", "num_train_epochs", "per_device_train_batch_size", "precision", "rounds", "seq_len",
        "sequence_length", "steps", "total_steps", "train_batch_size", "train_steps", "world_size",
    )
)  # fmt: skip
# Without a group, what the task is decides as well.
_TASKS = frozenset(("arch", "architecture", "data", "dataset", "model", "model_name", "network", "task"))
_HARDWARE = ("meta.gpu/names", "meta.gpu/count", "meta.cpu/model", "meta.cpu/usable")
_WORLD = ("meta.env/WORLD_SIZE", "meta.env/SLURM_NTASKS")


@dataclass(frozen=True, slots=True)
class Family:
    """`fields` is what makes it, as shown to people; `id` is their hash."""

    id: int
    fields: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The fields as JSON, sorted."""
        return json.dumps(self.fields, sort_keys=True, ensure_ascii=False)


def family_of(facts: Facts, names: Sequence[str] | None = None) -> Family:
    """The run's family. `names` ("config.batch_size", "meta.gpu/names", "tags", ...) replaces the default fields."""
    fields: dict[str, Any] = {"project": facts.project, "group": facts.group, "job_type": facts.job_type}
    if names is not None:
        fields |= {name: list(facts.tags) if name == "tags" else facts.values.get(name) for name in names}
    else:
        wanted = _SETTINGS if facts.group else _SETTINGS | _TASKS
        for name, value in facts.values.items():
            section, _, path = name.partition(".")
            if section == "config" and path.replace(".", "/").rpartition("/")[2].lower() in wanted:
                fields[name] = value
        fields |= {name: facts.values[name] for name in (*_HARDWARE, *_WORLD) if name in facts.values}
        if not facts.group:
            fields["script"] = PurePath(str(facts.values.get("meta.script", ""))).name
    fields = {name: value for name, value in fields.items() if value not in (None, "", [])}
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False)
    return Family(xxhash.xxh64_intdigest(text.encode("utf-8", "surrogatepass")), fields)


def goals(metrics: Iterable[str], *definitions: Mapping[str, str]) -> dict[str, Goal]:
    """metric -> goal, of those that have one: as defined (by the first that knows), else by name."""
    found: dict[str, Goal] = {}
    for metric in metrics:
        if metric.startswith(SYSTEM_PREFIX):
            if metric.startswith("system/gpu/") and metric.endswith("/percent"):
                found[metric] = "maximize"  # an idle GPU is a regression too
            continue
        goal = next((goal for known in definitions if (goal := defined(known, metric))), None) or goal_of(metric)
        if goal:
            found[metric] = cast(Goal, goal)
    return found


def primary(known: Mapping[str, str], explicit: Iterable[str], configured: str = "") -> str:
    """The metric that may page alone: the configured one, else the best known of those with a goal; "" if none has.

    `known`: metric -> goal; `explicit`: names that define_metric was called with. A metric that somebody defined by
    name comes before others, a held-out one before a training one, a loss before what else there is.
    """
    if configured in known:
        return configured
    named = set(explicit)

    def rank(metric: str) -> tuple[bool, bool, bool, str]:
        words = metric.lower().replace("-", "_").replace("/", "_").replace(".", "_").split("_")
        held_out = any(word in PRIMARY_PLACES for word in words)
        loss = "loss" in words or "perplexity" in words
        return metric not in named, not held_out, not loss, metric

    candidates = [metric for metric in known if not metric.startswith(SYSTEM_PREFIX)]
    return min(candidates, key=rank, default="")


def choose(
    candidates: Sequence[Candidate],
    pinned: Sequence[Candidate],
    marks: Mapping[str, Sequence[str]],
    own: int,
) -> list[int]:
    """The baseline's members, the oldest first: at most MEMBERS_MAX.

    People's pins replace the family's runs; a run that alarmed joins only when somebody accepted it; excluded runs and
    the run itself never do. `candidates` and `pinned` come newest first.
    """
    excluded, accepted = set(marks.get("exclude", ())), set(marks.get("accept", ()))
    source = pinned or [each for each in candidates if not each.alarmed or each.run_id in accepted]
    kept = [each.run for each in source if each.run != own and each.run_id not in excluded]
    return kept[:MEMBERS_MAX][::-1]
