"""Trackio, a local project: a thread of the training process writes it to SQLite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.peers.protocol import CLOSED, Adapter, Log, Point


class Trackio(Adapter):
    title = "Trackio, SQLite"
    venv = "trackio"
    distribution = "trackio"
    statement = "import trackio"
    environment: ClassVar = {
        "TRACKIO_DIR": "{folder}/trackio",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    reader = "SQLiteStorage.get_metric_values, what `trackio get metric` calls"

    def init(self, run: str) -> Log:
        self.trackio: Any = import_module("trackio")
        self.trackio.init(project="bench", name=run, auto_log_gpu=False, auto_log_cpu=False)
        log = self.trackio.log
        return lambda step, data: log(data, step=step)

    def finish(self) -> None:
        self.trackio.finish()

    def read(self, run: str, names: Iterable[str]) -> Iterator[Point]:
        storage = import_module("trackio.sqlite_storage").SQLiteStorage
        for name in names:
            for row in storage.get_metric_values("bench", run, name):
                yield name, row["step"], row["value"]


class TrackioServer(Trackio):
    title = "Trackio, no server"
    environment: ClassVar = Trackio.environment | {
        "TRACKIO_SERVER_URL": f"http://{CLOSED}",
        "TRACKIO_WRITE_TOKEN": "none",
    }
