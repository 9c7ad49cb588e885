"""Neptune, as its own exporter leaves it: Parquet files of a row per value, `<project>/<run>_part_<n>.parquet`.

`neptune-exporter export` writes them (github.com/neptune-ai/neptune-exporter, "Parquet schema"). Files, and series of
texts and histograms, stay where they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from runtide.importing.model import (
    MILLISECOND_NS,
    Broken,
    Facts,
    ImportFailed,
    Row,
    SourceRun,
    State,
    Unreadable,
    digest,
    library,
    of_iso,
    project_of,
    run_id_of,
)

COLUMNS = ("project_id", "run_id", "attribute_path", "attribute_type", "step", "timestamp")
VALUES = {
    "float": "float_value", "int": "int_value", "string": "string_value", "bool": "bool_value",
    "datetime": "datetime_value", "string_set": "string_set_value",
}  # fmt: skip
SERIES, MACHINE = "float_series", "monitoring/"
_PART = re.compile(r"^(?P<run>.+)_part_(?P<number>\d+)\.parquet$")
_CHUNK = 65_536  # rows that are Python objects at a time


def runs(path: str, step_multiplier: float = 1.0) -> list[SourceRun]:
    """The runs of an export. Raises `ImportFailed`."""
    if not os.path.isdir(path):
        raise ImportFailed(f"there is no folder {path}: neptune-exporter writes ./exports/data")
    library("pyarrow", "reading Neptune's export")
    parts: dict[str, list[tuple[int, str]]] = {}
    for folder, _, names in os.walk(os.path.abspath(path)):
        for name in names:
            match = _PART.match(name)
            if match:
                key = os.path.join(folder, match["run"])
                parts.setdefault(key, []).append((int(match["number"]), os.path.join(folder, name)))
    if not parts:
        raise ImportFailed(f"no <run>_part_<n>.parquet in {path} or below: give the folder that neptune-exporter wrote")
    return [_run_of([file for _, file in sorted(found)], step_multiplier) for _, found in sorted(parts.items())]


def _run_of(paths: list[str], step_multiplier: float) -> SourceRun:
    try:
        return NeptuneRun(paths, step_multiplier)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with this file, the others can be read
        reason = str(error) if isinstance(error, Unreadable) else f"{type(error).__name__}: {error}"
        return Broken("neptune", f"neptune:{paths[0]}", reason)


class NeptuneRun:
    """One run."""

    def __init__(self, paths: list[str], step_multiplier: float) -> None:
        parquet = library("pyarrow.parquet", "reading Neptune's export")
        missing = set(COLUMNS) - set(parquet.read_schema(paths[0]).names)
        if missing:
            raise Unreadable(f"no columns {', '.join(sorted(missing))}: this is no export of Neptune")
        head = next(parquet.ParquetFile(paths[0]).iter_batches(batch_size=1, columns=["project_id", "run_id"]), None)
        if head is None:
            raise Unreadable("an empty file")
        [first] = head.to_pylist()
        self._paths, self._multiplier = paths, step_multiplier
        self.project = project_of(first["project_id"], "neptune")
        self.run_id = run_id_of(first["run_id"])
        self.origin = f"neptune:{first['project_id']}/{first['run_id']}"
        stats = [os.stat(path) for path in paths]
        self.fingerprint = digest([(stat.st_size, stat.st_mtime_ns) for stat in stats], step_multiplier)
        self.undated_ns = min(stat.st_mtime_ns for stat in stats)
        self.lost: dict[str, int] = {}
        self._said: dict[str, Any] = {}
        self._times: tuple[int, int] | None = None

    def rows(self) -> Iterator[Row]:
        """In the order of time: the export has one metric after the other, and together they make shorter journals."""
        self._said, self._times = {}, None
        self.lost.clear()
        points: list[tuple[int, int, str, float]] = []
        undated: list[Row] = []
        columns = [*COLUMNS[2:], "float_value", *(name for name in VALUES.values() if name != "float_value")]
        for row in self._read(columns):
            name, kind = row["attribute_path"], row["attribute_type"]
            if kind in VALUES:
                self._said[name] = row[VALUES[kind]]
            elif kind != SERIES:
                self.lost[f"values of kind {kind}"] = self.lost.get(f"values of kind {kind}", 0) + 1
            elif row["float_value"] is None:
                self.lost["points without a value"] = self.lost.get("points without a value", 0) + 1
            else:
                metric = f"system/{name.removeprefix(MACHINE)}" if name.startswith(MACHINE) else name
                step, at_ms = self._step(row["step"]), row["timestamp"]
                if at_ms is None:
                    undated.append((None, step, {metric: row["float_value"]}))
                else:
                    points.append((at_ms, step, metric, row["float_value"]))
        points.sort(key=lambda point: point[:2])
        if points:
            self._times = points[0][0] * MILLISECOND_NS, points[-1][0] * MILLISECOND_NS
        for (at_ms, step), some in groupby(points, key=lambda point: point[:2]):
            metrics: dict[str, float] = {}
            for _, _, metric, value in some:
                if metric in metrics:
                    yield at_ms * MILLISECOND_NS, step, metrics
                    metrics = {}
                metrics[metric] = value
            yield at_ms * MILLISECOND_NS, step, metrics
        yield from undated

    def facts(self) -> Facts:
        said = self._said
        times = self._times or (self.undated_ns, self.undated_ns)
        ended = said.get("sys/modification_time") if self._times is None else None
        groups = said.get("sys/group_tags") or []
        state: State = "failed" if said.get("sys/failed") else "finished"
        meta = {"import/from": "neptune", "import/run": self.origin.removeprefix("neptune:")}
        for theirs, ours in (("sys/owner", "user"), ("sys/hostname", "hostname"), ("source_code/entrypoint", "script")):
            if said.get(theirs):
                meta[ours] = said[theirs]
        meta |= {name: value for name, value in said.items() if name.startswith("source_code/git")}
        return Facts(
            _ns(said.get("sys/creation_time")) or times[0],
            _ns(ended) or times[1],
            state,
            name=said.get("sys/name") or said.get("sys/custom_run_id") or "",
            group=min(groups) if groups else "",
            tags=sorted(said.get("sys/tags") or []),
            notes=said.get("sys/description") or "",
            config={
                name: value.isoformat() if isinstance(value, datetime) else value
                for name, value in said.items()
                if not name.startswith(("sys/", "source_code/", MACHINE))
            },
            meta=meta,
        )

    def _read(self, columns: list[str]) -> Iterator[dict[str, Any]]:
        arrow = library("pyarrow", "reading Neptune's export")
        parquet = library("pyarrow.parquet", "reading Neptune's export")
        for path in self._paths:
            with parquet.ParquetFile(path) as file:
                there = set(file.schema_arrow.names)
                for batch in file.iter_batches(_CHUNK, columns=[name for name in columns if name in there]):
                    at = batch.schema.get_field_index("timestamp")
                    stamps = batch.column(at).cast(arrow.timestamp("ms", "UTC")).cast("int64").to_pylist()
                    for row, stamp in zip(batch.to_pylist(), stamps, strict=True):
                        row["timestamp"] = stamp
                        yield row

    def _step(self, step: Any) -> int:
        number = float(step or 0) * self._multiplier
        if number != int(number):
            raise Unreadable(f"step {step} is no whole number: --step-multiplier 1000000 keeps Neptune's six decimals")
        return int(number)


def _ns(moment: datetime | None) -> int:
    return of_iso((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()) if moment else 0
