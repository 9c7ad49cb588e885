"""At the end of a run: is it better or worse than its baseline, or the same, by how much, and how sure is that?

The level of a curve is its mean over the last bins, on the baseline's scale (logarithms for positive metrics). Its
difference from the mean of the n baselines' levels *at the same steps* is judged by the interval in which one more run
of their kind would lie: t(n - 1) s sqrt(1 + 1/n) to either side (the prediction interval of a normal sample: Hahn and
Meeker, Statistical Intervals, 1991, section 4.6). So the spread between whole runs decides, never the noise within one.
Then all is turned back into the metric's own units, as a relative difference of which > 0 is worse.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from runtide_storage.goals import Goal
from runtide_storage.student import quantile, two_sided_p
from runtide_workers.detection.baseline import MDE, Baseline, Scale
from runtide_workers.detection.grid import Bins, Floats, bin_means, bin_paces

Verdict = Literal["better", "same", "worse", "no baseline"]

CONFIDENCE = 0.95
SAME_MEMBERS_MIN = 3  # with fewer an interval is so wide that it contains no effect whatever happened
LAST_BINS_MIN = 3
LAST_PART = 0.1  # of the run's steps
ROUNDING = 1e-6  # relative; not worth a word


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a metric of a run, or a whole run, compares. Numbers are None where there are none."""

    verdict: Verdict
    reason: str
    goal: Goal | None = None
    step: int | None = None  # where it was compared: the mean step of the last bin
    value: float | None = None  # the level there, in the metric's own units
    baseline: float | None = None  # the baselines' mean there
    effect: float | None = None  # relative difference, > 0 is worse
    low: float | None = None  # its 95 % interval
    high: float | None = None
    n: int = 0  # baseline runs that it was compared with
    p: float | None = None  # chance of a difference as large if there is none
    is_broken: bool = False  # the curve ends in NaN or infinity


def judge(baseline: Baseline, steps: ArrayLike, values: ArrayLike) -> Judgement:
    """How a curve, as logged, compares with its baseline. `steps` (n,), `values` (n,), which may hold NaN.

    For a baseline of the pace the values are seconds since the start of the run, as in `Baseline.fit`.
    """
    at, given = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    last = float(given[np.flatnonzero(at == at.max())[-1]]) if len(given) else None
    if baseline.of == "pace":
        return judge_bins(baseline, bin_paces(baseline.edges, at, given), last)
    return judge_bins(baseline, bin_means(baseline.edges, at, given, baseline.scale), last)


def judge_bins(baseline: Baseline, bins: Bins, last: float | None = None) -> Judgement:
    """The same for a curve that is in the baseline's bins already, transformed. `last`: its last value, as logged."""
    goal = baseline.goal
    if last is not None and not math.isfinite(last):
        return Judgement("worse", f"it ends in {_named(last)}", goal, n=baseline.n, p=0.0, is_broken=True)
    members = [at for at in range(len(baseline.curves)) if at not in baseline.wild]
    if not members:
        return Judgement("no baseline", "there is no baseline run with this metric", goal)
    if not np.isfinite(bins.values).any():
        return Judgement("no baseline", "the run has no points of this metric where its baselines have some", goal)
    found = _levels(bins, baseline.curves[members], baseline.steps[members])
    if found is None:
        return Judgement("no baseline", "no baseline run has points at the run's steps", goal)
    step, level, others = found
    return _compared(level, others, goal, baseline.scale, step)


def judge_values(value: float, others: Iterable[float], goal: Goal, scale: Scale | None = None) -> Judgement:
    """The same for single numbers, such as final or best values. Baselines that are not finite don't count.

    `scale`: "log" compares ratios and needs positive numbers; None takes it where all are. Raises `ValueError`.
    """
    given = np.array([each for each in others if math.isfinite(each)], np.float64)
    if not math.isfinite(value):
        return Judgement("worse", f"it is {_named(value)}", goal, n=len(given), p=0.0, is_broken=True)
    if not len(given):
        return Judgement("no baseline", "there is no baseline run with this metric", goal)
    is_positive = value > 0 and bool((given > 0).all())
    if scale == "log" and not is_positive:
        raise ValueError("the log scale needs positive numbers")
    if scale == "log" or (scale is None and is_positive):
        return _compared(math.log(value), np.log(given), goal, "log", None)
    return _compared(value, given, goal, "linear", None)


