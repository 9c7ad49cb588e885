"""CSV, Parquet and JSON lines. Long: `run, metric, step, value, timestamp`. Wide: `run, step, timestamp`, metrics.

Files are read by pyarrow, one at a time, and whole. Rows keep the order of the file. An empty cell is no point; NaN is
one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from runtide.importing.model import (
    Broken,
    Facts,
    ImportFailed,
    Row,
    SourceRun,
    Unreadable,
    digest,
    library,
    of_iso,
    project_of,
    run_id_of,
)

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")
# What a column may be called, by what it is; --column says it for any other name.
KNOWN = {
    "run": ("run", "run_id", "run_name", "run name", "_run"),
    "metric": ("metric", "metric_name", "key", "tag"),
    "step": ("step", "_step", "global_step", "iteration", "epoch"),
    "value": ("value", "metric_value"),
    "time": ("timestamp", "_timestamp", "wall_time", "created_at"),
}
UNITS_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_CHUNK = 65_536  # rows that are Python objects at a time
_TABLES_KEPT = 2


@dataclass(frozen=True, slots=True)
class Reading:
    """How the tables are to be read. `columns`: role -> name of a column."""

    columns: Mapping[str, str] = field(default_factory=dict)
    time_unit: str = ""  # "": as large as the numbers are, s, ms, us or ns
    step_multiplier: float = 1.0


def runs(paths: Sequence[str], reading: Reading = Reading()) -> list[SourceRun]:
    """The runs of files and folders. Without a column for it a file is a run; parts of one run follow each other.

    Raises `ImportFailed`.
    """
    unknown = sorted(set(reading.columns) - set(KNOWN))
    if unknown:
        raise ImportFailed(f"--column {unknown[0]}=...: a column is one of {', '.join(KNOWN)}")
    library("pyarrow", "reading tables")
    files = [(project, file) for path in paths for project, file in _files(path)]
    if not files:
        raise ImportFailed(f"no *{', *'.join(SUFFIXES)} in {', '.join(paths)}")
    found: dict[tuple[str, str], TableRun] = {}
    broken: list[SourceRun] = []
    for project, path in files:
        try:
            names = _names(path, reading)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the other files can be read
            reason = str(error) if isinstance(error, Unreadable) else f"{type(error).__name__}: {error}"
            broken.append(Broken(project, f"table:{path}", reason))
            continue
        for name in names:
            key = project, name if name is not None else os.path.splitext(os.path.basename(path))[0]
            run = found.setdefault(key, TableRun(*key, reading))
            run.add(path, name)
    return [*found.values(), *broken]


class TableRun:
    """One run, in one or several files."""

    def __init__(self, project: str, name: str, reading: Reading) -> None:
        self.project, self.run_id = project, run_id_of(name)
        self.origin = ""
        self.fingerprint = ""
        self.undated_ns = 0
        self.lost: dict[str, int] = {}
        self._name, self._reading = name, reading
        self._parts: list[tuple[str, str | None]] = []
        self._times: tuple[int, int] | None = None

    def add(self, path: str, name: str | None) -> None:
        """A part of it is the rows of `name` in that file (None: all)."""
        stat = os.stat(path)
        self._parts.append((path, name))
        self.origin = self.origin or f"table:{path}:{self._name}"
        self.fingerprint = digest(self.fingerprint, path, stat.st_size, stat.st_mtime_ns, repr(self._reading))
        self.undated_ns = max(self.undated_ns, stat.st_mtime_ns)

    def rows(self) -> Iterator[Row]:
        self._times = None
        for path, name in self._parts:
            for row in _rows(path, name, self._reading):
                if row[0] is not None:
                    low, high = self._times or (row[0], row[0])
                    self._times = min(low, row[0]), max(high, row[0])
                yield row

    def facts(self) -> Facts:
        started_ns, ended_ns = self._times or (self.undated_ns, self.undated_ns)
        return Facts(started_ns, ended_ns, name=self._name, meta={"import/from": "table"})


def _files(path: str) -> Iterator[tuple[str, str]]:
    """(project, file)."""
    place = os.path.abspath(os.path.expanduser(path))
    if os.path.isfile(place):
        yield project_of(os.path.splitext(os.path.basename(place))[0], "tables"), place
    elif os.path.isdir(place):
        project = project_of(os.path.basename(place), "tables")
        for folder, folders, names in os.walk(place):
            folders.sort()
            yield from ((project, os.path.join(folder, name)) for name in sorted(names) if name.endswith(SUFFIXES))
    else:
        raise ImportFailed(f"there is no {path}")


@dataclass(frozen=True, slots=True)
class _Table:
    """A file's table, and which column is what (None: it has none)."""

    arrow: Any
    run: str | None
    metric: str | None
    step: str | None
    value: str | None
    time: str | None

    @property
    def metrics(self) -> list[str]:
        """The columns of a wide table that are metrics: every one of numbers that is nothing else."""
        types = library("pyarrow.types", "reading tables")
        others = {self.run, self.step, self.time}
        return [
            each.name
            for each in self.arrow.schema
            if each.name not in others
            and not each.name.startswith("_")
            and (types.is_integer(each.type) or types.is_floating(each.type) or types.is_boolean(each.type))
        ]


def _table(path: str, reading: Reading) -> _Table:
    stat = os.stat(path)
    columns = tuple(sorted(reading.columns.items()))
    cached: _Table = _loader()(path, stat.st_size, stat.st_mtime_ns, columns)
    return cached


@cache
def _loader() -> Any:
    from functools import lru_cache

    return lru_cache(maxsize=_TABLES_KEPT)(_load)


