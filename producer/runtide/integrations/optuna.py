"""Optuna: a study as one run, or each trial as a run of its own.

study.optimize(objective, n_trials=20, callbacks=[RuntideCallback()])          # the study is the current run
study.optimize(run_per_trial(objective, project="search"), n_trials=20)        # a run for each trial
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import runtide
from runtide._run import Run
from runtide.exits import Ending, ending_of
from runtide.integrations import current, harmless, library

_starting = threading.Lock()
_outside: dict[Run, Run | None] = {}  # of the trials that go on: the run that was current before any of them


class RuntideCallback:
    """After each trial: its value(s), the best so far, its parameters and seconds, at step trial number.

    A trial that was pruned has `value_when_pruned` instead, one that failed `failed` 1. How many of each there are, the
    best trial and its parameters are in the summary.
    """

    def __init__(self, run: Run | None = None, metric_name: str = "value") -> None:
        self.run = current(run)
        self._metric_name = metric_name
        self._states: Counter[str] = Counter()

    def __call__(self, study: Any, trial: Any) -> None:
        with harmless(self.run, "Optuna's callback"):
            state = trial.state.name.lower()
            self._states[state] += 1
            if sum(self._states.values()) == 1:
                self._begin(study)
            values: dict[str, Any] = {f"params/{name}": value for name, value in _numbers(trial.params).items()}
            values |= {"seconds": trial.duration.total_seconds()} if trial.duration else {}
            if state == "complete":
                values |= dict(zip(self._names(study), trial.values, strict=True))
            elif state == "pruned":
                values |= {"value_when_pruned": trial.value} if trial.value is not None else {}
            else:
                values["failed"] = 1
            summary: dict[str, Any] = {f"trials/{name}": count for name, count in self._states.items()}
            if len(study.directions) == 1 and "complete" in self._states:
                best = study.best_trial
                values[f"best_{self._metric_name}"] = best.value
                summary |= {"best/trial": best.number, "best/value": best.value, "best/params": best.params}
            self.run.log(values, step=trial.number)
            self.run.summary.update(summary)

    def _begin(self, study: Any) -> None:
        facts = {"study": study.study_name, "sampler": type(study.sampler).__name__}
        self.run.config.update({"optuna": {**facts, "pruner": type(study.pruner).__name__}})
        for name, direction in zip(self._names(study), study.directions, strict=True):
            self.run.define_metric(name, goal=direction.name.lower())

    def _names(self, study: Any) -> list[str]:
        if study.metric_names:
            return list(study.metric_names)
        several = len(study.directions) > 1
        return [f"{self._metric_name}_{number}" for number in range(len(study.directions))] if several else [
            self._metric_name
        ]  # fmt: skip


def run_per_trial(objective: Callable[[Any], Any], metric_name: str = "value", **init: Any) -> Callable[[Any], Any]:
    """An objective whose trials are runs: parameters are config, reported values metrics, the result is in the summary.

    `init` is what `runtide.init` takes; the group is the study's name if nothing else is said. The run is current while
    the objective works, and `trial.run`, which is the one to use with `n_jobs` above 1. A pruned trial has the tag
    "pruned" and a failed one is a failed run. Whatever run was current before is so again afterwards.
    """
    optuna = library("optuna")

    def tracked(trial: Any) -> Any:
        study = trial.study
        options = {"group": study.study_name, "name": f"{study.study_name}-{trial.number}", **init}
        run, before = _begin(options)
        summary: dict[str, Any] = {"trial": trial.number}
        ending = Ending(0, None)
        try:
            result = objective(_Trial(trial, run, metric_name))
            several = isinstance(result, (list, tuple))
            summary |= {"state": "complete"}
            summary |= (
                {f"{metric_name}_{n}": each for n, each in enumerate(result)} if several else {metric_name: result}
            )
            return result
        except optuna.TrialPruned:
            summary["state"] = "pruned"
            run.tags = (*run.tags, "pruned")
            raise
        except BaseException as error:
            summary["state"] = "failed"
            ending = ending_of(error)
            raise
        finally:
            with harmless(run, "Optuna's run_per_trial"):
                run.config.update(trial.params)
                run.summary.update(summary)
            run._writer.end(ending)
            _give_back(run, before)

    return tracked


def _begin(options: Mapping[str, Any]) -> tuple[Run, Run | None]:
    """A new run, and the one that was current outside of all trials: it goes on, other than `init` would have it."""
    with _starting:
        before, runtide.run = runtide.run, None
        if before is not None:
            before = _outside.get(before, before)
        run = runtide.init(**options)
        _outside[run] = before
        return run, before


def _give_back(run: Run, before: Run | None) -> None:
    with _starting:
        del _outside[run]
        if runtide.run is run:
            runtide.run = before


class _Trial:
    """A trial whose reported values are metrics of its run. Everything else is Optuna's."""

    def __init__(self, trial: Any, run: Run, metric_name: str) -> None:
        self._trial = trial
        self._metric_name = metric_name
        self.run = run

    def report(self, value: float, step: int) -> None:
        self._trial.report(value, step)
        self.run.log({self._metric_name: value}, step=step)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trial, name)


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if isinstance(value, (int, float))}
