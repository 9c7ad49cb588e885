"""Bring the schema up to date: numbered SQL files, each applied once, then the views, whenever they changed.

Every statement is written to be repeatable (IF NOT EXISTS, OR REPLACE), so a process that dies in the middle of a file,
and two that migrate at once, do no harm.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from clickhouse_connect.driver.client import Client as Driver
from clickhouse_connect.driver.exceptions import ClickHouseError

from runtide_storage.cluster import for_cluster
from runtide_storage.connect import address, read_errors
from runtide_storage.errors import MigrationError, one_line

VIEWS = "views.sql"
_TRIES = 6
PAUSE_S = 0.2  # longer with each try
_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (name String, checksum String, applied_at DateTime64(3, 'UTC'))
ENGINE = ReplacingMergeTree(applied_at) ORDER BY name
"""


@dataclass(frozen=True, slots=True)
class Script:
    """One SQL file of the package."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """Its statements: each ends with a semicolon at the end of a line."""
        parts = f"{self.text}\n".split(";\n")
        return [part.strip() for part in parts if any(not _is_comment(line) for line in part.splitlines())]


@dataclass(frozen=True, slots=True)
class Status:
    """One script, and whether the database has it. "changed": it was applied and edited afterwards."""

    name: str
    state: Literal["applied", "missing", "changed"]


def migrations() -> list[Script]:
    """The numbered files, in order."""
    folder = files("runtide_storage") / "sql" / "migrations"
    found = [Script(file.name, file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".sql")]
    return sorted(found, key=lambda script: script.name)


def views() -> Script:
    """The views: applied again whenever the file changed."""
    return Script(VIEWS, (files("runtide_storage") / "sql" / VIEWS).read_text("utf-8"))


def migrate(client: Driver, cluster: str | None = None) -> list[str]:
    """Create the client's database if need be, apply what is missing, and return the names of what was applied.

    `cluster`: the server is one of a cluster of that name; each of them is to be migrated.
    Raises `MigrationError` when a landed file was edited or a statement fails, `Unreachable` without ClickHouse.
    """
    with read_errors(address(client)):
        create = "CREATE DATABASE IF NOT EXISTS {database:Identifier}"
        client.command(create, {"database": client.database}, use_database=False)
        client.command(_LEDGER)
    done = []
    for each in status(client):
        if each.state == "changed" and each.name != VIEWS:
            raise MigrationError(
                f"{each.name} was edited after it had been applied to {client.database}: put the change into a new file"
            )
        if each.state != "applied":
            _apply(client, _script(each.name), cluster)
            done.append(each.name)
    return done


def refresh_views(client: Driver) -> None:
    """Apply the views again, whatever the ledger says: a restored database may have another name than before."""
    _apply(client, views())


def status(client: Driver) -> list[Status]:
    """Every script in order, and whether this database has it. Raises `Unreachable`."""
    with read_errors(address(client)):
        known = "SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'schema_migrations'"
        applied: dict[str, str] = {}
        if int(str(client.command(known, {"database": client.database}, use_database=False))):
            rows = client.query("SELECT name, checksum FROM schema_migrations FINAL").result_rows
            applied = {name: checksum for name, checksum in rows}  # noqa: C416 - rows are sequences, not pairs
    return [Status(script.name, _state(script, applied)) for script in [*migrations(), views()]]


def _state(script: Script, applied: dict[str, str]) -> Literal["applied", "missing", "changed"]:
    if script.name not in applied:
        return "missing"
    return "applied" if applied[script.name] == script.checksum else "changed"


def _script(name: str) -> Script:
    return views() if name == VIEWS else next(script for script in migrations() if script.name == name)


def _apply(client: Driver, script: Script, cluster: str | None = None) -> None:
    for written in script.statements:
        for statement in for_cluster(written, cluster) if cluster else [written]:
            _run(client, script.name, statement)
    with read_errors(address(client)):
        client.command(
            "INSERT INTO schema_migrations SELECT {name:String}, {checksum:String}, now64(3)",
            {"name": script.name, "checksum": script.checksum},
        )


def _run(client: Driver, name: str, statement: str) -> None:
    """Try again where two processes replace the same view at once, or a replica has only just joined its cluster."""
    for attempt in range(_TRIES):
        with read_errors(address(client)):
            try:
                client.command(statement)
                return
            except ClickHouseError as error:
                if getattr(error, "code", None) is None:
                    raise
                if attempt == _TRIES - 1:
                    first = next(line for line in statement.splitlines() if not _is_comment(line))
                    raise MigrationError(f"{name}: {first.strip()[:100]}: {one_line(error)}") from error
                time.sleep(PAUSE_S * attempt)


def _is_comment(line: str) -> bool:
    return not line.strip() or line.strip().startswith("--")
