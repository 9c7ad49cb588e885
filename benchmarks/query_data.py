"""100 million realistic points for `benchmarks.queries`, seeded, stored through the worker's own `Writer`.

Project `sweep`: 2,000 runs of 45 metrics and 1,000 steps (groups of 20 seeds; every fiftieth is resumed midway).
`marathon`: one run whose loss has 10 M steps. `wide`: one run of 100,000 metrics. `archive`: 100,000 short runs.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtide_storage.ids import key_id, run_key, writer_key
from runtide_storage.writer import Touched, Writer

SEED = 20_26
STEP_MS = 400.0
BEGIN_MS = 1_783_000_000_000
RUNS_AT_ONCE = 20
STATES = ("finished",) * 95 + ("failed",) * 3 + ("killed",) * 2

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Size:
    """How much there is of everything; `scale` 1 is the whole benchmark."""

    sweep_runs: int = 2_000
    sweep_steps: int = 1_000
    marathon_steps: int = 10_000_000
    wide_metrics: int = 100_000
    archive_runs: int = 100_000

    @classmethod
    def of(cls, scale: float) -> "Size":
        whole = cls()
        return cls(
            max(60, int(whole.sweep_runs * scale)),
            whole.sweep_steps,
            int(whole.marathon_steps * scale),
            int(whole.wide_metrics * scale),
            int(whole.archive_runs * scale),
        )

    @property
    def points(self) -> int:
        sweep = self.sweep_runs * self.sweep_steps * len(SWEEP_METRICS)
        return sweep + self.marathon_steps + 3 * self.wide_metrics + 10 * self.archive_runs


# What a training of a vision or language model logs. The kind says what its values look like: what frameworks hand out
# is float32 (as are the public logs that we know), what Python computes has all the digits of a double.
SWEEP_METRICS: dict[str, str] = {
    **{f"train/{name}": "float32" for name in ("loss", "loss_ce", "loss_aux", "grad_norm", "z_loss")},
    **{f"layer{n}/{name}": "float32" for n in range(4) for name in ("weight_norm", "grad_norm", "update_ratio")},
    **{f"train/{name}": "float32" for name in ("acc", "acc_top5", "entropy", "logit_max", "logit_mean", "margin")},
    **{f"val/{name}": "double" for name in ("loss", "bleu", "ece", "nll")},
    "train/perplexity": "double",
    **{f"time/{name}": "double" for name in ("step_s", "data_s", "forward_s", "backward_s", "samples_per_s")},
    **{f"val/{name}": "fraction" for name in ("acc", "acc_top5", "f1")},
    "schedule/lr": "cosine",
    "schedule/weight_decay": "constant",
    "schedule/epoch": "ramp",
    "schedule/tokens": "ramp",
    **{
        f"system/{name}": "percent"
        for name in ("cpu/percent", "memory/percent", "gpu/0/percent", "gpu/0/memory", "disk")
    },
}  # fmt: skip
SWEEP_KEYS = [key_id(name) for name in SWEEP_METRICS]


def values(kind: str, steps: NDArray[np.int64], level: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """One metric's values along `steps`: what training curves look like, with the digits that they have."""
    noise = rng.standard_normal(len(steps))
    falling = level + 4.0 * (1.0 + steps) ** -0.35
    if kind == "double":
        return np.asarray(falling * (1.0 + 0.03 * noise))
    if kind == "float32":
        return np.asarray(falling * (1.0 + 0.03 * noise), np.float32).astype(np.float64)
    if kind == "fraction":  # hits of 10,000 examples
        return np.asarray(np.round(np.clip(1.0 - falling / 6.0 + 0.01 * noise, 0, 1) * 10_000) / 10_000)
    if kind == "percent":
        return np.asarray(np.round(np.clip(60.0 + 12.0 * noise, 0, 100), 1))
    if kind == "constant":
        return np.full(len(steps), 0.1)
    if kind == "ramp":
        return np.asarray(steps * 512.0)
    return np.asarray(level * 0.5 * (1.0 + np.cos(np.pi * steps / (steps[-1] + 1.0))))


