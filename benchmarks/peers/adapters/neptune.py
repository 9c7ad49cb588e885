"""Neptune Scale, offline: each call is a transaction of SQLite. Its hosted service has closed, its SDK still works."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.peers.protocol import CLOSED, Adapter, Log, Point

# Offline, too, it wants a token that can be read. This one names a closed port of this machine and opens nothing.
TOKEN = base64.b64encode(json.dumps({"api_address": f"http://{CLOSED}", "api_url": f"http://{CLOSED}"}).encode())
READ_BYTES = 64 << 20


class Neptune(Adapter):
    title = "Neptune Scale, offline"
    venv = "neptune"
    distribution = "neptune-scale"
    statement = "import neptune_scale"
    environment: ClassVar = {
        "NEPTUNE_API_TOKEN": TOKEN.decode(),
        "NEPTUNE_PROJECT": "bench/bench",
        "NEPTUNE_LOGGER_LEVEL": "critical",
    }

    mode: ClassVar = "offline"

    def init(self, run: str) -> Log:
        self.run: Any = import_module("neptune_scale").Run(
            run_id=run,
            mode=self.mode,
            log_directory=str(self.folder / run),
            enable_console_log_capture=False,
            source_tracking_config=None,
        )
        log = self.run.log_metrics
        return lambda step, data: log(data, step)

    def finish(self) -> None:
        self.run.close()

    def read(self, run: str, names: Iterable[str]) -> Iterator[Point]:
        """What `neptune sync` reads: there is nothing local to ask."""
        module, wanted = import_module("neptune_scale.sync.operations_repository"), set(names)
        for path in (self.folder / run).rglob("*.sqlite3"):
            repository, last = module.OperationsRepository(db_path=path), None
            while operations := repository.get_operations(up_to_bytes=READ_BYTES, from_exclusive=last):
                for operation in operations:
                    if operation.operation_type == module.OperationType.UPDATE_SNAPSHOT:
                        update = operation.operation
                        for name in wanted & update.append.keys():
                            yield name, update.step.whole, update.append[name].float64
                last = operations[-1].sequence_id
            repository.close(cleanup_files=False)


class NeptuneOnline(Neptune):
    title = "Neptune Scale, no server"
    mode: ClassVar = "async"
