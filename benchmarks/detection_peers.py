"""What others would do with the same curves: one number per bin of the run, above a threshold means alarm.

All of them get our alignment and binning, and those that look for changes get the distance from the baselines in
standard deviations: what is compared are the statistics, not how well a curve is prepared for them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.detection_cases import Case, Floats
from runtide_workers.detection import Baseline
from runtide_workers.detection.grid import aligned, bin_means, restore

CHECKPOINTS = 16  # at which a method that needs the whole series is run again
EXPECTED = [0.0] * 30  # what those that know no baselines see first: how it should be


@dataclass(frozen=True)
class Binned:
    """A run on its baselines' grid, (m,) each: the bins that are tested and have points."""

    steps: Floats
    z: Floats  # distance from the mean of the baselines in standard deviations; > 0 is worse
    effect: Floats  # likewise as a share of that mean
    level: Floats  # of the run, sign such that less is better
    others: Floats  # (n, m): of the baselines


@dataclass(frozen=True)
class Peer:
    name: str
    score: Callable[[Binned], Floats]
    threshold: float
    tunable: bool = True  # can its threshold be moved to a false alarm rate?


def flag(name: str, score: Callable[[Binned], Floats]) -> Peer:
    """One that says yes or no, by its own defaults."""
    return Peer(name, score, 0.5, tunable=False)


def binned(case: Case, baseline: Baseline) -> Binned:
    found = bin_means(baseline.edges, case.steps, case.values, case.scale)
    mean = np.interp(found.steps, baseline.centres, baseline.mean)
    used = baseline.tested & np.isfinite(found.values)
    distance = baseline.worse * (found.values - mean)
    z = distance / (baseline.spread * np.sqrt(1 + 1 / max(baseline.n, 1)))
    own = np.array([restore(value, case.scale) for value in found.values[used]])
    usual = np.array([restore(value, case.scale) for value in mean[used]])
    effect = baseline.worse * (own - usual) / np.maximum(np.abs(usual), 1e-12)
    rows = [bin_means(baseline.edges, *curve, case.scale) for curve in case.baselines]
    others = baseline.worse * aligned(baseline.centres, rows)[:, used]
    return Binned(found.steps[used], z[used], effect, baseline.worse * found.values[used], others)


def peers() -> Iterator[Peer]:
    """Those whose package is installed; the rest is named and left out."""
    yield Peer("> 5 % worse at the same step", lambda run: run.effect, 0.05)
    yield Peer("> 3 sd worse at the same step", lambda run: run.z, 3.0)
    wanted: list[tuple[str, tuple[Peer, ...]]] = [
        ("optuna", (flag("Optuna MedianPruner", _median_pruner),)),
        ("river", (flag("river PageHinkley", _page_hinkley), flag("river ADWIN", _adwin))),
        ("ruptures", (Peer("ruptures Binseg, re-run", _binseg, 3.0),)),
        ("otava", (flag("Apache Otava, re-run", _otava),)),
    ]
    for package, found in wanted:
        if importlib.util.find_spec(package) is None:
            print(f"{package} isn't installed: skipped")
            continue
        yield from found


def _median_pruner(run: Binned) -> Floats:
    """Each bin is a step; the baselines are finished trials. Its warm-up of five trials is switched off."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=0))
    for row in run.others:
        known = np.flatnonzero(np.isfinite(row))
        if len(known):
            values = {int(bin_): float(row[bin_]) for bin_ in known}
            study.add_trial(optuna.trial.create_trial(value=float(row[known[-1]]), intermediate_values=values))
    trial, score = study.ask(), np.zeros(len(run.level))
    for bin_, value in enumerate(run.level.tolist()):
        trial.report(value, bin_)
        score[bin_] = trial.should_prune()
    return score


def _page_hinkley(run: Binned) -> Floats:
    from river.drift import PageHinkley

    detector, score = PageHinkley(mode="up"), np.zeros(len(run.z))
    for value in EXPECTED:
        detector.update(value)
    for bin_, value in enumerate(run.z.tolist()):
        detector.update(value)
        score[bin_] = detector.drift_detected
    return score


def _adwin(run: Binned) -> Floats:
    """Looked at with each bin (clock=1), and only where the level rose."""
    from river.drift import ADWIN

    detector, score = ADWIN(clock=1), np.zeros(len(run.z))
    for value in EXPECTED:
        detector.update(value)
    for bin_, value in enumerate(run.z.tolist()):
        before = detector.estimation
        detector.update(value)
        score[bin_] = detector.drift_detected and detector.estimation > before
    return score


def _binseg(run: Binned) -> Floats:
    """The mean of the last segment times the root of its length, behind a stretch of what is expected."""
    import ruptures

    def last(z: Floats) -> float:
        series = np.concatenate([EXPECTED, z])
        cut = ruptures.Binseg(model="l2", min_size=2, jump=1).fit(series).predict(n_bkps=1)[0]
        return float(series[cut:].mean() * np.sqrt(len(series) - cut)) / 2

    return _at_checkpoints(run, last)


def _otava(run: Binned) -> Floats:
    from otava.analysis import compute_change_points

    def found(z: Floats) -> float:
        points, _ = compute_change_points(EXPECTED + z.tolist(), window_len=50, max_pvalue=0.001, min_magnitude=0.0)
        return float(any(point.stats.mean_2 > point.stats.mean_1 for point in points))

    return _at_checkpoints(run, found)


def _at_checkpoints(run: Binned, method: Callable[[Floats], float]) -> Floats:
    score = np.zeros(len(run.z))
    for end in np.unique(np.linspace(3, len(run.z), CHECKPOINTS).astype(int)):
        if 3 <= end <= len(run.z):
            score[end - 1] = method(run.z[:end])
    return score
