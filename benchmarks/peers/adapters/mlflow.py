"""MLflow with a store of its own on this disk, files or SQLite, and with a tracking server that isn't there.

`log_metrics` waits for the store. The files are in maintenance mode and have to be asked for since MLflow 3.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.peers.protocol import CLOSED, Adapter, Log, Point

BATCH = 1000  # metrics at most that one `log_batch` takes


class MlflowFile(Adapter):
    title = "MLflow, files"
    venv = "mlflow"
    distribution = "mlflow-skinny"
    statement = "import mlflow"
    environment: ClassVar = {
        "MLFLOW_TRACKING_URI": "file://{folder}/mlruns",
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
    }
    reader = "MlflowClient.get_metric_history"

    def init(self, run: str) -> Log:
        self.mlflow: Any = import_module("mlflow")
        self.mlflow.set_experiment("bench")
        self.mlflow.start_run(run_name=run)
        log = self.mlflow.log_metrics
        return lambda step, data: log(data, step=step)

    def finish(self) -> None:
        self.mlflow.end_run()

    def fill(self, run: str, name: str, values: Iterable[float]) -> None:
        self.init(run)
        metric, client = import_module("mlflow.entities").Metric, self.mlflow.MlflowClient()
        run_id, now_ms = self.mlflow.active_run().info.run_id, int(time.time() * 1e3)
        metrics = (metric(name, value, now_ms + step, step) for step, value in enumerate(values))
        while batch := list(itertools.islice(metrics, BATCH)):
            client.log_batch(run_id, metrics=batch)
        self.finish()

    def read(self, run: str, names: Iterable[str]) -> Iterator[Point]:
        client = import_module("mlflow").MlflowClient()
        experiment = client.get_experiment_by_name("bench")
        found = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{run}'")
        for name in names:
            for metric in client.get_metric_history(found[0].info.run_id, name):
                yield name, metric.step, metric.value


class MlflowSqlite(MlflowFile):
    title = "MLflow, SQLite"
    environment: ClassVar = MlflowFile.environment | {"MLFLOW_TRACKING_URI": "sqlite:///{folder}/mlflow.db"}


class MlflowServer(MlflowFile):
    title = "MLflow, no server"
    environment: ClassVar = MlflowFile.environment | {"MLFLOW_TRACKING_URI": f"http://{CLOSED}"}
