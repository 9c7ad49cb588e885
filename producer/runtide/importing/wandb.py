"""Weights & Biases: the `.wandb` files of runs that were logged offline, or are still on this disk.

The file is a LevelDB log of protobuf records. What wandb's web site has, and this disk has not, can be exported as CSV
or Parquet (`run.history()`, `run.scan_history()`) and imported as such.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from runtide.importing.model import (
    SECOND_NS,
    Facts,
    ImportFailed,
    Row,
    State,
    Unreadable,
    digest,
    library,
    of_seconds,
    project_of,
    run_id_of,
)
from runtide.plain import SEPARATOR, flatten

SUFFIX = ".wandb"
MAGIC = b":W&B"
FILE_HEAD_BYTES = 7
BLOCK_BYTES = 32 << 10
_HEAD = struct.Struct("<IHB")  # checksum, length, type
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_OWN = "_"  # how wandb's own names begin: _step, _timestamp, _runtime, _wandb


def runs(path: str) -> list[WandbRun]:
    """The runs of a file, of a folder `wandb`, or of all below a folder; the oldest first. Raises `ImportFailed`."""
    if os.path.isfile(path):
        paths = [path]
    elif os.path.isdir(path):
        walk = os.walk(path)  # `latest-run` is a link to one of the others, and links are not followed
        paths = [os.path.join(folder, name) for folder, _, names in walk for name in names if name.endswith(SUFFIX)]
    else:
        raise ImportFailed(f"there is no {path}")
    if not paths:
        raise ImportFailed(f"no *{SUFFIX} file in {path} or below (wandb/offline-run-*/run-*{SUFFIX})")
    found: dict[tuple[str, str], WandbRun] = {}
    for file in sorted(paths, key=lambda path: (os.path.basename(os.path.dirname(path)), path)):  # by their times
        place = _place(file)
        found.setdefault(place, WandbRun(*place)).add(file)
    return list(found.values())


def _place(path: str) -> tuple[str, str]:
    """(project, run id), which the head of a file tells. Where it can't be read, `rows` says so."""
    stem = os.path.basename(path).removesuffix(SUFFIX).removeprefix("run-")
    try:
        for record in _records(path, {}):
            if record.WhichOneof("record_type") == "run":
                return record.run.project or "wandb", record.run.run_id or stem
    except (OSError, Unreadable):
        pass
    return "wandb", stem


