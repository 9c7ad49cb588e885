"""Pluto has no way to begin without its server, so that only this can be measured: it says so when it is away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.peers.protocol import CLOSED, Adapter, Log, Point


class PlutoServer(Adapter):
    title = "Pluto, no server"
    venv = "pluto"
    distribution = "pluto-ml"
    statement = "import pluto"
    environment: ClassVar = {
        "PLUTO_URL_APP": f"http://{CLOSED}",
        "PLUTO_URL_API": f"http://{CLOSED}",
        "PLUTO_URL_INGEST": f"http://{CLOSED}",
        "PLUTO_URL_PY": f"http://{CLOSED}",
        "PLUTO_API_KEY": "none",
        "PLUTO_DISABLE_TELEMETRY": "1",
    }

    def init(self, run: str) -> Log:
        settings = {"disable_system_metrics": True, "disable_console": True}
        self.run: Any = import_module("pluto").init(dir=str(self.folder), project="bench", name=run, settings=settings)
        log = self.run.log
        return lambda step, data: log(data, step=step)

    def finish(self) -> None:
        self.run.finish()

    def read(self, run: str, names: Iterable[str]) -> Iterator[Point]:
        raise LookupError(f"{run} has never begun: there is nothing of {list(names)}")
