"""MLflow by its own client: a folder of files (`mlruns`), a database, or a tracking server.

One run's points are in memory at a time, about 150 bytes each.
"""

from __future__ import annotations

import glob
import heapq
import math
import os
import pathlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from runtide.importing.model import (
    MILLISECOND_NS,
    Facts,
    ImportFailed,
    Row,
    State,
    digest,
    library,
    project_of,
    run_id_of,
    typed,
)

PAGE = 1000
SYSTEM = "mlflow."
_STATES: dict[str, State] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}  # else it goes on
_META = {
    "mlflow.source.git.commit": "git/commit",
    "mlflow.source.git.branch": "git/branch",
    "mlflow.source.git.repoURL": "git/remote",
    "mlflow.source.name": "script",
    "mlflow.user": "user",
    "mlflow.parentRunId": "import/parent",
}
_LARGEST = 1.7976931348623157e308  # what its databases hold for infinity


def runs(store: str, experiments: Sequence[str] = ()) -> Iterator[MlflowRun]:
    """The runs of a store, oldest first in each experiment. `experiments`: names or ids, else all that are not deleted.

    Raises `ImportFailed`.
    """
    uri = uri_of(store)
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # reading one is no reason to be told to leave it
    tracking = library("mlflow.tracking", "reading MLflow")
    error_of_mlflow = library("mlflow.exceptions", "reading MLflow").MlflowException
    try:
        client = tracking.MlflowClient(tracking_uri=uri)
        known = [each for page in _pages(client.search_experiments) for each in page]
    except error_of_mlflow as error:
        raise ImportFailed(f"{store}: MLflow says: {error}") from None
    wanted = [each for each in known if not experiments or {each.name, each.experiment_id} & set(experiments)]
    missing = set(experiments) - {name for each in wanted for name in (each.name, each.experiment_id)}
    if missing:
        there = ", ".join(sorted(each.name for each in known))
        raise ImportFailed(f"{store} has no experiment {', '.join(sorted(missing))}; there are {there}")
    is_empty = True
    for experiment in wanted:
        for page in _pages(client.search_runs, [experiment.experiment_id], order_by=["attributes.start_time ASC"]):
            for run in page:
                is_empty = False
                yield MlflowRun(client, uri, experiment.name, run)
    if is_empty:
        raise ImportFailed(f"no runs in the {len(wanted)} experiments of {store}")


def uri_of(store: str) -> str:
    """A path as MLflow's URI; a URI as it is. Raises `ImportFailed` where MLflow would begin a store of its own."""
    path = store.removeprefix("file://").removeprefix("sqlite:///")
    if "://" in path:
        return store
    path = os.path.abspath(os.path.expanduser(path))
    if os.path.isfile(path):
        if not _is_database(path):
            raise ImportFailed(f"{store} is no SQLite file of MLflow: it has no table `experiments`")
        return f"sqlite:///{path}"
    if not os.path.isdir(path):
        raise ImportFailed(f"there is no {store}: give a folder (mlruns), an SQLite file, or a URI (http://...)")
    for folder in (path, os.path.join(path, "mlruns")):
        if glob.glob(os.path.join(glob.escape(folder), "*", "meta.yaml")):
            return f"file://{folder}"
    raise ImportFailed(f"no experiments (*/meta.yaml) in {store}")


def _is_database(path: str) -> bool:
    try:
        with closing(sqlite3.connect(f"{pathlib.Path(path).as_uri()}?mode=ro", uri=True)) as database:
            return bool(database.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone())
    except sqlite3.Error:
        return False


class MlflowRun:
    """One run."""

    def __init__(self, client: Any, uri: str, experiment: str, run: Any) -> None:
        info = run.info
        self._client, self._run = client, run
        self.project = project_of(experiment, "mlflow")
        self.run_id = run_id_of(info.run_id)
        self.origin = f"mlflow:{info.run_id}"
        self.lost: dict[str, int] = {}
        self._state: State = _STATES.get(info.status, "running")
        latest = sorted((m.key, m.step, m.timestamp, repr(m.value)) for m in getattr(run.data, "_metric_objs", ()))
        goes_on = time.time_ns() if self._state == "running" else info.end_time
        said = sorted(run.data.params.items()), sorted(run.data.tags.items())
        self.fingerprint = digest(uri, info.status, goes_on, latest, sorted(run.data.metrics), said)
        self.undated_ns = (info.start_time or 0) * MILLISECOND_NS
        self._last_ms = 0

    def rows(self) -> Iterator[Row]:
        """In the order of time; what was logged at one moment and step is one row again."""
        histories = [self._history(name) for name in sorted(self._run.data.metrics)]
        held: tuple[int, int] | None = None
        metrics: dict[str, float] = {}
        self._last_ms = 0
        for at_ms, step, _, name, value in heapq.merge(*histories):
            if held != (at_ms, step) or name in metrics:
                if held is not None:
                    yield held[0] * MILLISECOND_NS, held[1], metrics
                held, metrics = (at_ms, step), {}
            metrics[name] = value
            self._last_ms = max(self._last_ms, at_ms)
        if held is not None:
            yield held[0] * MILLISECOND_NS, held[1], metrics

    def _history(self, name: str) -> list[tuple[int, int, int, str, float]]:
        """(time, step, place, name, value): by time and step, and as they were logged where these are the same."""
        points = [(m.timestamp, m.step, m.value) for m in self._client.get_metric_history(self._run.info.run_id, name)]
        points.sort(key=lambda point: point[:2])
        return [
            (at_ms, step, place, name, math.copysign(math.inf, value) if abs(value) == _LARGEST else float(value))
            for place, (at_ms, step, value) in enumerate(points)
        ]

    def facts(self) -> Facts:
        info, data = self._run.info, self._run.data
        started_ms = info.start_time or self._last_ms
        meta = {ours: data.tags[theirs] for theirs, ours in _META.items() if data.tags.get(theirs)}
        return Facts(
            started_ms * MILLISECOND_NS,
            (info.end_time or max(self._last_ms, started_ms)) * MILLISECOND_NS,
            self._state,
            name=info.run_name or data.tags.get("mlflow.runName", ""),
            notes=data.tags.get("mlflow.note.content", ""),
            tags=[f"{k}={v}" if v else k for k, v in sorted(data.tags.items()) if not k.startswith(SYSTEM)],
            config={name: typed(value) for name, value in data.params.items()},
            meta={"import/from": "mlflow", "import/run": info.run_id, **meta},
        )


def _pages(search: Any, *given: Any, **options: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(*given, max_results=PAGE, page_token=token, **options)
        yield page
        token = page.token
        if not token:
            return