class WandbRun:
    """One run: a file, and another one for each time that it was resumed."""

    def __init__(self, project: str, run_id: str) -> None:
        self.project, self.run_id = project_of(project, "wandb"), run_id_of(run_id)
        self.origin = f"wandb:{project}/{run_id}"
        self.fingerprint = ""
        self.undated_ns = 0
        self.lost: dict[str, int] = {}
        self._paths: list[str] = []
        self._begin()

    def add(self, path: str) -> None:
        """A later file."""
        stat = os.stat(path)
        self._paths.append(path)
        self.fingerprint = digest(self.fingerprint, stat.st_size, stat.st_mtime_ns)
        self.undated_ns = max(self.undated_ns, stat.st_mtime_ns)

    def _begin(self) -> None:
        self._run: Any = None
        self._config: dict[str, Any] = {}
        self._summary: dict[str, Any] = {}
        self._last: dict[str, Any] = {}  # metric -> what was logged last
        self._meta: dict[str, Any] = {}
        self._exit: Any = None
        self._started_ns = self._resumed_ns = self._ended_ns = 0
        self.lost.clear()

    def rows(self) -> Iterator[Row]:
        self._begin()
        for record in (record for path in self._paths for record in _records(path, self.lost)):
            match record.WhichOneof("record_type"):
                case "run":
                    self._take_run(record.run)
                case "config":
                    _merge(self._config, record.config)
                case "summary":
                    _merge(self._summary, record.summary)
                case "environment":
                    self._take_environment(record.environment)
                case "exit":
                    self._exit = record.exit
                case "history":
                    yield from self._history(record.history)
                case "stats":
                    yield from self._stats(record.stats)
        if self._run is None:
            raise Unreadable("there is no run in the file")

    def facts(self) -> Facts:
        run, left = self._run, self._exit
        state: State = "killed" if left is None else "failed" if left.exit_code else "finished"
        if left is not None and left.runtime:
            self._ended_ns = max(self._ended_ns, self._resumed_ns + left.runtime * SECOND_NS)
        summary = {name: value for name, value in flatten(self._summary).items() if not name.startswith(_OWN)}
        by_hand = {name: value for name, value in summary.items() if repr(value) != repr(self._last.get(name))}
        return Facts(
            self._started_ns or self.undated_ns, max(self._ended_ns, self._started_ns) or self.undated_ns, state,
            name=run.display_name, group=run.run_group, job_type=run.job_type, tags=list(run.tags), notes=run.notes,
            config={name: value for name, value in self._config.items() if not name.startswith(_OWN)},
            summary=by_hand,
            meta={"import/from": "wandb", "import/run": run.run_id, **self._meta},
        )  # fmt: skip

    def _take_run(self, run: Any) -> None:
        self._run = run
        _merge(self._config, run.config)
        _merge(self._summary, run.summary)
        started_ns = run.start_time.seconds * SECOND_NS + run.start_time.nanos
        self._started_ns = min(self._started_ns or started_ns, started_ns)
        self._resumed_ns = started_ns
        self._exit = None  # a run that was resumed goes on
        self._take_git(run.git)
        if run.host:
            self._meta["hostname"] = run.host

    def _take_environment(self, said: Any) -> None:
        self._take_git(said.git)
        known = {
            "python/version": said.python.removeprefix("CPython "), "platform": said.os, "script": said.code_path,
            "user": said.username, "argv": list(said.args), "cpu/count": said.cpu_count, "cpu/model": said.cpu.model,
            "gpu/count": said.gpu_count,
        }  # fmt: skip
        self._meta |= {name: value for name, value in known.items() if value}

    def _take_git(self, git: Any) -> None:
        known = {"git/commit": git.commit, "git/remote": git.remote_url}
        self._meta |= {name: value for name, value in known.items() if value}

    def _history(self, history: Any) -> Iterator[Row]:
        values = {_name(item): json.loads(item.value_json) for item in history.item}
        at_s, step = values.get("_timestamp"), values.get("_step", history.step.num)
        metrics = {
            name: value
            for name, value in flatten(values).items()
            if not name.startswith(_OWN) and type(value) in (int, float, bool)
        }
        self._last |= metrics
        time_ns = of_seconds(at_s) if isinstance(at_s, (int, float)) else None
        if time_ns is not None:
            self._ended_ns = max(self._ended_ns, time_ns)
        if metrics:
            yield time_ns, int(step), metrics

    def _stats(self, stats: Any) -> Iterator[Row]:
        """Samples of the machine, as the SDK has them: at whole seconds since the start."""
        time_ns = stats.timestamp.seconds * SECOND_NS + stats.timestamp.nanos
        values = {f"system/{item.key.replace('.', SEPARATOR)}": json.loads(item.value_json) for item in stats.item}
        metrics = {name: value for name, value in values.items() if type(value) in (int, float)}
        if metrics:
            yield time_ns, max(time_ns - self._started_ns, 0) // SECOND_NS, metrics


def _records(path: str, lost: dict[str, int]) -> Iterator[Any]:
    record_of = library("wandb.proto.wandb_internal_pb2", "reading wandb's files", "pip install wandb").Record
    for data in _log(path, lost):
        yield record_of.FromString(data)


def _log(path: str, lost: dict[str, int]) -> Iterator[bytes]:
    """The records of a LevelDB log. What is cut off at its end may still be being written; a broken one is left out."""
    with open(path, "rb") as file:
        if not file.read(FILE_HEAD_BYTES).startswith(MAGIC):
            raise Unreadable("this is no file of wandb")
        at = FILE_HEAD_BYTES
        whole = b""
        is_broken = False
        while True:
            left = BLOCK_BYTES - at % BLOCK_BYTES
            if left < _HEAD.size:
                at += len(file.read(left))
            head = file.read(_HEAD.size)
            if len(head) < _HEAD.size:
                return
            checksum, length, kind = _HEAD.unpack(head)
            data = file.read(length)
            at += len(head) + len(data)
            if len(data) < length:
                return
            if zlib.crc32(data, zlib.crc32(head[6:])) != checksum:
                is_broken = True
            if kind in (_FULL, _FIRST):
                whole = b""
            whole += data
            if kind in (_FULL, _LAST):
                if is_broken:
                    lost["broken records"] = lost.get("broken records", 0) + 1
                else:
                    yield whole
                is_broken = False


def _name(item: Any) -> str:
    return SEPARATOR.join(item.nested_key) or str(item.key)


def _merge(into: dict[str, Any], record: Any) -> None:
    """Apply the changes of a config or summary record; names are flat here, and below them JSON."""
    for item in record.update:
        _forget(into, _name(item))
        value = json.loads(item.value_json)
        into |= flatten(value, _name(item)) if isinstance(value, Mapping) and value else {_name(item): value}
    for item in record.remove:
        _forget(into, _name(item))


def _forget(values: dict[str, Any], name: str) -> None:
    inside = name + SEPARATOR
    for known in [key for key in values if key == name or key.startswith(inside)]:
        del values[known]
