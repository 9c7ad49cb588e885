"""ClearML, offline: a background thread writes `metrics.jsonl` of a session that can be imported later."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.peers.protocol import CLOSED, Adapter, Log, Point


class ClearML(Adapter):
    title = "ClearML, offline"
    venv = "clearml"
    distribution = "clearml"
    statement = "import clearml"
    environment: ClassVar = {
        "CLEARML_OFFLINE_MODE": "1",
        "CLEARML_LOG_LEVEL": "ERROR",
        "CLEARML_CACHE_DIR": "{folder}/cache",
    }

    def init(self, run: str) -> Log:
        self.task: Any = import_module("clearml").Task.init(
            project_name="bench",
            task_name=run,
            reuse_last_task_id=False,
            auto_connect_arg_parser=False,
            auto_connect_frameworks=False,
            auto_connect_streams=False,
            auto_resource_monitoring=False,
        )
        (self.folder / f"{run}.session").write_text(str(self.task.get_offline_mode_folder()))
        report = self.task.get_logger().report_scalar

        def log(step: int, data: dict[str, float]) -> None:
            for name, value in data.items():
                report(name, "value", value, step)

        return log

    def finish(self) -> None:
        self.task.close()

    def read(self, run: str, names: Iterable[str]) -> Iterator[Point]:
        """What Task.import_offline_session sends to its server: there is nothing local to ask."""
        wanted = set(names)
        for line in self._lines(Path((self.folder / f"{run}.session").read_text())):
            try:
                events = json.loads(line)
            except json.JSONDecodeError:  # half of it was written at the kill
                continue
            for event in events:
                if event.get("metric") in wanted:
                    yield event["metric"], event["iter"], event["value"]

    def _lines(self, session: Path) -> Iterator[bytes]:
        """The folder becomes an archive when the task is closed."""
        archive = session.with_name(session.name + ".zip")
        if archive.exists():
            with zipfile.ZipFile(archive) as files:
                for name in files.namelist():
                    if name.endswith("metrics.jsonl"):
                        yield from files.read(name).splitlines()
        else:
            for path in session.rglob("metrics.jsonl"):
                yield from path.read_bytes().splitlines()


class ClearMLOnline(ClearML):
    title = "ClearML, no server"
    environment: ClassVar = ClearML.environment | {
        "CLEARML_OFFLINE_MODE": "0",
        "CLEARML_API_HOST": f"http://{CLOSED}",
        "CLEARML_WEB_HOST": f"http://{CLOSED}",
        "CLEARML_FILES_HOST": f"http://{CLOSED}",
        "CLEARML_API_ACCESS_KEY": "none",
        "CLEARML_API_SECRET_KEY": "none",
    }
