"""Weights & Biases, offline: the process `wandb-core` writes `run-<id>.wandb`, and `wandb sync` uploads it later."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.peers.protocol import CLOSED, Adapter, Log, Point

BLOCK_BYTES = 32768  # its files are logs in LevelDB's format: records in blocks, whole or in parts
FILE_HEADER_BYTES = 7
PART = struct.Struct("<IHB")  # checksum, length, kind
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class Wandb(Adapter):
    title = "wandb, offline"
    venv = "wandb"
    distribution = "wandb"
    statement = "import wandb"
    environment: ClassVar = {
        "WANDB_MODE": "offline",
        "WANDB_DIR": "{folder}",
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",  # no Sentry
        "WANDB_X_DISABLE_STATS": "true",  # the machine isn't sampled
    }

    def init(self, run: str) -> Log:
        self.run: Any = import_module("wandb").init(project="bench", name=run, id=run)
        log = self.run.log
        return lambda step, data: log(data, step=step)

    def finish(self) -> None:
        self.run.finish()

    def read(self, run: str, names: Iterable[str]) -> Iterator[Point]:
        """The records that `wandb sync` would upload: offline there is nothing to ask."""
        messages, wanted = import_module("wandb.proto.wandb_internal_pb2"), set(names)
        for path in self.folder.glob(f"wandb/offline-run-*-{run}/run-{run}.wandb"):
            for found in records(path):
                record = messages.Record()
                record.ParseFromString(found)
                values = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
                for name in wanted & values.keys():
                    yield name, json.loads(values["_step"]), json.loads(values[name])


class WandbOnline(Wandb):
    """Its server can't be reached. The key is none; it only has the length that is asked for."""

    title = "wandb, no server"
    environment: ClassVar = Wandb.environment | {
        "WANDB_MODE": "online",
        "WANDB_BASE_URL": f"http://{CLOSED}",
        "WANDB_API_KEY": "0" * 40,
    }


def records(path: Path) -> Iterator[bytes]:
    """Those that are whole: what was being written at a kill is not."""
    data = path.read_bytes()
    at, parts = FILE_HEADER_BYTES, b""
    while at + PART.size <= len(data):
        room = BLOCK_BYTES - at % BLOCK_BYTES
        if room < PART.size:  # a block's end that no part fits into
            at += room
            continue
        _, length, kind = PART.unpack_from(data, at)
        part = data[at + PART.size : at + PART.size + length]
        if kind not in (WHOLE, FIRST, MIDDLE, LAST) or len(part) < length:
            return
        at += PART.size + length
        parts = part if kind in (WHOLE, FIRST) else parts + part
        if kind in (WHOLE, LAST):
            yield parts
