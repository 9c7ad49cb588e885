"""The verdict on a run that ended, from its stored points and its plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from runtide_storage.cohorts import Cohorts
from runtide_storage.ids import key_id
from runtide_workers.alerting.baselines import binned_curve
from runtide_workers.alerting.plans import Plan
from runtide_workers.detection import verdict
from runtide_workers.detection.baseline import Baseline
from runtide_workers.detection.verdict import Judgement


def judge(cohorts: Cohorts, plan: Plan, state: str, open_pages: Sequence[str], now_ms: int) -> list[dict[str, Any]]:
    """Rows of table `verdicts`. Raises `StorageError`."""
    run = plan.facts.run
    judged: dict[str, Judgement] = {}
    grids: dict[tuple[bytes, str], list[str]] = {}
    singles: list[str] = []
    for metric in plan.goals:
        baseline = plan.cohort.values.get(metric)
        if baseline is None or baseline.pointwise:
            singles += [metric] if baseline is not None or plan.cohort.lasts.get(metric) else []
        else:
            grids.setdefault((baseline.edges.tobytes(), baseline.scale), []).append(metric)
    lasts = {each.metric: each.last for each in cohorts.extents([run])} if grids else {}
    for (_, scale), metrics in grids.items():
        edges = plan.cohort.values[metrics[0]].edges
        table = cohorts.bins([run], [key_id(metric) for metric in metrics], edges.tolist(), log=scale == "log")
        for metric in metrics:
            bins = binned_curve(table, run, key_id(metric), edges)
            judged[metric] = verdict.judge_bins(plan.cohort.values[metric], bins, lasts.get(metric))
    if singles:
        table = cohorts.curves([run], [key_id(metric) for metric in singles])
        keys, steps, values = (table[name].to_numpy() for name in ("key", "step", "value"))
        for metric in singles:
            own = keys == np.uint64(key_id(metric))
            judged[metric] = _single(plan, metric, plan.cohort.values.get(metric), steps[own], values[own])
    judged = dict(sorted(judged.items()))
    whole = verdict.overall(judged, plan.primary if plan.primary in judged else None, state, open_pages)
    return verdict.rows(run, judged, whole, now_ms)


def _single(plan: Plan, metric: str, baseline: Baseline | None, steps: Any, values: Any) -> Judgement:
    if not len(values):
        return Judgement("no baseline", "the run has no points of this metric", plan.goals[metric])
    if baseline is not None:
        return verdict.judge(baseline, steps, values)
    others = plan.cohort.lasts[metric].values()
    return verdict.judge_values(float(values[np.argmax(steps)]), others, plan.goals[metric])
