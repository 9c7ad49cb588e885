"""Who may ask what: the limits of the users that people come as, and those users on a server.

`reader` is the query API's and the pages'; `analyst` is for people's own SQL, whose limits nobody can lift; `responder`
may say that an alert is acknowledged or muted, and can read nothing. While a query of a lower `priority` runs, those of
a higher one pause: the worker comes first, then pages, then people's SQL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client as Driver

from runtide_storage.connect import Endpoint, address, connect, read_errors
from runtide_storage.errors import QueryError, Unreachable

READER_TIME_S, ANALYST_TIME_S, RESPONDER_TIME_S = 60, 30, 10
ANALYST_ROWS, ANALYST_THREADS = 1_000_000, 2
RESPONDER_MEMORY_BYTES = 256 << 20
QUERY_MEMORY_BYTES = 4 << 30  # on a server; a query fails before it endangers the inserts
ROLES = ("reader", "analyst", "responder")
RESPONDED = ("alert_actions", "mutes")  # tables
AHEAD = {"priority": 1}  # of all others: the worker's connections


@dataclass(frozen=True, slots=True)
class Limit:
    """A setting of a user's queries: its value, and, where `is_fixed`, that a query may lower but never raise it."""

    name: str
    value: int | str
    is_fixed: bool = False

    @property
    def is_number(self) -> bool:
        return isinstance(self.value, int) and self.name not in ("readonly", "priority")


def limits(role: str, query_memory_bytes: int = QUERY_MEMORY_BYTES) -> tuple[Limit, ...]:
    """The settings of `role`."""
    if role == "reader":
        return (
            Limit("readonly", 2),
            Limit("priority", 2),
            Limit("max_execution_time", READER_TIME_S),
            Limit("max_memory_usage", query_memory_bytes),
        )
    if role == "responder":
        return (
            Limit("max_execution_time", RESPONDER_TIME_S, is_fixed=True),
            Limit("max_memory_usage", RESPONDER_MEMORY_BYTES, is_fixed=True),
        )
    return (
        Limit("readonly", 2, is_fixed=True),
        Limit("priority", 3, is_fixed=True),
        Limit("max_execution_time", ANALYST_TIME_S, is_fixed=True),
        Limit("max_memory_usage", query_memory_bytes, is_fixed=True),
        Limit("max_result_rows", ANALYST_ROWS, is_fixed=True),
        Limit("max_threads", ANALYST_THREADS, is_fixed=True),
        Limit("result_overflow_mode", "throw", is_fixed=True),
        Limit("timeout_overflow_mode", "throw", is_fixed=True),
    )


def ensure_users(client: Driver, urls: Mapping[str, str]) -> list[str]:
    """Create the users that these URLs (by role) name, or bring their passwords, limits and rights up to date.

    A URL with the client's own user is left alone, and so is a user that can log in while the client's may not make
    any: then an administrator did. The password itself never leaves this process: the server gets its hash.
    Returns the names; raises `QueryError` and `Unreachable`.
    """
    with read_errors(address(client)):
        myself = str(client.command("SELECT currentUser()", use_database=False))
    done = []
    for role, url in urls.items():
        user = Endpoint.parse(url)
        if user.username == myself:
            continue
        try:
            with read_errors(address(client)):
                for statement in statements(role, user, str(client.database)):
                    client.command(statement, use_database=False)
        except QueryError as error:
            if not _can_log_in(user):
                raise QueryError(f"the user {user.username} can't be made: {error}") from error
        else:
            done.append(user.username)
    return done


def _can_log_in(user: Endpoint) -> bool:
    try:
        connect(user).close()
    except Unreachable:
        return False
    return True


def statements(role: str, user: Endpoint, database: str) -> Iterator[str]:
    """What makes the user of `role`, whether it is there or not."""
    name, profile = quote_identifier(user.username), quote_identifier(f"runtide_{role}")
    settings = ", ".join(_as_sql(limit) for limit in limits(role))
    password = hashlib.sha256(user.password.encode()).hexdigest()
    yield f"CREATE SETTINGS PROFILE OR REPLACE {profile} SETTINGS {settings}"
    yield f"CREATE USER IF NOT EXISTS {name} IDENTIFIED WITH sha256_hash BY '{password}'"
    yield f"ALTER USER {name} IDENTIFIED WITH sha256_hash BY '{password}' SETTINGS PROFILE {profile}"
    yield f"REVOKE ALL ON *.* FROM {name}"
    for right in rights(role, quote_identifier(database)):
        yield f"{right} TO {name}"


def rights(role: str, database: str) -> tuple[str, ...]:
    """The GRANTs of `role`, to be completed by whom they are for. `database` is quoted already."""
    if role == "responder":
        return tuple(f"GRANT INSERT ON {database}.{table}" for table in RESPONDED)
    return (f"GRANT SELECT, SHOW, dictGet ON {database}.*",)


def _as_sql(limit: Limit) -> str:
    value = f"'{limit.value}'" if isinstance(limit.value, str) else str(limit.value)
    if not limit.is_fixed:
        return f"{limit.name} = {value}"
    return f"{limit.name} = {value} MIN 1 MAX {value}" if limit.is_number else f"{limit.name} = {value} CONST"