def _load(path: str, _size: int, _mtime_ns: int, columns: tuple[tuple[str, str], ...]) -> _Table:
    arrow = _read(path)
    there = {name.lower(): name for name in reversed(arrow.column_names)}
    roles: dict[str, str | None] = {
        role: next((there[name] for name in names if name in there), None) for role, names in KNOWN.items()
    }
    for role, name in columns:
        if name not in arrow.column_names:
            raise Unreadable(f"there is no column {name!r}; there are {', '.join(arrow.column_names)}")
        roles[role] = name
    if roles["metric"] is None or roles["value"] is None:
        roles["metric"] = roles["value"] = None
    table = _Table(arrow, **roles)
    if table.value is None and not table.metrics:
        raise Unreadable(f"no metrics: neither columns metric and value, nor one of numbers among {arrow.column_names}")
    return table


def _read(path: str) -> Any:
    if path.endswith(".parquet"):
        return library("pyarrow.parquet", "reading tables").read_table(path)
    if path.endswith((".jsonl", ".ndjson")):
        return library("pyarrow.json", "reading tables").read_json(path)
    csv = library("pyarrow.csv", "reading tables")
    return csv.read_csv(
        path,
        parse_options=csv.ParseOptions(delimiter="\t" if path.endswith(".tsv") else ","),
        # By itself pyarrow takes "nan" and "NA" for an empty cell; here the first is a number.
        convert_options=csv.ConvertOptions(null_values=["", "NA", "null", "NULL", "None"], strings_can_be_null=True),
    )


def _names(path: str, reading: Reading) -> list[str | None]:
    """The runs in a file, in order; None stands for all of it."""
    table = _table(path, reading)
    if table.run is None:
        return [None]
    return [str(name) for name in table.arrow[table.run].unique().to_pylist() if name is not None]


def _rows(path: str, name: str | None, reading: Reading) -> Iterator[Row]:
    table = _table(path, reading)
    arrow = table.arrow
    if name is not None:
        compute = library("pyarrow.compute", "reading tables")
        arrow = arrow.filter(compute.equal(compute.cast(arrow[table.run], "string"), name))
    moment_of = _Clock(arrow, table.time, reading)
    first = 0
    for start in range(0, arrow.num_rows, _CHUNK):
        part = arrow.slice(start, _CHUNK)
        times = _times(part[table.time]) if table.time else [None] * part.num_rows
        steps = part[table.step].to_pylist() if table.step else range(first, first + part.num_rows)
        first += part.num_rows
        if table.value is not None and table.metric is not None:
            columns = (part[table.metric].to_pylist(), part[table.value].to_pylist())
            for moment, step, metric, value in zip(times, steps, *columns, strict=True):
                if value is not None and metric is not None:
                    yield moment_of(moment), _whole(step, reading), {str(metric): value}
            continue
        metrics = table.metrics
        values = [part[metric].to_pylist() for metric in metrics]
        for moment, step, *cells in zip(times, steps, *values, strict=True):
            found = {metric: value for metric, value in zip(metrics, cells, strict=True) if value is not None}
            if found:
                yield moment_of(moment), _whole(step, reading), found


def _times(column: Any) -> list[Any]:
    """Moments as ns, everything else as it is."""
    if library("pyarrow.types", "reading tables").is_timestamp(column.type):
        arrow = library("pyarrow", "reading tables")
        column = column.cast(arrow.timestamp("ns", column.type.tz)).cast("int64")
    values: list[Any] = column.to_pylist()
    return values


class _Clock:
    """Makes ns of what stands in a column of times."""

    def __init__(self, arrow: Any, column: str | None, reading: Reading) -> None:
        self._unit_ns = UNITS_NS.get(reading.time_unit, 0)
        if reading.time_unit and not self._unit_ns:
            raise Unreadable(f"a unit of time is one of {', '.join(UNITS_NS)}, not {reading.time_unit!r}")
        if column is not None:
            # By the size of the numbers: seconds since 1970 have ten digits until 2286, each smaller unit three more.
            compute = library("pyarrow.compute", "reading tables")
            types = library("pyarrow.types", "reading tables")
            kind = arrow.schema.field(column).type
            if types.is_timestamp(kind):
                self._unit_ns = 1
            elif not self._unit_ns and (types.is_integer(kind) or types.is_floating(kind)):
                most = compute.max(arrow[column]).as_py() or 0
                self._unit_ns = next((ns for top, ns in ((1e11, 10**9), (1e14, 10**6), (1e17, 1000)) if most < top), 1)

    def __call__(self, moment: Any) -> int | None:
        if moment is None:
            return None
        if isinstance(moment, int):
            return moment * self._unit_ns if moment > 0 else None
        if isinstance(moment, float):
            # A double of seconds is good to the microsecond, not further.
            return round(moment * self._unit_ns / 1000) * 1000 if 0 < moment < float("inf") else None
        try:
            return of_iso(moment if isinstance(moment, str) else moment.isoformat())
        except (ValueError, AttributeError):
            raise Unreadable(f"{moment!r} is no time: ISO 8601, or a number of s, ms, us or ns since 1970") from None


def _whole(step: Any, reading: Reading) -> int:
    if isinstance(step, int) and reading.step_multiplier == 1:
        return step
    try:
        number = float(step) * reading.step_multiplier
        if number == int(number):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        raise Unreadable(f"{step!r} is no step") from None
    raise Unreadable(f"step {step} is no whole number: --step-multiplier 1000 makes thousandths of it")
