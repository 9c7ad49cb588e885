"""`runtide sql`: people's own questions, read-only and within limits, in the form that they need."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from runtide.cli import CommandError
from runtide_storage import Client, Result
from runtide_workers.cli import output

ROWS_SHOWN = 1_000
_SUFFIXES = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".md": "markdown",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
_BINARY = ("parquet", "arrow")


def sql(
    query: str, params: Sequence[str], limit: int | None, format_: str | None, out: str | None, force: bool,
    as_csv: bool, as_json: bool,
) -> int:  # fmt: skip
    """Ask as the analyst."""
    if as_csv + as_json + (format_ is not None) > 1:
        raise CommandError("--csv, --json and --format: one of them")
    chosen = "csv" if as_csv else "json" if as_json else format_ or _of_suffix(out)
    text = sys.stdin.read() if query == "-" else query
    rows_max = limit or (None if out else ROWS_SHOWN)
    with Client() as client:
        result = client.sql(text, _parameters(params), limit=rows_max)
    if out:
        _into_file(result, chosen, Path(out), force)
        print(f"{len(result):,} rows in {out}", file=sys.stderr)
        return 0
    if chosen in _BINARY:
        raise CommandError(f"{chosen} is not for terminals: --out FILE")
    _WRITERS[chosen](result, sys.stdout)
    if len(result) == rows_max and chosen == "table":
        print(f"… perhaps more: these are the first {rows_max} rows, --limit takes another number", file=sys.stderr)
    return 0


def _of_suffix(out: str | None) -> str:
    if out is None:
        return "table"
    found = _SUFFIXES.get(Path(out).suffix.lower())
    if found is None:
        raise CommandError(f"{out}: which format? It may end in {', '.join(_SUFFIXES)}, or --format says it")
    return found


def _into_file(result: Result, format_: str, path: Path, force: bool) -> None:
    """The file appears whole."""
    if path.exists() and not force:
        raise CommandError(f"{path} exists already: --force replaces it")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if format_ == "parquet":
            pq.write_table(result.arrow, part, compression="zstd")
        elif format_ == "arrow":
            with pa.OSFile(str(part), "wb") as file, pa.ipc.new_file(file, result.arrow.schema) as writer:
                writer.write_table(result.arrow)
        else:
            with part.open("w", encoding="utf-8", newline="") as text:
                _WRITERS[format_](result, text)
        part.replace(path)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def _table(result: Result, _: IO[str]) -> None:
    rows = result.to_pylist()
    numbers = [name for name in result.columns if rows and isinstance(rows[0][name], (int, float))]
    output.table(result.columns, [[row[name] for name in result.columns] for row in rows], right=numbers)


def _csv(result: Result, file: IO[str]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(result.columns)
    writer.writerows([row[name] for name in result.columns] for row in result.to_pylist())


def _json(result: Result, file: IO[str]) -> None:
    print(output.as_json({"columns": result.columns, "rows": result.to_pylist()}), file=file)


def _jsonl(result: Result, file: IO[str]) -> None:
    for row in result.to_pylist():
        print(output.as_json(row), file=file)


def _markdown(result: Result, file: IO[str]) -> None:
    def line(cells: Sequence[Any]) -> str:
        return "| " + " | ".join(output.cell(cell).replace("|", "\\|") for cell in cells) + " |"

    print(line(result.columns), line(["---"] * len(result.columns)), sep="\n", file=file)
    for row in result.to_pylist():
        print(line([row[name] for name in result.columns]), file=file)


_WRITERS: dict[str, Callable[[Result, IO[str]], None]] = {
    "table": _table, "csv": _csv, "json": _json, "jsonl": _jsonl, "markdown": _markdown,
}  # fmt: skip


def _parameters(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise CommandError(f"--param {text}: expected NAME=VALUE")
        found[name] = value
    return found
