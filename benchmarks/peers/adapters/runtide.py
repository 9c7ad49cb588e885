"""Runtide, by its public interface. Offline: the journal is all that the caller ever waits for.

Its reader is ClickHouse, which `benchmarks.queries` measures, and `benchmarks.ingest` the way there: neither is a
matter of this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import ClassVar

from benchmarks.peers.protocol import CLOSED, Adapter, Log, Point


class Runtide(Adapter):
    title = "Runtide, offline"
    venv = "runtide"
    distribution = "runtide"
    statement = "import runtide"
    environment: ClassVar = {
        "RUNTIDE_DIR": "{folder}/journal",
        "RUNTIDE_HOME": "{folder}/home",
        "RUNTIDE_MODE": "offline",
        "RUNTIDE_QUIET": "1",
        "RUNTIDE_SYSTEM_INTERVAL_S": "0",  # the machine isn't sampled, as with all others
    }

    def init(self, run: str) -> Log:
        self.run = import_module("runtide").init(project="bench", id=run)
        log = self.run.log
        return lambda step, data: log(data, step)

    def finish(self) -> None:
        self.run.finish()

    def read(self, run: str, names: Iterable[str]) -> Iterator[Point]:
        """Its journal, by the contract in docs/events.md."""
        loads, wanted = import_module("orjson").loads, set(names)
        for path in sorted((self.folder / "journal" / run).glob("*.jsonl")):
            with path.open("rb") as lines:
                for line in map(loads, lines):
                    for name, value in line.get("m", {}).items():
                        if name in wanted:
                            yield name, line["s"], value


class RuntideOnline(Runtide):
    """Nothing of the pipeline is up: the shipper, a process of its own, can't reach Kafka."""

    title = "Runtide, no Kafka"
    environment: ClassVar = Runtide.environment | {"RUNTIDE_MODE": "online", "RUNTIDE_KAFKA": CLOSED}
