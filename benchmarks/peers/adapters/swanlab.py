"""SwanLab, offline: a thread of the training process writes a log file that `swanlab sync` uploads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.peers.protocol import CLOSED, Adapter, Log, Point


class SwanLab(Adapter):
    title = "SwanLab, offline"
    venv = "swanlab"
    distribution = "swanlab"
    statement = "import swanlab"

    mode: ClassVar = "offline"

    def init(self, run: str) -> Log:
        self.swanlab: Any = import_module("swanlab")
        self.swanlab.merge_settings({"probe": {"monitor": False}})  # the machine isn't sampled
        self.swanlab.init(mode=self.mode, project="bench", name=run, log_dir=str(self.folder / run))
        log = self.swanlab.log
        return lambda step, data: log(data, step=step)

    def finish(self) -> None:
        self.swanlab.finish()

    def read(self, run: str, names: Iterable[str]) -> Iterator[Point]:
        """What `swanlab sync` reads: there is nothing local to ask."""
        store, wanted = import_module("swanlab.sdk.internal.core_python.store"), set(names)
        messages = import_module("swanlab.proto.swanlab.record.v1.record_pb2")
        for path in (self.folder / run).rglob("*.swanlab"):
            reader = store.DataStoreReader()
            reader.open(str(path))
            for found in reader:
                record = messages.Record()
                record.ParseFromString(found)
                if record.HasField("scalar") and record.scalar.key in wanted:
                    yield record.scalar.key, record.scalar.step, record.scalar.value.number
            reader.close()


class SwanLabOnline(SwanLab):
    title = "SwanLab, no server"
    mode: ClassVar = "online"

    def init(self, run: str) -> Log:
        import_module("swanlab").login(api_key="none", host=f"http://{CLOSED}")
        return super().init(run)