def clock(steps: int, start_ms: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """When each step was logged: about STEP_MS apart, with jitter."""
    return np.asarray(start_ms + np.cumsum(STEP_MS * (1.0 + 0.1 * rng.standard_normal(steps))), np.int64)


@dataclass(frozen=True)
class Run:
    """A run's names and when it began."""

    project: str
    number: int
    start_ms: int

    @property
    def run_id(self) -> str:
        return f"r{self.number:06d}"

    @property
    def key(self) -> int:
        return run_key(self.project, self.run_id)

    @property
    def seed(self) -> int:
        return SEED + self.number

    def writer(self, attempt: int) -> int:
        return writer_key(self.writer_id(attempt))

    def writer_id(self, attempt: int) -> str:
        return f"host{self.number % 40:02d}-{self.number}-{attempt}"


def fill(writer: Writer, size: Size, progress: Any = print) -> None:
    """Store everything. Raises what `Writer` raises."""
    sweep = [Run("sweep", number, BEGIN_MS + number * 2_500_000) for number in range(size.sweep_runs)]
    writer.rows("metrics", [{"id": key_id(name), "name": name} for name in SWEEP_METRICS])
    for start in range(0, len(sweep), RUNS_AT_ONCE):
        some = sweep[start : start + RUNS_AT_ONCE]
        writer.points(joined(_sweep_points(run, size.sweep_steps) for run in some))
        if start % 200 == 0:
            progress(f"  sweep: {start:,} of {len(sweep):,} runs")
    _names(writer, sweep, attempts=_attempts)
    for start in range(0, len(sweep), 500):
        writer.rollup([Touched(run.key, 0, size.sweep_steps - 1) for run in sweep[start : start + 500]])
    _marathon(writer, size.marathon_steps, progress)
    _wide(writer, size.wide_metrics, progress)
    _archive(writer, size.archive_runs, progress)


def joined(parts: Any) -> Columns:
    """Columns of several runs, one after the other."""
    found = list(parts)
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def _attempts(run: Run) -> int:
    return 2 if run.number % 50 == 7 else 1


def _sweep_points(run: Run, steps: int) -> Columns:
    """Of a resumed run the second attempt logs the second half of the steps again."""
    rng = np.random.default_rng(run.seed)
    level = 0.5 + 0.1 * (run.number // 20 % 100) / 100 + 0.01 * rng.standard_normal()
    parts = []
    ranges = [(1, 0, steps)] if _attempts(run) == 1 else [(1, 0, steps * 3 // 4), (2, steps * 3 // 4 - 100, steps)]
    for attempt, first, after in ranges:
        at = np.arange(first, after)
        n = len(at)
        ts = clock(n, run.start_ms + first * int(STEP_MS), rng)
        parts.append(
            {
                "run": np.full(n * len(SWEEP_KEYS), run.key, np.uint64),
                "key": np.repeat(np.array(SWEEP_KEYS, np.uint64), n),
                "step": np.tile(at, len(SWEEP_KEYS)),
                "ts": np.tile(ts, len(SWEEP_KEYS)),
                "value": np.concatenate([values(kind, at, level, rng) for kind in SWEEP_METRICS.values()]),
                "attempt": np.full(n * len(SWEEP_KEYS), attempt, np.uint16),
                "writer": np.full(n * len(SWEEP_KEYS), run.writer(attempt), np.uint64),
                "seq": np.tile(np.arange(1, n + 1, dtype=np.uint64), len(SWEEP_KEYS)),
            }
        )
    return joined(parts)


def _marathon(writer: Writer, steps: int, progress: Any) -> None:
    run = Run("marathon", 0, BEGIN_MS)
    key = key_id("train/loss")
    rng = np.random.default_rng(SEED)
    for first in range(0, steps, 1_000_000):
        n = min(1_000_000, steps - first)
        at = np.arange(first, first + n)
        value = values("float32", at, 0.5, rng)
        value[rng.integers(0, n, 3)] = np.nan
        writer.points(_one_curve(run, key, at, value, clock(n, BEGIN_MS + first * int(STEP_MS), rng)))
    _names(writer, [run])
    writer.rollup([Touched(run.key, 0, steps - 1)])
    progress(f"  marathon: {steps:,} steps")


def _one_curve(run: Run, key: int, at: NDArray[np.int64], value: NDArray[np.float64], ts: NDArray[np.int64]) -> Columns:
    n = len(at)
    return {
        "run": np.full(n, run.key, np.uint64),
        "key": np.full(n, key, np.uint64),
        "step": at,
        "ts": ts,
        "value": value,
        "attempt": np.ones(n, np.uint16),
        "writer": np.full(n, run.writer(1), np.uint64),
        "seq": np.asarray(at + 1, np.uint64),
    }


def _wide(writer: Writer, metrics: int, progress: Any) -> None:
    run = Run("wide", 0, BEGIN_MS)
    names = [f"layer{n // 1000:03d}/unit{n % 1000:03d}/activation" for n in range(metrics)]
    keys = np.array([key_id(name) for name in names], np.uint64)
    rng = np.random.default_rng(SEED)
    writer.rows("metrics", [{"id": int(key), "name": name} for key, name in zip(keys, names, strict=True)])
    for step in range(3):
        n = len(keys)
        columns = _one_curve(run, 0, np.full(n, step), rng.standard_normal(n), np.full(n, BEGIN_MS + step * 1000))
        writer.points(columns | {"key": keys, "seq": np.full(n, step + 1, np.uint64)})
    _names(writer, [run])
    writer.rollup([Touched(run.key, 0, 2)])
    progress(f"  wide: {metrics:,} metrics")


def _archive(writer: Writer, runs: int, progress: Any) -> None:
    """Short runs of two metrics and five points each: a project that is old."""
    rng = np.random.default_rng(SEED)
    keys = [key_id("val/loss"), key_id("val/acc")]
    for start in range(0, runs, 10_000):
        some = [Run("archive", n, BEGIN_MS - (runs - n) * 60_000) for n in range(start, min(runs, start + 10_000))]
        at = np.arange(0, 500, 100)
        parts = []
        for run in some:
            for key in keys:
                value = values("float32", at, 0.5, rng)
                parts.append(_one_curve(run, key, at, value, run.start_ms + at * 100))
        writer.points(joined(parts))
        _names(writer, some)
        for first in range(0, len(some), 500):
            writer.rollup([Touched(run.key, 0, 400) for run in some[first : first + 500]])
    progress(f"  archive: {runs:,} runs")


def _names(writer: Writer, runs: list[Run], attempts: Any = lambda _: 1) -> None:
    """Everything about runs that is no point: writers, events, config, summary, progress; then their rows."""
    for table, rows in (
        ("writers", _writers(runs, attempts)),
        ("run_events", _events(runs, attempts)),
        ("run_values", _values(runs)),
        ("metric_defs", _definitions(runs)),
        ("ingest_progress", _progress(runs, attempts)),
    ):
        writer.rows(table, list(rows))
    for start in range(0, len(runs), 1_000):
        writer.refold([run.key for run in runs[start : start + 1_000]])


def _writers(runs: list[Run], attempts: Any) -> Iterator[dict[str, Any]]:
    for run in runs:
        for attempt in range(1, attempts(run) + 1):
            yield {
                "run": run.key,
                "writer": run.writer(attempt),
                "project": run.project,
                "run_id": run.run_id,
                "writer_id": run.writer_id(attempt),
                "attempt": attempt,
                "rank": 0,
                "host": f"host{run.number % 40:02d}",
                "pid": 1000 + run.number,
                "started_at": run.start_ms + (attempt - 1) * 300_000,
            }


def _events(runs: list[Run], attempts: Any) -> Iterator[dict[str, Any]]:
    for run in runs:
        state = STATES[run.number * 37 % 100]
        finish = {"state": state, "exit_code": 0 if state == "finished" else 1}
        named = {"name": f"{run.project}-{run.number}", "group": f"g{run.number // 20:03d}", "tags": _tags(run)}
        bodies: list[tuple[str, int, dict[str, Any]]] = [
            ("start", 0, named),
            ("end", 450_000, {"state": "killed"}) if state == "killed" else ("finish", 450_000, finish),
        ]  # fmt: skip
        for seq, (kind, after_ms, body) in enumerate(bodies):
            yield {
                "run": run.key,
                "ts": (run.start_ms + after_ms) * 1_000_000,
                "writer": run.writer(attempts(run)),
                "seq": seq * 100_000,
                "attempt": attempts(run),
                "kind": kind,
                "body": json.dumps(body),
            }


def _tags(run: Run) -> list[str]:
    return ["prod"] if run.number % 10 == 3 else ["nightly", "a100"] if run.number % 2 else []


def _values(runs: list[Run]) -> Iterator[dict[str, Any]]:
    for run in runs:
        rng = np.random.default_rng(run.seed)
        config: dict[str, Any] = {
            "lr": float(10 ** rng.uniform(-5, -1)),
            "batch_size": int(2 ** rng.integers(3, 10)),
            "optimizer": ("adam", "sgd", "lion")[run.number % 3],
            "seed": run.number % 20,
        }
        if run.project == "sweep":
            config |= {
                "model/layers": int(rng.integers(4, 48)),
                "model/width": int(2 ** rng.integers(7, 13)),
                "dropout": round(float(rng.uniform(0, 0.5)), 2),
                "data/name": "imagenet" if run.number % 2 else "openwebtext",
                "augment": bool(run.number % 4),
                "warmup_steps": 100,
            }
        meta = {
            "python/version": "3.11.7",
            "git/commit": f"{run.number // 50:040x}",
            "host": f"host{run.number % 40:02d}",
        }
        sections = [("config", config), ("summary", {"best_epoch": run.number % 30}), ("meta", meta)]
        for section, found in sections:
            for name, value in found.items():
                number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
                yield {
                    "run": run.key,
                    "section": section,
                    "name": name,
                    "value": json.dumps(value),
                    "number": number,
                    "ts": run.start_ms * 1_000_000,
                }


def _definitions(runs: list[Run]) -> Iterator[dict[str, Any]]:
    for run in runs:
        for name, goal in (("val/loss", "minimize"), ("val/acc", "maximize")):
            yield {
                "run": run.key,
                "name": name,
                "goal": goal,
                "step_metric": "",
                "summary": "",
                "alert": "",
                "ts": run.start_ms * 1_000_000,
            }


def _progress(runs: list[Run], attempts: Any) -> Iterator[dict[str, Any]]:
    for run in runs:
        for attempt in range(1, attempts(run) + 1):
            yield {
                "run": run.key,
                "writer": run.writer(attempt),
                "first": 0,
                "next": 100_001,
                "point_at": run.start_ms + 400_000,
            }