def _levels(bins: Bins, curves: Floats, steps: Floats) -> tuple[int, float, Floats] | None:
    """Step, level of the run, and levels of those baselines that have the same steps; None where there are none.

    The window ends at the run's last bin that at least half of the baselines (and three, if there are so many) reach: a
    run that ended early is compared there, a longer one where they end. Baselines on another grid are interpolated.
    """
    has = np.isfinite(curves)
    places = np.arange(curves.shape[1])
    first = np.where(has.any(axis=1), has.argmax(axis=1), len(places))
    last = np.where(has.any(axis=1), len(places) - 1 - has[:, ::-1].argmax(axis=1), -1)
    covered = (first[:, None] <= places) & (places <= last[:, None])
    own = np.flatnonzero(np.isfinite(bins.values))
    present = covered.sum(axis=0)[own]
    needed = min(max(min(len(curves), SAME_MEMBERS_MIN), (len(curves) + 1) // 2), int(present.max(initial=0)))
    usable = own[present >= needed]
    if not needed or not len(usable):
        return None
    end = usable[-1]
    members = np.flatnonzero(covered[:, end])
    part = bins.steps[end] - LAST_PART * (bins.steps[end] - bins.steps[own[0]])
    window = usable[-max(int((bins.steps[usable] >= part).sum()), LAST_BINS_MIN) :]
    window = window[covered[np.ix_(members, window)].sum(axis=0) >= needed]
    at = bins.steps[window]
    others = [
        np.interp(at, steps[one][has[one]], curves[one][has[one]]).mean() for one in members if first[one] <= window[0]
    ]
    return round(float(bins.steps[end])), float(bins.values[window].mean()), np.array(others)


def _compared(level: float, others: Floats, goal: Goal, scale: Scale, step: int | None) -> Judgement:
    """`level` and `others` on their scale."""
    n = len(others)
    unit = 1.0 if scale == "log" else max(float(np.abs(others).max()), abs(level)) or 1.0  # no square overflows
    mean = float((others / unit).mean())
    difference = level / unit - mean
    error = math.inf
    p = None
    if n > 1:
        error = float((others / unit).std(ddof=1)) * math.sqrt(1 + 1 / n)
        p = two_sided_p(difference / error, n - 1) if error > 0 else float(difference == 0)
    half = quantile(n - 1, CONFIDENCE) * error if n > 1 else math.inf
    around = difference, difference - half, difference + half
    effect, low, high = (_relative(each, mean, goal, scale) for each in around)
    if low is not None and high is not None and low > high:
        low, high = high, low
    with np.errstate(over="ignore"):
        value, centre = (float(np.exp(level)), float(np.exp(mean))) if scale == "log" else (level, mean * unit)
    is_apart = abs(difference) > half
    is_large = abs(effect) >= MDE if effect is not None else difference != 0
    worse_by = difference if goal == "minimize" else -difference
    verdict: Verdict
    if is_apart and is_large:
        verdict = "worse" if worse_by > 0 else "better"
    else:
        verdict = "same" if n >= SAME_MEMBERS_MIN else "no baseline"
    found = Judgement(
        verdict, "", goal, step, value, centre, effect,
        low if n > 1 else None, high if n > 1 else None, n, p,
    )  # fmt: skip
    return replace(found, reason=_reason(found))


def _relative(difference: float, mean: float, goal: Goal, scale: Scale) -> float | None:
    """A difference on the scale as a relative one in the metric's own units, > 0 is worse; None: relative to 0."""
    with np.errstate(over="ignore"):
        if scale == "log":
            share = float(np.expm1(difference))
        elif mean == 0:
            return None
        else:
            share = difference / abs(mean)
    return share if goal == "minimize" else -share


def overall(
    judgements: Mapping[str, Judgement], primary: str | None, state: str, open_pages: Sequence[str] = ()
) -> Judgement:
    """The verdict on a run whose metrics were judged.

    `primary` decides if it is given. Without one, Holm's step-down procedure (1979) keeps the chance of any false
    finding among all metrics below 5 %; what remains decides, the worse first. A run that did not end well is worse.
    So is one of which people were told something that nobody settled (`open_pages`: titles of alerts), unless its
    primary metric is better. `state` "running" judges the run so far.
    """
    chosen = _by_primary(judgements, primary) if primary else _by_all(judgements)
    if state not in ("finished", "running"):
        return replace(chosen, verdict="worse", reason=f"the run {_ENDED.get(state, state)}; {chosen.reason}")
    if open_pages and not (primary and chosen.verdict == "better"):
        more = f", and {len(open_pages) - 1} more" if len(open_pages) > 1 else ""
        return replace(chosen, verdict="worse", reason=f"open alert: {open_pages[0]}{more}; {chosen.reason}")
    return chosen


_ENDED = {"failed": "failed", "crashed": "crashed", "killed": "was killed"}


def _by_primary(judgements: Mapping[str, Judgement], primary: str) -> Judgement:
    found = judgements.get(primary) or Judgement("no baseline", "the run has no such metric")
    return replace(found, reason=f"{primary}: {found.reason}")


def _by_all(judgements: Mapping[str, Judgement]) -> Judgement:
    tested = sorted(
        ((found.p, name) for name, found in judgements.items() if found.p is not None),
        key=lambda each: (each[0], each[1]),
    )
    if not any(judgements[name].verdict != "no baseline" for _, name in tested):
        reasons = sorted({found.reason for found in judgements.values()})
        return Judgement("no baseline", reasons[0] if len(reasons) == 1 else "no metric could be compared")
    kept: list[str] = []
    for rank, (p, name) in enumerate(tested):
        if p > (1 - CONFIDENCE) / (len(tested) - rank):
            break
        kept.append(name)
    for verdict in ("worse", "better"):
        names = [name for name in kept if judgements[name].verdict == verdict]
        if names:
            first = judgements[names[0]]
            others = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            return replace(first, reason=f"{names[0]}{others}: {first.reason}")
    alone = [name for _, name in tested if judgements[name].verdict in ("worse", "better")]
    reason = f"none of {len(tested)} metrics differs" if len(tested) > 1 else f"{tested[0][1]} does not differ"
    if alone:
        reason += f"; {alone[0]} does by itself, but that may be chance among {len(tested)}"
    is_same = any(found.n >= SAME_MEMBERS_MIN for found in judgements.values())
    return Judgement("same" if is_same else "no baseline", reason, n=max(judgements[name].n for _, name in tested))


def rows(run: int, judgements: Mapping[str, Judgement], whole: Judgement, made_at_ms: int) -> list[dict[str, Any]]:
    """Rows of table `verdicts`. `run`: its integer key."""
    return [
        {
            "run": run, "metric": metric, "verdict": found.verdict, "reason": found.reason, "goal": found.goal or "",
            "step": found.step, "value": found.value, "baseline": found.baseline, "effect": found.effect,
            "low": found.low, "high": found.high, "n": found.n, "made_at": made_at_ms,
        }
        for metric, found in {**judgements, "": whole}.items()
    ]  # fmt: skip


def _reason(found: Judgement) -> str:
    runs = "1 baseline run" if found.n == 1 else f"{found.n} baseline runs"
    at = "" if found.step is None else f" at step {found.step}"
    if found.effect is None:  # relative to 0 there is no difference
        text = f"{found.value:.5g} against a mean of 0 in {runs}{at}"
    elif abs(found.effect) < ROUNDING:
        text = f"no different from {runs}{at}"
    else:
        text = f"{difference(found.effect)} than {runs}{at}"
    if found.low is not None and found.high is not None:
        text += f" (95 % interval: {difference(found.low)} to {difference(found.high)})"
    if found.verdict == "same" and abs(found.effect or 0) >= ROUNDING:
        return f"{text}, within what they differ by"
    if found.verdict == "no baseline":
        return f"{text}; that says little: give {SAME_MEMBERS_MIN} or more"
    return text


def difference(effect: float) -> str:
    """An effect in words: `3.2 % worse`, `0.4 % better`."""
    if abs(effect) < ROUNDING:
        return "no different"
    percent = 100 * abs(effect)
    text = f"{percent:.2g}" if percent < 10 else f"{percent:.0f}" if percent < 10_000 else f"{percent:.1e}"
    return f"{text} % {'worse' if effect > 0 else 'better'}"


def _named(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinity" if value > 0 else "-infinity"
