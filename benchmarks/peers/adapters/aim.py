"""Aim, a local repository: RocksDB inside the training process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from benchmarks.peers.protocol import CLOSED, Adapter, Log, Point


class Aim(Adapter):
    title = "Aim, local"
    venv = "aim"
    distribution = "aim"
    statement = "import aim"
    reader = "Repo.query_metrics, after `aim storage reindex`"

    def init(self, run: str) -> Log:
        aim = import_module("aim")
        self.run: Any = aim.Run(
            repo=self.repository(), experiment="bench", system_tracking_interval=None, capture_terminal_logs=False
        )
        self.run.name = run
        track = self.run.track

        def log(step: int, data: dict[str, float]) -> None:
            track(data, step=step)

        return log

    def repository(self) -> str:
        return str(self.folder)

    def finish(self) -> None:
        self.run.close()

    def read(self, run: str, names: Iterable[str]) -> Iterator[Point]:
        """Queries see no run before its index is made, which `aim up` does in the background."""
        repository = import_module("aim").Repo(str(self.folder))
        repository._recreate_index()
        for name in names:
            query = f'metric.name == "{name}" and run.name == "{run}"'
            for metrics in repository.query_metrics(query, report_mode=0).iter_runs():
                for metric in metrics:
                    steps, (values,) = metric.data.view(["val"]).numpy()
                    yield from ((name, int(step), float(value)) for step, value in zip(steps, values, strict=True))


class AimServer(Aim):
    title = "Aim, no server"

    def repository(self) -> str:
        return f"aim://{CLOSED}"
