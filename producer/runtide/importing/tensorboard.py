"""TensorBoard's event files: each folder that holds some is a run, its files one after the other.

Scalars of both kinds (`simple_value` of version 1, tensors of version 2), and what the HParams plugin says. Points have
the precision they were written with, which is single.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any

from runtide.importing.model import (
    Facts,
    ImportFailed,
    Row,
    State,
    digest,
    library,
    of_seconds,
    project_of,
    run_id_of,
)

MARK = "tfevents"  # in the name of every event file
CHECKED_BYTES_MAX = 4096  # the checksum is computed in Python; a scalar has some 50 bytes, a picture a million
RECORD_BYTES_MAX = 1 << 30
_LENGTH, _CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")
_FLOAT, _FLOAT32 = 1, struct.Struct("<f")  # DT_FLOAT
_STATES: dict[int, State] = {1: "finished", 2: "failed", 3: "running"}  # of the HParams plugin


def runs(path: str) -> list[TensorBoardRun]:
    """The runs below a log folder, or of one event file. Raises `ImportFailed`."""
    if os.path.isfile(path):
        folders = {os.path.dirname(path) or ".": [os.path.basename(path)]}
        path = os.path.dirname(path) or "."
    elif not os.path.isdir(path):
        raise ImportFailed(f"there is no {path}")
    else:
        walk = os.walk(path, followlinks=True)
        folders = {folder: sorted(name for name in names if MARK in name) for folder, _, names in walk}
    found = [TensorBoardRun(path, os.path.relpath(folder, path), names) for folder, names in folders.items() if names]
    if not found:
        raise ImportFailed(f"no event files (*{MARK}*) in {path} or below")
    return sorted(found, key=lambda run: (run.files[0], run.run_id))  # a file's name begins with its time


class TensorBoardRun:
    """One folder."""

    def __init__(self, root: str, inner: str, names: list[str]) -> None:
        root = os.path.abspath(root)
        base = os.path.basename(root)
        self.name = base if inner == "." else inner
        self.project = project_of(base, "tensorboard")
        self.run_id = run_id_of(self.name)
        self.origin = f"tensorboard:{os.path.join(root, inner) if inner != '.' else root}"
        self.files = names
        self._paths = [os.path.join(root, inner, name) for name in names]
        stats = [os.stat(path) for path in self._paths]
        self.fingerprint = digest([(name, s.st_size, s.st_mtime_ns) for name, s in zip(names, stats, strict=True)])
        self.undated_ns = min(stat.st_mtime_ns for stat in stats)
        self.lost: dict[str, int] = {}
        self._config: dict[str, Any] = {}
        self._group = ""
        self._state: State = "finished"
        self._times: tuple[int, int] | None = None

    def rows(self) -> Iterator[Row]:
        event_of = library("tensorboard.compat.proto.event_pb2", "reading event files").Event.FromString
        broken = library("google.protobuf.message", "reading event files").DecodeError
        self._config, self._group, self._state, self._times = {}, "", "finished", None
        self.lost.clear()
        plugins: dict[str, str] = {}  # by tag: only the first value of a tag has to name its plugin
        for path in self._paths:
            for record in _records(path, self.lost):
                try:
                    event = event_of(record)
                except broken:
                    self.lost["broken records"] = self.lost.get("broken records", 0) + 1
                    continue
                if not event.HasField("summary"):
                    continue
                metrics: dict[str, float] = {}
                for value in event.summary.value:
                    if value.HasField("metadata"):
                        plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
                    if value.HasField("simple_value"):
                        metrics[value.tag] = value.simple_value
                    elif plugins.get(value.tag) == "hparams":
                        self._learn(value.metadata.plugin_data.content)
                    elif value.HasField("tensor") and plugins.get(value.tag, "scalars") == "scalars":
                        number = _scalar(value.tensor)
                        if number is not None:
                            metrics[value.tag] = number
                if metrics:
                    time_ns = of_seconds(event.wall_time) if 0 < event.wall_time < 1e10 else None
                    if time_ns is not None:
                        low, high = self._times or (time_ns, time_ns)
                        self._times = min(low, time_ns), max(high, time_ns)
                    yield time_ns, event.step, metrics

    def facts(self) -> Facts:
        started_ns, ended_ns = self._times or (self.undated_ns, self.undated_ns)
        return Facts(
            started_ns, ended_ns, self._state, name=self.name, group=self._group, config=self._config,
            meta={"import/from": "tensorboard"},
        )  # fmt: skip

    def _learn(self, content: bytes) -> None:
        """What the HParams plugin says of a session."""
        said = library("tensorboard.plugins.hparams.plugin_data_pb2", "reading event files")
        data = said.HParamsPluginData.FromString(content)
        if data.HasField("session_start_info"):
            start = data.session_start_info
            self._group = self._group or start.group_name
            for name, value in start.hparams.items():
                kind = value.WhichOneof("kind")  # number_value, string_value, bool_value, null_value, ...
                self._config[name] = None if kind in (None, "null_value") else getattr(value, kind)
        elif data.HasField("session_end_info"):
            self._state = _STATES.get(data.session_end_info.status, self._state)


def _records(path: str, lost: dict[str, int]) -> Iterator[bytes]:
    """The records of a file, up to a broken one. One that is cut off at the end may still be being written."""
    masked_crc32c = library("tensorboard.compat.tensorflow_stub.pywrap_tensorflow", "reading event files").masked_crc32c
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while len(head := file.read(12)) == 12:
            [length] = _LENGTH.unpack_from(head)
            if _CHECKSUM.unpack_from(head, 8)[0] != masked_crc32c(head[:8]) or length > RECORD_BYTES_MAX:
                lost["bytes behind a broken record"] = size - file.tell() + 12
                return
            data = file.read(length + 4)
            if len(data) < length + 4:
                return
            if length <= CHECKED_BYTES_MAX and _CHECKSUM.unpack_from(data, length)[0] != masked_crc32c(data[:length]):
                lost["broken records"] = lost.get("broken records", 0) + 1
                continue
            yield data[:length]


def _scalar(tensor: Any) -> float | None:
    """The number of a tensor that holds one; None: it holds something else."""
    if tensor.dtype == _FLOAT:
        if len(tensor.tensor_content) == _FLOAT32.size:
            return float(_FLOAT32.unpack(tensor.tensor_content)[0])
        if len(tensor.float_val) == 1 and not tensor.tensor_shape.dim:
            return float(tensor.float_val[0])
    array = library("tensorboard.util.tensor_util", "reading event files").make_ndarray(tensor)
    return float(array.item()) if array.size == 1 and array.dtype.kind in "fiub" else None
