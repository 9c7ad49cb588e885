"""The two configuration files of the embedded ClickHouse: who may do what, and how much of the machine it takes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from xml.sax.saxutils import escape

from runtide_storage.users import limits as limits_of
from runtide_storage.users import rights

ROLES = ("writer", "reader", "analyst", "responder")
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """What the engine, and one query of each role, may take."""

    server_memory_bytes: int
    mark_cache_bytes: int = 256 << 20

    @classmethod
    def of_this_machine(cls) -> Self:
        """40 % of the memory, within 1 ... 8 GiB: training runs on the same laptop."""
        memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return cls(server_memory_bytes=max(_GIB, min(8 * _GIB, memory_bytes * 2 // 5)))

    @property
    def query_memory_bytes(self) -> int:
        """Of a query for the pages, or by a person: it fails before it endangers the inserts."""
        return self.server_memory_bytes // 2


def config_xml(host: str, http_port: int, log_path: Path, backups: Path, limits: Limits) -> str:
    """The server's part. Backups go into the folder `backups` and nowhere else."""
    return f"""<clickhouse>
    <listen_host>{escape(host)}</listen_host>
    <http_port>{http_port}</http_port>
    <users_config>users.xml</users_config>
    <timezone>UTC</timezone>
    <logger>
        <level>warning</level>
        <log>{escape(str(log_path.with_suffix(".engine.log")))}</log>
        <size>10M</size>
        <count>2</count>
    </logger>
    <storage_configuration>
        <disks>
            <backups>
                <type>local</type>
                <path>{escape(str(backups))}/</path>
            </backups>
        </disks>
    </storage_configuration>
    <backups><allowed_disk>backups</allowed_disk></backups>
    <max_server_memory_usage>{limits.server_memory_bytes}</max_server_memory_usage>
    <mark_cache_size>{limits.mark_cache_bytes}</mark_cache_size>
    <max_connections>256</max_connections>
    <keep_alive_timeout>30</keep_alive_timeout>
    <shutdown_wait_unfinished>1</shutdown_wait_unfinished>
</clickhouse>
"""


def users_xml(password_sha256: Mapping[str, str], limits: Limits, database: str) -> str:
    """The users' part. Passwords come as SHA-256 in hex, by role; all names that begin with `database` can be seen.

    The engine's own session logs in as `default`, without a password: that user must exist. It holds its only session
    as long as the engine runs, so nobody else can log in with it, and it can do nothing but listen and read the pipe.
    """
    see = f"GRANT SELECT, SHOW, dictGet ON {database}*.*"
    return f"""<clickhouse>
    <profiles>
        <default/>
        <internal>
            <max_sessions_for_user>1</max_sessions_for_user>
        </internal>
{_profile("reader", limits)}
{_profile("analyst", limits)}
{_profile("responder", limits)}
    </profiles>
    <quotas><default/></quotas>
    <users>
        <default>
            <password></password>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>internal</profile>
            <quota>default</quota>
            <grants>
                <query>GRANT SYSTEM LISTEN ON *.*</query>
                <query>GRANT FILE ON *.*</query>
                <query>GRANT CREATE TEMPORARY TABLE ON *.*</query>
            </grants>
        </default>
{_user("writer", password_sha256["writer"], "default", _writer_grants(database))}
{_user("reader", password_sha256["reader"], "reader", (see,))}
{_user("analyst", password_sha256["analyst"], "analyst", (see,))}
{_user("responder", password_sha256["responder"], "responder", rights("responder", database))}
    </users>
</clickhouse>
"""


def _profile(role: str, of_machine: Limits) -> str:
    """What a query of this role may take; within the constraints a query may lower a limit, never raise it."""
    found = limits_of(role, of_machine.query_memory_bytes)
    lines = [f"            <{limit.name}>{limit.value}</{limit.name}>" for limit in found]
    fixed = [limit for limit in found if limit.is_fixed]
    if fixed:
        lines.append("            <constraints>")
        for limit in fixed:
            bounds = f"<min>1</min><max>{limit.value}</max>" if limit.is_number else "<const/>"
            lines.append(f"                <{limit.name}>{bounds}</{limit.name}>")
        lines.append("            </constraints>")
    body = "\n".join(lines)
    return f"        <{role}>\n{body}\n        </{role}>"


def _writer_grants(database: str) -> tuple[str, ...]:
    """Everything inside the database, nothing outside: no files, no network, no users."""
    engines = ("MergeTree", "ReplacingMergeTree", "AggregatingMergeTree", "Memory")
    return (
        f"GRANT SELECT, INSERT, ALTER, DROP, TRUNCATE, OPTIMIZE, SHOW, dictGet ON {database}*.*",
        f"GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE DICTIONARY ON {database}*.*",
        f"GRANT SYSTEM MERGES ON {database}*.*",
        f"GRANT BACKUP ON {database}*.*",
        "GRANT READ, WRITE ON DISK",  # the disk of backups is the only one that they may use
        "GRANT SYSTEM RELOAD DICTIONARY ON *.*",  # can't be granted for one database
        *(f"GRANT TABLE ENGINE ON {engine}" for engine in engines),
    )


def _user(name: str, sha256: str, profile: str, grants: tuple[str, ...]) -> str:
    queries = "\n".join(f"                <query>{escape(grant)}</query>" for grant in grants)
    return f"""        <{name}>
            <password_sha256_hex>{escape(sha256)}</password_sha256_hex>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>{profile}</profile>
            <quota>default</quota>
            <grants>
{queries}
            </grants>
        </{name}>"""
