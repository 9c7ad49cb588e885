"""Comet, offline: a thread writes messages to a temporary folder; `end` makes the archive that can be uploaded."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.peers.protocol import CLOSED, Adapter, Log, Point

MESSAGES = "messages.json"


class Comet(Adapter):
    title = "Comet, offline"
    venv = "comet"
    distribution = "comet-ml"
    statement = "import comet_ml"
    environment: ClassVar = {
        "COMET_LOGGING_CONSOLE": "ERROR",
        "COMET_DISABLE_AUTO_LOGGING": "1",
        "COMET_AUTO_LOG_ENV_DETAILS": "false",  # the machine isn't sampled
        "COMET_ERROR_TRACKING_ENABLE": "false",  # no Sentry
        "COMET_INTERNAL_REPORTING": "false",
    }

    def init(self, run: str) -> Log:
        self.experiment: Any = self.begin(
            run,
            project_name="bench",
            workspace="bench",
            log_code=False,
            log_env_details=False,
            log_git_metadata=False,
            log_git_patch=False,
            auto_output_logging=False,
            parse_args=False,
            display_summary_level=0,
        )
        log = self.experiment.log_metrics
        return lambda step, data: log(data, step=step)

    def begin(self, run: str, **options: Any) -> Any:
        return import_module("comet_ml").OfflineExperiment(offline_directory=str(self.folder / run), **options)

    def finish(self) -> None:
        self.experiment.end()

    def read(self, run: str, names: Iterable[str]) -> Iterator[Point]:
        """What `comet upload` sends: there is nothing local to ask."""
        wanted = set(names)
        for line in self._lines(run):
            try:
                message = json.loads(line)
            except json.JSONDecodeError:  # half of it was written at the kill
                continue
            if message.get("type") == "metric_msg":
                metric = message["payload"]["metric"]
                if metric["metricName"] in wanted:
                    yield metric["metricName"], int(metric["step"]), float(metric["metricValue"])

    def _lines(self, run: str) -> Iterator[bytes]:
        """Of the archive; a run that was killed has left only its temporary folder."""
        for path in (self.folder / run).glob("*.zip"):
            with zipfile.ZipFile(path) as files:
                if MESSAGES in files.namelist():  # it is begun at the start, and filled at the end
                    yield from files.read(MESSAGES).splitlines()
                    return
        for path in self.folder.rglob(MESSAGES):
            yield from path.read_bytes().splitlines()


class CometOnline(Comet):
    title = "Comet, no server"
    environment: ClassVar = Comet.environment | {
        "COMET_URL_OVERRIDE": f"http://{CLOSED}/clientlib/",
        "COMET_API_KEY": "0" * 25,
    }

    def begin(self, run: str, **options: Any) -> Any:
        return import_module("comet_ml").Experiment(experiment_key=run.ljust(32, "0"), **options)
