"""Trackio's SQLite files, one per project. They are read as they are; Trackio itself is not needed."""

from __future__ import annotations

import json
import os
import pathlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from runtide.importing.model import (
    SECOND_NS,
    Broken,
    Facts,
    ImportFailed,
    Row,
    SourceRun,
    Unreadable,
    digest,
    of_iso,
    project_of,
    run_id_of,
)
from runtide.plain import flatten

SUFFIX = ".db"
_OWN = "_"  # how Trackio's own names begin: _Created, _Username, _Group
_SPELT = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

# {by}: run_id, or run_name in files of old versions. Rows are added with later times; ids order those of one moment.
_RUNS = """
SELECT {by} AS run, max(run_name) AS name, count(*) AS n, max(id) AS last, min(timestamp) AS first
FROM metrics GROUP BY {by} ORDER BY first, run
"""
_ROWS = "SELECT timestamp, 0, id, step, metrics FROM metrics WHERE {by} = :run"
_SYSTEM = " UNION ALL SELECT timestamp, 1, id, NULL, metrics FROM system_metrics WHERE {by} = :run"


def runs(path: str | None) -> list[SourceRun]:
    """The runs of a file, or of all files of a folder (default: Trackio's own). Raises `ImportFailed`."""
    cache = os.environ.get("TRACKIO_DIR") or os.path.join(
        os.environ.get("HF_HOME") or "~/.cache/huggingface", "trackio"
    )
    place = os.path.abspath(os.path.expanduser(path or cache))
    if os.path.isdir(place):
        files = [os.path.join(place, name) for name in sorted(os.listdir(place)) if name.endswith(SUFFIX)]
    elif os.path.isfile(place):
        files = [place]
    else:
        raise ImportFailed(f"there is no {place}")
    found = [run for file in files for run in _runs_of(file)]
    if not found:
        raise ImportFailed(f"no runs in {place}: looked for *{SUFFIX} with a table `metrics`")
    return found


def _runs_of(path: str) -> list[SourceRun]:
    try:
        with closing(_open(path)) as database:
            tables = {table: _columns(database, table) for table in ("metrics", "configs", "system_metrics")}
            if not tables["metrics"]:
                return []
            by = "run_id" if "run_id" in tables["metrics"] else "run_name"
            rows = database.execute(_RUNS.format(by=by)).fetchall()
            return [TrackioRun(path, by, tables, *row) for row in rows]
    except (sqlite3.Error, ValueError) as error:
        project = project_of(os.path.basename(path).removesuffix(SUFFIX), "trackio")
        return [Broken(project, f"trackio:{path}", f"this is no file of Trackio, or a broken one: {error}")]


class TrackioRun:
    """One run of a file."""

    def __init__(
        self, path: str, by: str, tables: dict[str, list[str]], run: str, name: str, rows: int, last: int, first: str
    ) -> None:
        self._path, self._by, self._run, self._name = path, by, run, name
        self._tables = tables
        self.project = project_of(os.path.basename(path).removesuffix(SUFFIX), "trackio")
        self.run_id = run_id_of(run)
        self.origin = f"trackio:{run}" if by == "run_id" else f"trackio:{path}:{run}"
        self.undated_ns = self._started_ns = self._ended_ns = of_iso(first)
        self.lost: dict[str, int] = {}
        with closing(_open(path)) as database:
            self._config = self._read_config(database)
            system = self._last_of(database, "system_metrics")
        self.fingerprint = digest(rows, last, system, sorted(self._config.items(), key=lambda each: each[0]))

    def rows(self) -> Iterator[Row]:
        query = _ROWS + (_SYSTEM if self._tables["system_metrics"] else "") + " ORDER BY 1, 2, 3"
        with closing(_open(self._path)) as database:
            for moment, is_system, _, step, said in database.execute(query.format(by=self._by), {"run": self._run}):
                time_ns = of_iso(moment)
                values = {name: _SPELT.get(v, v) if type(v) is str else v for name, v in flatten(_json(said)).items()}
                numbers = {name: value for name, value in values.items() if type(value) in (int, float, bool)}
                if is_system:
                    step = max(time_ns - self._started_ns, 0) // SECOND_NS
                    numbers = {f"system/{name.removeprefix('system/')}": value for name, value in numbers.items()}
                self._ended_ns = max(self._ended_ns, time_ns)
                if numbers:
                    yield time_ns, int(step), numbers

    def facts(self) -> Facts:
        config = self._config
        return Facts(
            self._started_ns, self._ended_ns, name=self._name, group=str(config.get("_Group") or ""),
            config={name: value for name, value in config.items() if not name.startswith(_OWN)},
            meta={"import/from": "trackio", "import/run": self._run}
            | ({"user": config["_Username"]} if config.get("_Username") else {}),
        )  # fmt: skip

    def _read_config(self, database: sqlite3.Connection) -> dict[str, Any]:
        if not self._tables["configs"]:
            return {}
        by = self._by if self._by in self._tables["configs"] else "run_name"
        row = database.execute(f"SELECT config, created_at FROM configs WHERE {by} = ?", [self._run]).fetchone()  # noqa: S608
        if row is None:
            return {}
        config = _json(row[0])
        self._started_ns = min(self._started_ns, of_iso(config.get("_Created") or row[1]))
        return config

    def _last_of(self, database: sqlite3.Connection, table: str) -> int:
        if not self._tables[table]:
            return 0
        found = database.execute(f"SELECT max(id) FROM {table} WHERE {self._by} = ?", [self._run]).fetchone()  # noqa: S608
        return found[0] or 0


def _open(path: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{pathlib.Path(path).as_uri()}?mode=ro", uri=True)


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in database.execute(f"PRAGMA table_info({table})")]


def _json(said: str | bytes) -> dict[str, Any]:
    found = json.loads(said)
    if not isinstance(found, dict):
        raise Unreadable("a row of metrics is no JSON object")
    return found
