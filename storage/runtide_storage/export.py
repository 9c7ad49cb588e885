"""Out of storage into a file, block by block: memory stays flat, and a file is there whole or not at all."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from runtide_storage.errors import NotFound, QueryError
from runtide_storage.ids import key_id
from runtide_storage.reader import Reader, integers
from runtide_storage.runs import RunName
from runtide_storage.sources import all_points, latest_points
from runtide_storage.statements import statements

What = Literal["points", "runs", "summaries", "events", "values", "alerts"]
Format = Literal["parquet", "csv", "arrow", "jsonl"]
Progress = Callable[[int, int, int], None]  # rows written, runs done, runs in all

_FORMATS: dict[str, Format] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
RUNS_AT_ONCE = 200


class _Sink(Protocol):
    def write(self, table: pa.Table) -> None: ...
    def close(self) -> None: ...


def export(
    reader: Reader,
    path: str | os.PathLike[str],
    runs: Sequence[RunName],
    what: What,
    format_: Format | None,
    metrics: Sequence[str] | None,
    attempts: str,
    progress: Progress | None,
    overwrite: bool,
) -> int:
    """Write the file that `Client.export` describes; the number of rows. Raises `QueryError` and `OSError`."""
    target = Path(path)
    chosen = format_ or _format_of(target)
    if what not in get_args(What):
        raise QueryError(f"what: there is no {what!r}; there are {', '.join(get_args(What))}")
    if attempts not in ("latest", "all"):
        raise QueryError(f"attempts: {attempts!r} is neither 'latest' nor 'all'")
    if not runs:
        raise NotFound("there is no such run to export")
    if target.exists() and not overwrite:
        raise QueryError(f"{target} exists already: overwrite=True replaces it")
    rows = 0
    with _whole(target) as part, _opened(part, chosen, target) as sink:
        for done in range(0, len(runs), RUNS_AT_ONCE):
            some = runs[done : done + RUNS_AT_ONCE]
            for table in _blocks(reader, some, what, metrics, attempts):
                sink.write(table)
                rows += len(table)
                if progress:
                    progress(rows, done, len(runs))
            if progress:
                progress(rows, min(len(runs), done + RUNS_AT_ONCE), len(runs))
    return rows


def _format_of(path: Path) -> Format:
    suffix = (path.suffixes[-2:-1] or [""])[0] if path.suffix == ".gz" else path.suffix
    if suffix.lower() not in _FORMATS:
        raise QueryError(f"{path.name}: which format? It may end in {', '.join(_FORMATS)}, or format= says it")
    return _FORMATS[suffix.lower()]


def _blocks(
    reader: Reader, runs: Sequence[RunName], what: What, metrics: Sequence[str] | None, attempts: str
) -> Iterator[pa.Table]:
    if what == "points":
        yield from _points(reader, runs, metrics, attempts)
        return
    given = {"all": metrics is None, "metrics": list(metrics or ())}
    sql = statements("export.sql")[what].format(runs=integers(run.key for run in runs))
    yield from reader.stream(sql, given)


def _points(
    reader: Reader, runs: Sequence[RunName], metrics: Sequence[str] | None, attempts: str
) -> Iterator[pa.Table]:
    sql = statements("export.sql")
    ids = [run.key for run in runs]
    keys = None if metrics is None else [key_id(metric) for metric in metrics]
    names = {row["id"]: row["name"] for row in reader.rows(sql["names"].format(runs=integers(ids)))}
    relaunched = {run.key for run in runs if run.attempts > 1}
    projects = {run.key: run.project for run in runs}
    run_ids = {run.key: run.run_id for run in runs}
    once, again = [run for run in ids if run not in relaunched], [run for run in ids if run in relaunched]
    for some, points in ((once, all_points), (again, latest_points if attempts == "latest" else all_points)):
        if not some:
            continue
        condition = f"run IN ({integers(some)})"
        if keys is not None:
            condition += f" AND key IN ({integers(keys) or 'NULL'})"
        source = points(condition)
        for block in reader.stream(sql["points"].format(source=source)):
            if missing := set(block["key"].unique().to_pylist()) - names.keys():  # younger than the names
                more = reader.rows(sql["names_of"].format(keys=integers(missing)))
                names |= {row["id"]: row["name"] for row in more}
            yield pa.table(
                {
                    "project": _named(block["run"], projects),
                    "run_id": _named(block["run"], run_ids),
                    "metric": _named(block["key"], names),
                    **{name: block[name] for name in ("step", "ts", "value", "attempt")},
                }
            )


def _named(ids: pa.ChunkedArray, names: dict[int, str]) -> pa.ChunkedArray:
    """Strings for integers, each kept once."""
    encoded = ids.dictionary_encode()
    chunks = [
        pa.DictionaryArray.from_arrays(
            chunk.indices, pa.array([names.get(each, "") for each in chunk.dictionary.to_pylist()], pa.string())
        ).cast(pa.string())
        for chunk in encoded.chunks
    ]
    return pa.chunked_array(chunks, pa.string())


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A file beside `target` that takes its place at the end, and is gone if there is none."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _opened(part: Path, format_: Format, target: Path) -> Iterator[_Sink]:
    raw = pa.OSFile(str(part), "wb")
    file = pa.CompressedOutputStream(raw, "gzip") if target.suffix == ".gz" else raw
    sink = _File(file, format_)
    try:
        yield sink
        sink.close()
    finally:
        file.close()
        raw.close()


class _File:
    """Tables of one schema into one file; without any it is a file without rows."""

    def __init__(self, file: Any, format_: Format) -> None:
        self._file, self._format = file, format_
        self._writer: Any = None

    def write(self, table: pa.Table) -> None:
        if self._format == "jsonl":
            for row in _rows_for_json(table):
                self._file.write(orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE))
            return
        if self._format == "csv":
            table = _flat(table)
        if self._writer is None:
            self._writer = self._begin(table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        elif self._format == "parquet":
            self._begin(pa.schema([])).close()

    def _begin(self, schema: pa.Schema) -> Any:
        if self._format == "parquet":
            return pq.ParquetWriter(self._file, schema, compression="zstd")
        if self._format == "csv":
            return pa_csv.CSVWriter(self._file, schema)
        return pa.ipc.new_file(self._file, schema)


def _rows_for_json(table: pa.Table) -> list[dict[str, Any]]:
    """JSON has no NaN and no infinity: they are the texts "NaN", "Infinity" and "-Infinity", as in events."""
    rows: list[dict[str, Any]] = table.to_pylist(maps_as_pydicts="lossy")
    for name in (field.name for field in table.schema if pa.types.is_floating(field.type)):
        for at in np.flatnonzero(~np.isfinite(table[name].to_numpy())):
            value = rows[at][name]
            if value is not None:
                rows[at][name] = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return rows


def _flat(table: pa.Table) -> pa.Table:
    """CSV has no lists and maps: as JSON."""
    for at, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            texts = [
                None if value is None else orjson.dumps(value, default=str).decode()
                for value in table[at].to_pylist(maps_as_pydicts="lossy")
            ]
            table = table.set_column(at, field.name, pa.array(texts, pa.string()))
    return table
