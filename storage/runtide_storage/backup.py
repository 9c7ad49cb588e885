"""The whole database into a folder of ClickHouse's disk `backups`, and back: by ClickHouse's own BACKUP and RESTORE.

A backup is consistent, is made while everything goes on, and with `base` holds only what is new since that one. On a
server the administrator defines the disk (docs/data.md); the local stack keeps it in `backups/` of its home.
"""

from __future__ import annotations

import re
from typing import Any

from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client as Driver

from runtide_storage.connect import address, read_errors
from runtide_storage.errors import QueryError
from runtide_storage.migrate import migrate, refresh_views

DISK = "backups"
DATABASE = "runtide"  # its name inside every backup, whatever it is called here
TIMEOUT_S = 24 * 3600
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}", re.ASCII)


def backup(client: Driver, name: str, base: str | None = None) -> dict[str, Any]:
    """Make the backup `name`; how many runs and points it holds. Raises `QueryError`, `Unreachable`."""
    source = quote_identifier(str(client.database))
    sql = f"BACKUP DATABASE {source} AS {DATABASE} TO Disk('{DISK}', '{_checked(name)}')"
    if base is not None:
        sql += f" SETTINGS base_backup = Disk('{DISK}', '{_checked(base)}')"
    with read_errors(address(client)):
        client.command(sql)
    return held(client)


def restore(client: Driver, name: str, *, force: bool = False) -> dict[str, Any]:
    """Bring the database back as it was, then up to this version's schema; how much it holds.

    Only in the place of an empty one, unless `force`: then what is there is dropped, once all of the backup has been
    read beside it. Raises `QueryError`, `Unreachable`.
    """
    source = f"FROM Disk('{DISK}', '{_checked(name)}')"
    there = held(client)
    if not force and any(there.values()):
        raise QueryError(f"{client.database} holds {there['runs']:,} runs: --force drops them first")
    target, read, old = (quote_identifier(f"{client.database}{suffix}") for suffix in ("", "_restored", "_replaced"))

    def command(*each: str) -> None:
        for sql in each:
            client.command(sql, use_database=False)

    with read_errors(address(client)):
        if str(client.command(f"EXISTS DATABASE {old}", use_database=False)) == "1":
            raise QueryError(f"database {old} is left of a restore that was killed: rename it back, or drop it")
        command(f"DROP DATABASE IF EXISTS {read} SYNC")  # of a restore that was killed
        try:
            command(f"RESTORE DATABASE {DATABASE} AS {read} {source}")
            command(f"CREATE DATABASE IF NOT EXISTS {target}", f"RENAME DATABASE {target} TO {old}")
        except Exception:
            command(f"DROP DATABASE IF EXISTS {read} SYNC")
            raise
        command(f"RENAME DATABASE {read} TO {target}", f"DROP DATABASE {old} SYNC")
    migrate(client)
    refresh_views(client)  # those of the backup look into the database that it was read into
    return held(client)


def held(client: Driver) -> dict[str, Any]:
    """How much the database holds: runs, points (with copies that are not merged yet)."""
    with read_errors(address(client)):
        sql = "SELECT name FROM system.tables WHERE database = {database:String} AND name = 'runs'"
        if not str(client.command(sql, {"database": client.database}, use_database=False)):
            return {"runs": 0, "points": 0}
        [(runs, points)] = client.query(
            "SELECT (SELECT count() FROM runs FINAL), (SELECT count() FROM points)"
        ).result_rows
    return {"runs": runs, "points": points}


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise QueryError(f"{name!r:.80} is no name for a backup: letters, digits, '.', '_' and '-'")
    return name
