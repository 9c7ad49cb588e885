"""Change points of final values, run over run: ours against Otava, PELT and simple rules.

`--curves DIR` (or RUNTIDE_CURVES) names a folder with runs.csv.gz and points.parquet; without one, histories are made
up. Otava and ruptures are compared if they are installed: pip install apache-otava==0.8.0 ruptures.
"""

import argparse
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.history_data import EFFECT, Floats, History, real, synthetic
from benchmarks.report import Figure, report
from runtide_storage.changes import change_points, commit_change

NEAR = 2  # runs: a change point so near to a change has found it
SEEDS = 40
ARRIVAL_WINDOW = 100  # runs looked at when another one has arrived
FIRST_RUNS = (1, 3)
MIN_EARLIER = 3

Method = Callable[[Floats], list[int]]


@dataclass
class Score:
    """What a method found. A change point may be false in two ways: inside a commit, or where one changed less."""

    changes: int = 0
    found: int = 0
    exact: int = 0
    inside: int = 0
    lesser: int = 0
    runs: int = 0
    seconds: float = 0.0
    delays: list[int] = field(default_factory=list)

    def add(self, history: History, points: Sequence[int]) -> None:
        """Each change takes the change point nearest to it."""
        pairs = sorted((abs(at - to), at, to) for at in points for to in history.changed if abs(at - to) <= NEAR)
        taken: dict[int, int] = {}
        for _, at, to in pairs:
            if at not in taken and to not in taken.values():
                taken[at] = to
        rest = [at for at in points if at not in taken and not _is_near(at, history.unclear)]
        lesser = sum(_is_near(at, set(history.starts) - history.changed) for at in rest)
        self.changes += len(history.changed)
        self.found += len(taken)
        self.exact += sum(at == to for at, to in taken.items())
        self.lesser += lesser
        self.inside += len(rest) - lesser
        self.runs += len(history.values)

    @property
    def false_per_100(self) -> float:
        return 100 * (self.inside + self.lesser) / self.runs

    @property
    def recall(self) -> float:
        return self.found / self.changes if self.changes else math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--slow", action="store_true", help="E-divisive with permutations too: minutes per history")
    parser.add_argument("--curves", type=Path, default=os.environ.get("RUNTIDE_CURVES"), help="folder of real curves")
    args = parser.parse_args()

    if args.curves:
        sets = {history.name: [history] for history in real(Path(args.curves))}
    else:
        sets = {
            f"{SEEDS} synthetic histories": [synthetic(seed) for seed in range(SEEDS)],
            f"{SEEDS} in which nothing changes": [synthetic(1000 + seed, changes=False) for seed in range(SEEDS)],
        }
    methods = _methods(args.slow)
    figures = []
    for name, histories in sets.items():
        runs, changes = sum(len(each.values) for each in histories), sum(len(each.changed) for each in histories)
        print(
            f"\n{name}: {runs:,} runs, {sum(len(each.starts) + 1 for each in histories):,} commits, {changes} changes"
        )
        print(
            f"{'':34}  {'found':>9}  {'exact':>5}  {'inside':>6}  {'lesser':>6}  {'false/100':>9}  {'ms/history':>10}"
        )
        for method, act in methods.items():
            score = Score()
            for history in histories:
                began = time.perf_counter()
                points = act(history.values)
                score.seconds += time.perf_counter() - began
                score.add(history, points)
            print(
                f"{method:34}  {f'{score.found}/{score.changes}':>9}  {score.exact:>5}  {score.inside:>6}"
                f"  {score.lesser:>6}  {score.false_per_100:>9.2f}  {1000 * score.seconds / len(histories):>10.1f}"
            )
            if method == "ours":
                figures += _figures(name, score)
        if args.curves:
            _print_arrivals(histories[0])
            _print_commit_test(histories[0])
    report("history", figures, as_json=args.json)


def _figures(name: str, score: Score) -> list[Figure]:
    false = Figure(f"{name}: false change points per 100 runs", score.false_per_100, "/100 runs", 1.0)
    if not score.changes:
        return [false]
    return [Figure(f"{name}: changes found", 100 * score.recall, "%"), false]


def _is_near(at: int, places: set[int] | frozenset[int]) -> bool:
    return any(abs(at - place) <= NEAR for place in places)


# ---------------------------------------------------------------------- the methods


