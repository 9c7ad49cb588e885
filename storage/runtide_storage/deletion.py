"""Runs deleted for good: a tombstone first, then their row in `runs`, then everything else of them.

From the tombstone on the run is gone: views join `runs`, whose row nobody makes again (`Writer.refold`), workers drop
what still arrives, and its id stays taken. Whoever is killed in between leaves rows that nothing shows; purging again,
by `runtide rm` or by a worker's sweep, removes them. Rows are masked by lightweight DELETE in the
background; their space comes back as ClickHouse merges parts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from clickhouse_connect.driver.client import Client as Driver

from runtide_storage.cluster import LOCAL, SHARDED
from runtide_storage.connect import address, write_errors
from runtide_storage.reader import integers
from runtide_storage.runs import RunName
from runtide_storage.statements import statements
from runtide_storage.writer import Writer

RUNS_PER_STATEMENT_MAX = 10_000
FRESH_S = 600  # what a worker had in hand when the run was deleted is stored by then, and its tiers are made

# In this order: `writers` is the last, so that whoever is killed in between is found out. `runs` comes before all.
_OF_RUNS = (
    "alerts", "verdicts", "run_plans", "run_values", "run_events", "metric_defs", "attempt_starts", "tiers", "points",
    "ingest_progress", "writers",
)  # fmt: skip
_SMALL = ("runs", *(table for table in _OF_RUNS if table not in ("tiers", "points")))
_BY_ALERT = {"alert_actions": "id", "deliveries": "alert"}
_MARKS_OF_A_RUN = "kind IN ('run', 'exclude', 'accept') AND concat(project, '/', value) IN {refs:Array(String)}"

Row = dict[str, Any]
T = TypeVar("T")


class Deletions:
    """Deletes through a client of a user who may write. Every method raises `Unreachable`, and may be called again."""

    def __init__(self, client: Driver, cluster: str | None = None) -> None:
        self._client = client
        self._cluster = cluster
        self._writer = Writer(client)
        self._sql = statements("deletion.sql")

    def delete(self, runs: Sequence[RunName], who: str, reason: str) -> None:
        """Delete runs for good. When it returns nothing shows them any more; ClickHouse removes their rows soon."""
        at = time.time_ns() // 1_000_000
        fixed = {"at": at, "who": who, "reason": reason}
        known = self.known(run.key for run in runs)
        self._writer.rows(
            "deletions",
            [
                {"run": run.key, "project": run.project, "run_id": run.run_id} | fixed
                for run in runs
                if run.key not in known
            ],
        )
        self.purge(run.key for run in runs)

    def known(self, runs: Iterable[int]) -> set[int]:
        """Those of the runs that are deleted."""
        return {run for some in _chunks(runs) for (run,) in self._read("known", runs=integers(some))}

    def buried(self, ref: str) -> list[Row]:
        """Deleted runs that `ref` (project/run_id, or run_id) names: key, project, run_id, at, who, reason."""
        names = ("key", "project", "run_id", "at", "who", "reason")
        return [dict(zip(names, row, strict=True)) for row in self._read("buried", {"ref": ref})]

    def sizes(self, runs: Iterable[int]) -> dict[int, int]:
        """How many points runs have, as far as their tiers know."""
        return {run: n for some in _chunks(runs) for run, n in self._read("sizes", runs=integers(some))}

    def newest(self) -> tuple[int, Any]:
        """How many tombstones there are and when the last one was made: whether there is news."""
        [(count, at)] = self._read("newest")
        return count, at

    def purge(self, runs: Iterable[int]) -> None:
        """Remove whatever there is of runs that have a tombstone. Any number of times."""
        for some in _chunks(runs):
            ids = integers(some)
            self._remove("runs", f"run IN ({ids})", wait=True)
            refs = [f"{project}/{run_id}" for project, run_id in self._read("names", runs=ids)]
            self._remove("baseline_marks", _MARKS_OF_A_RUN, {"refs": refs})
            # What was fitted on their curves; of what is left it is made again.
            self._remove("baselines", f"arrayExists(member -> member IN ({ids}), members)")
            for alerts in _chunks(alert for (alert,) in self._read("alerts", runs=ids)):
                for table, column in _BY_ALERT.items():
                    self._remove(table, f"{column} IN {{ids:Array(String)}}", {"ids": alerts})
            for table in _OF_RUNS:
                self._remove(table, f"run IN ({ids})")

    def sweep(self, fresh_s: int = FRESH_S) -> list[int]:
        """Purge what came after its run's deletion, and what a killed `rm` left; whose that was."""
        gone = "WHERE run IN (SELECT run FROM deletions)"
        tables = " UNION ALL ".join(f"SELECT run FROM {table} {gone}" for table in _SMALL)  # noqa: S608 - own names
        left = [run for (run,) in self._read("left_over", {"fresh_s": fresh_s}, tables=tables)]
        self.purge(left)
        return left

    def _remove(self, table: str, condition: str, parameters: Row | None = None, *, wait: bool = False) -> None:
        """Mask rows, if there are any. Without `wait` ClickHouse does it in the background."""
        if not self._ask(f"SELECT 1 FROM {table} WHERE {condition} LIMIT 1", parameters):  # noqa: S608 - own texts
            return
        target = f"{LOCAL} ON CLUSTER '{self._cluster}'" if self._cluster and table == SHARDED else table
        with write_errors(address(self._client)):
            self._client.command(
                f"DELETE FROM {target} WHERE {condition}",  # noqa: S608 - own texts and integers
                parameters,
                settings={"lightweight_deletes_sync": 2 if wait else 0, "max_query_size": 16 << 20},
            )

    def _read(self, statement: str, parameters: Row | None = None, **texts: str) -> Sequence[Sequence[Any]]:
        return self._ask(self._sql[statement].format(**texts), parameters)

    def _ask(self, sql: str, parameters: Row | None) -> Sequence[Sequence[Any]]:
        with write_errors(address(self._client)):
            rows: Sequence[Sequence[Any]] = self._client.query(
                sql, parameters, settings={"max_query_size": 16 << 20}
            ).result_rows
        return rows


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    every = list(values)
    for start in range(0, len(every), RUNS_PER_STATEMENT_MAX):
        yield every[start : start + RUNS_PER_STATEMENT_MAX]
