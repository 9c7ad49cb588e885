"""What the workers write. Blocking; each call may be repeated: every table keeps one row per identity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import orjson
import pyarrow as pa
from clickhouse_connect.driver.client import Client as Driver
from clickhouse_connect.driver.exceptions import ClickHouseError
from numpy.typing import NDArray

from runtide_storage.connect import address, write_errors
from runtide_storage.errors import Rejected, Unreachable
from runtide_storage.fold import FOLDED_KINDS, Event, Folded, fold
from runtide_storage.fold import Writer as Member
from runtide_storage.native import POINT_COLUMNS, arrow_rows, native_points
from runtide_storage.rollup import Rollup, Touched

__all__ = ["Pair", "StoredWriter", "Touched", "Writer"]

POINTS_PER_INSERT_MAX = 1_000_000
IDS_PER_QUERY_MAX = 1_000
# No search for points that stand in one insert twice: that is half of its cost, a batch has none, and if it had, FINAL
# would make one of them.
AS_THEY_COME = {"optimize_on_insert": 0}

STALE_WINDOW_S = 86_400  # what a crash left behind was stored shortly before it, hence near the newest

Pair = tuple[int, int]  # (run, writer)
T = TypeVar("T")


@dataclass(slots=True)
class StoredWriter:
    """A writer as storage knows it: its attempt, and which of its lines are stored."""

    attempt: int
    rank: int
    intervals: list[tuple[int, int]] = field(default_factory=list)  # [first, next) of seq, sorted
    point_at_ms: int = 0  # newest point of the user's, 0 if none


class Writer:
    """Writes through one clickhouse-connect client, which threads may share.

    Every method raises `Unreachable` (the same call may work later) or `Rejected` (these rows never will).
    """

    def __init__(self, client: Driver) -> None:
        self._client = client
        self._types: dict[str, dict[str, str]] = {}
        self._rollup = Rollup(self._command, self._read)

    def points(self, columns: Mapping[str, NDArray[np.generic]]) -> None:
        """Insert points: equally long vectors run, key, step, ts (int64 ms), value, attempt, writer, seq."""
        total = len(columns["run"])
        for start in range(0, total, POINTS_PER_INSERT_MAX):
            try:
                block = native_points(columns, start, min(start + POINTS_PER_INSERT_MAX, total))
            except ValueError as error:
                raise Rejected(str(error)) from error
            self._insert("points", list(POINT_COLUMNS), block, "Native", AS_THEY_COME)

    def rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows of a small table, with the columns of the first; times are ints in the unit of their column."""
        if not rows:
            return
        try:
            arrow = arrow_rows(rows, self._types_of(table))
        except (ValueError, TypeError) as error:
            raise Rejected(f"{table}: {error}") from error
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, arrow.schema) as stream:
            stream.write_table(arrow)
        self._insert(table, arrow.column_names, sink.getvalue().to_pybytes(), "ArrowStream", {})

    def load_writers(self, pairs: Iterable[Pair]) -> dict[Pair, StoredWriter]:
        """What is known of these (run, writer) pairs; those never seen are left out."""
        found: dict[Pair, StoredWriter] = {}
        wanted = [f"({run:d}, {writer:d})" for run, writer in pairs]
        sql = "SELECT run, writer, attempt, `rank` FROM writers FINAL WHERE (run, writer) IN ({ids})"
        for run, writer, attempt, rank in self._read_for(wanted, sql):
            found[run, writer] = StoredWriter(attempt, rank)
        sql = (
            "SELECT run, writer, first, next, toUnixTimestamp64Milli(point_at) FROM ingest_progress FINAL"
            " WHERE (run, writer) IN ({ids}) ORDER BY run, writer, first"
        )
        for run, writer, first, after, point_at_ms in self._read_for(wanted, sql):
            stored = found.get((run, writer))
            if stored is not None:
                stored.intervals.append((first, after))
                stored.point_at_ms = max(stored.point_at_ms, point_at_ms)
        return found

    def load_attempts(self, runs: Iterable[int]) -> dict[int, list[tuple[int, int, int, int]]]:
        """Per run its writers so far as (attempt, rank, writer, started_at in ms), the oldest first."""
        wanted = list(runs)
        found: dict[int, list[tuple[int, int, int, int]]] = {run: [] for run in wanted}
        sql = (
            "SELECT run, attempt, `rank`, writer, toUnixTimestamp64Milli(started_at) FROM writers FINAL"
            " WHERE run IN ({ids}) ORDER BY run, attempt, started_at, writer"
        )
        for run, attempt, rank, writer, started_ms in self._read_for(map(str, wanted), sql):
            found[run].append((attempt, rank, writer, started_ms))
        return found

    def deleted(self, runs: Iterable[int]) -> set[int]:
        """Those of the runs that are deleted for good."""
        sql = "SELECT DISTINCT run FROM deletions WHERE run IN ({ids})"
        return {run for (run,) in self._read_for((f"{run:d}" for run in runs), sql)}

    def refold(self, runs: Iterable[int]) -> None:
        """Make the rows of these runs from all their lifecycle events and writers, whatever was folded before.

        A deleted run gets none, not even one that is deleted meanwhile.
        """
        asked = set(runs)
        living = sorted(asked - self.deleted(asked))
        self._fold(living)
        if gone := self.deleted(living):
            ids = ", ".join(f"{run:d}" for run in gone)
            self._command(f"DELETE FROM runs WHERE run IN ({ids})")  # noqa: S608 - integers

    def _fold(self, runs: Iterable[int]) -> None:
        wanted = [f"{run:d}" for run in runs]
        version = self._read("SELECT toUnixTimestamp64Nano(now64(9))")[0][0]  # before anything is read
        names: dict[int, tuple[str, str]] = {}
        members: dict[int, dict[int, Member]] = {}
        sql = (
            "SELECT run, project, run_id, writer, attempt, `rank`, host, toUnixTimestamp64Milli(started_at)"
            " FROM writers FINAL WHERE run IN ({ids})"
        )
        for run, project, run_id, writer, attempt, rank, host, started_ms in self._read_for(wanted, sql):
            names[run] = project, run_id
            members.setdefault(run, {})[writer] = Member(attempt, rank, host, started_ms)
        sql = (
            "SELECT run, toUnixTimestamp64Nano(ts), writer, seq, kind, body FROM run_events FINAL"
            " WHERE run IN ({ids}) AND kind IN {kinds:Array(String)}"
        )
        events: dict[int, list[Event]] = {}
        for run, ts_ns, writer, seq, kind, body in self._read_for(wanted, sql, {"kinds": list(FOLDED_KINDS)}):
            events.setdefault(run, []).append(Event(ts_ns, writer, seq, kind, orjson.loads(body)))
        self.rows(
            "runs",
            [
                {"run": run, "project": project, "run_id": run_id, "version": version}
                | _run_row(fold(events.get(run, ()), members[run]))
                for run, (project, run_id) in names.items()
            ],
        )

    def rollup(self, touched: Iterable[Touched], several_attempts: Iterable[int] | None = None) -> None:
        """Recompute the tiers of the touched step ranges, whose points are stored by now.

        `several_attempts`: the only runs that can have more than one attempt, if the caller knows them.
        """
        self._rollup(touched, several_attempts)

    def stale_rollups(self, window_s: int = STALE_WINDOW_S) -> list[Touched]:
        """What to roll up at a worker's start: runs whose tiers don't speak of all their points."""
        return self._rollup.stale(window_s)

    def _types_of(self, table: str) -> dict[str, str]:
        if table not in self._types:
            sql = "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String}"
            types = {name: kind for name, kind in self._read(sql, {"table": table})}  # noqa: C416 - rows are no pairs
            if not types:
                raise Unreachable(f"there is no table {table}: run `runtide migrate`")
            self._types[table] = types
        return self._types[table]

    def _read_for(self, ids: Iterable[str], sql: str, parameters: dict[str, Any] | None = None) -> Iterator[Any]:
        """Rows of `sql` for many ids: integers, or tuples of them, put in for {ids}, some at a time."""
        wanted = list(ids)
        for start in range(0, len(wanted), IDS_PER_QUERY_MAX):
            some = ", ".join(wanted[start : start + IDS_PER_QUERY_MAX])
            yield from self._read(sql.replace("{ids}", some), parameters)

    def _read(self, sql: str, parameters: dict[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        with write_errors(address(self._client)):
            return self._client.query(sql, parameters).result_rows

    def _command(self, sql: str) -> None:
        with write_errors(address(self._client)):
            _twice(lambda: self._client.command(sql))

    def _insert(self, table: str, columns: Sequence[str], block: bytes, form: str, settings: dict[str, Any]) -> None:
        with write_errors(address(self._client)):
            _twice(lambda: self._client.raw_insert(table, columns, block, fmt=form, settings=settings))


def _twice(act: Callable[[], T]) -> T:
    """Once more where the connection broke: the server closes idle ones, and every write may be repeated."""
    try:
        return act()
    except ClickHouseError as error:
        if getattr(error, "code", None) is not None:
            raise
        return act()


def _run_row(folded: Folded) -> dict[str, Any]:
    return {
        "name": folded.name,
        "group": folded.group,
        "job_type": folded.job_type,
        "tags": folded.tags,
        "notes": folded.notes,
        "state": folded.state,
        "exit_code": folded.exit_code,
        "attempt": folded.attempt,
        "started_at": folded.started_ms,
        "ended_at": folded.ended_ms,
        "host": folded.host,
    }