def _methods(and_slow: bool) -> dict[str, Method]:
    found: dict[str, Method] = {"ours": _ours}
    if find_spec("otava"):
        found["Otava, p 0.001"] = partial(_otava, effect_min=0.0)
        found["Otava, p 0.001, at least 0.5 %"] = partial(_otava, effect_min=EFFECT)
        if and_slow:
            found["E-divisive, 100 permutations"] = _e_divisive
    else:
        print("Otava is not installed: left out (pip install apache-otava==0.8.0)")
    if find_spec("ruptures"):
        for penalty in (20, 100):
            found[f"PELT l2, penalty {penalty}"] = partial(_pelt, penalty=penalty)
    else:
        print("ruptures is not installed: left out (pip install ruptures)")
    found["Perfherder: t > 7, at least 2 %"] = _perfherder
    found["one run > 2 % off the last 5"] = _off_the_last
    return found


def _ours(values: Floats) -> list[int]:
    return [change.first_after for change in change_points(values)]


def _otava(values: Floats, effect_min: float) -> list[int]:
    from otava.analysis import compute_change_points

    found, _ = compute_change_points(values.tolist(), max_pvalue=0.001, min_magnitude=effect_min)
    return [int(each.index) for each in found]


def _e_divisive(values: Floats) -> list[int]:
    from otava.analysis import compute_change_points_orig

    found, _ = compute_change_points_orig(values.tolist(), max_pvalue=0.01, seed=0)  # of 100 permutations
    return [int(each.index) for each in found]


def _pelt(values: Floats, penalty: float) -> list[int]:
    import ruptures

    logs = np.log(values)
    noise = np.median(np.abs(np.diff(logs))) / 0.954
    found = ruptures.Pelt(model="l2", min_size=2, jump=1).fit(logs / noise).predict(pen=penalty)
    return [int(at) for at in found[:-1]]


def _perfherder(values: Floats, width: int = 12) -> list[int]:
    """The rule of treeherder's perfalert: 12 runs before and after, the place with the highest t of all around it."""
    t = np.zeros(len(values))
    for at in range(2, len(values) - width + 1):
        before, after = values[max(0, at - width) : at], values[at : at + width]
        squares = before.var() * len(before) + after.var() * len(after)
        error = math.sqrt(squares / (len(before) + len(after) - 2) * (1 / len(before) + 1 / len(after)))
        if abs(after.mean() / before.mean() - 1) >= 0.02:
            t[at] = abs(after.mean() - before.mean()) / max(error, 1e-12)
    around = width // 2
    return [at for at in range(len(t)) if t[at] > 7 and t[at] == t[max(0, at - around) : at + around + 1].max()]


def _off_the_last(values: Floats) -> list[int]:
    off = [at >= 5 and abs(values[at] / np.mean(values[at - 5 : at]) - 1) > 0.02 for at in range(len(values))]
    return [at for at in range(1, len(values)) if off[at] and not off[at - 1]]


# ---------------------------------------------------------------------- as runs arrive


def _print_arrivals(history: History) -> None:
    """Look again whenever a run has arrived, at the last runs only, and count all that was ever said."""
    print(f"  as runs arrive, at the last {ARRIVAL_WINDOW} each time:")
    for name, act in _methods(and_slow=False).items():
        if name not in ("ours", "Otava, p 0.001"):
            continue
        seen: dict[int, int] = {}  # change point -> the run after which it was first said
        for count in range(2, len(history.values) + 1):
            offset = max(0, count - ARRIVAL_WINDOW)
            for at in act(history.values[offset:count]):
                seen.setdefault(at + offset, count)
        delays = [
            min(count - to for at, count in seen.items() if abs(at - to) <= NEAR)
            for to in history.changed
            if _is_near(to, set(seen))
        ]
        false = sum(not _is_near(at, history.changed | history.unclear) for at in seen)
        usual, late = (np.quantile(delays, part) for part in (0.5, 0.9)) if delays else (math.nan, math.nan)
        print(
            f"    {name:16} {len(delays)}/{len(history.changed)} changes, said at run {usual:.0f} of the new level"
            f" (90 % by run {late:.0f}), {100 * false / len(history.values):.2f} false per 100 runs"
        )


def _print_commit_test(history: History) -> None:
    """The first runs of every commit against those before it; and the same at places inside of commits: all false."""
    edges = [0, *history.starts, len(history.values)]
    for first in FIRST_RUNS:
        found, lesser, false, places = 0, 0, 0, 0
        for begin, end in pairwise(edges):
            for at in range(begin, end):
                if at < MIN_EARLIER or begin < at < begin + MIN_EARLIER or at + first > end:
                    continue
                is_sure = commit_change(history.values[:at], history.values[at : at + first]) is not None
                if at > begin:
                    places += 1
                    false += is_sure
                elif at in history.changed:
                    found += is_sure
                elif at not in history.unclear:
                    lesser += is_sure
        print(
            f"  commit test, first {first} run{'s' if first > 1 else ' '}:  {found}/{len(history.changed)} changes,"
            f" {lesser} where a commit changed less, {false} at {places} places inside of commits"
        )


if __name__ == "__main__":
    main()
