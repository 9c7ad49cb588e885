"""Histories of final values, run over run, with the places where they really changed: real ones, and synthetic ones.

Real: `runs.csv.gz` and `points.parquet` of a folder of curves. A *group* is a commit there, its runs are repeats with
other seeds. Groups are in order of date and name, and read backwards: a record's history is of improvements, backwards
it is of regressions. Runs whose steps took more than 1.5 times as long as their neighbours' were made on other
hardware, hence are another family, and left out. What really changed nobody has written down, so it is read off the
groups as wholes, which no method sees: a commit *changed* the metric if the groups' medians differ by 0.5 % or more and
hardly overlap (of all pairs of a run before and one after, 90 % are in that order); if they overlap, nobody can say.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EFFECT = 0.005
ORDERED = 0.9  # of all pairs
OTHER_HARDWARE = 1.5
NEIGHBOURS = 3
TRACKS = {"records": "track_1_short", "records 2": "track_3_optimization"}


@dataclass(frozen=True)
class History:
    """Final values, oldest first, in groups of one commit each."""

    name: str
    values: Floats
    starts: tuple[int, ...]  # where each commit but the first begins
    changed: frozenset[int]  # of these, where the level really changed
    unclear: frozenset[int]  # and where nobody can say


def synthetic(seed: int, runs: int = 300, *, changes: bool = True) -> History:
    """Commits of 1 to 30 runs, of which two in five change the level by 0.6 to 4 %, or by 3 to 12 times the noise.

    The noise is 0.05 to 2 %, differs between commits, in half of the histories has heavy tails, and one run in fifty is
    5 to 30 times as far off. A change counts where the level holds for three runs to both sides; else it is unclear.
    """
    rng = np.random.default_rng(seed)
    noise, has_heavy_tails = 10 ** rng.uniform(-3.3, -1.7), rng.random() < 0.5
    parts: list[Floats] = []
    starts, moved, level, count = [], [], 0.0, 0
    while count < runs:
        size = int(rng.choice([1, 1, 2, 3, 5, 8, 13, 30])) if rng.random() < 0.5 else int(rng.integers(3, 13))
        if count and changes and rng.random() < 0.4:
            level += rng.choice([-1, 1]) * max(EFFECT * rng.uniform(1.2, 8), noise * rng.uniform(3, 12))
            moved.append(count)
        deviations = rng.standard_t(4, size) / np.sqrt(2) if has_heavy_tails else rng.standard_normal(size)
        is_off = rng.random(size) < 0.02
        deviations = deviations + is_off * rng.choice([-1, 1], size) * rng.uniform(5, 30, size)
        parts.append(np.exp(level + noise * np.exp(0.3 * rng.standard_normal()) * deviations))
        if count:
            starts.append(count)
        count += size
    edges = [0, *moved, count]
    lengths = [after - first for first, after in pairwise(edges)]
    clear = {at for at, left, right in zip(moved, lengths, lengths[1:], strict=False) if min(left, right) >= 3}
    name = f"synthetic {seed}{'' if changes else ', nothing changes'}"
    return History(name, np.concatenate(parts), tuple(starts), frozenset(clear), frozenset(set(moved) - clear))


def real(folder: Path) -> Iterator[History]:
    """The histories of a folder of curves: time to the end and final loss, and the step time where all runs have it."""
    for track, family in TRACKS.items():
        groups = _groups(folder, family)
        curves = _curves(folder, {run for runs in groups.values() for run, _ in runs})
        groups = _without_other_hardware(groups, curves)
        metrics = {
            "time": {run: curves[run, "val_loss"][-1][0] for runs in groups.values() for run, _ in runs},
            "final loss": {run: final for runs in groups.values() for run, final in runs},
        }
        if all((run, "step_time_ms") in curves for run in metrics["time"]):
            metrics["step time"] = {run: _tail_mean(curves[run, "step_time_ms"]) for run in metrics["time"]}
        for metric, finals in metrics.items():
            parts = [np.array([finals[run] for run, _ in runs]) for runs in groups.values()]
            yield _history(f"{track}, {metric}", parts[::-1])


Runs = dict[str, list[tuple[int, float]]]  # group -> (run, final loss)
Curves = dict[tuple[int, str], list[tuple[float, float]]]  # (run, metric) -> (seconds, value), by step


def _groups(folder: Path, family: str) -> Runs:
    with gzip.open(folder / "runs.csv.gz", "rt", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["family"] == family and row["source"] == "modded-nanogpt"]
    found: Runs = {}
    for row in sorted(rows, key=lambda row: (row["date"], row["group"])):
        found.setdefault(row["group"], []).append((int(row["run"]), float(row["final_val_loss"])))
    return found


def _curves(folder: Path, runs: set[int]) -> Curves:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "points.parquet", filters=pc.field("run").isin(sorted(runs)))
    found: Curves = {}
    wanted = ("run", "metric", "t", "y")
    for run, metric, seconds, value in zip(
        *(table.sort_by([("run", "ascending"), ("x", "ascending")])[name].to_pylist() for name in wanted), strict=True
    ):
        found.setdefault((run, metric), []).append((seconds, value))
    return found


def _without_other_hardware(groups: Runs, curves: Curves) -> Runs:
    pace = {run: _pace(curves, run) for runs in groups.values() for run, _ in runs}
    usual = [float(np.median([pace[run] for run, _ in runs])) for runs in groups.values()]
    found: Runs = {}
    for at, (group, runs) in enumerate(groups.items()):
        around = float(np.median(usual[max(0, at - NEIGHBOURS) : at + NEIGHBOURS + 1]))
        kept = [(run, final) for run, final in runs if not pace[run] > OTHER_HARDWARE * around]
        if kept:
            found[group] = kept
    return found


def _pace(curves: Curves, run: int) -> float:
    times = curves.get((run, "step_time_ms"))
    return float(np.mean([value for _, value in times])) if times else float("nan")


def _tail_mean(curve: Sequence[tuple[float, float]]) -> float:
    return float(np.mean([value for _, value in curve[-max(1, len(curve) // 10) :]]))


def _history(name: str, parts: Sequence[Floats]) -> History:
    starts = np.cumsum([len(part) for part in parts])[:-1]
    changed: set[int] = set()
    unclear: set[int] = set()
    for start, before, after in zip(starts.tolist(), parts, parts[1:], strict=False):
        if abs(np.log(np.median(after) / np.median(before))) < EFFECT:
            continue
        above = float((after[:, None] > before).mean() + (after[:, None] == before).mean() / 2)
        (changed if max(above, 1 - above) >= ORDERED else unclear).add(start)
    return History(name, np.concatenate(parts), tuple(starts.tolist()), frozenset(changed), frozenset(unclear))
