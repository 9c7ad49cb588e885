"""Cluster mode: the same migrations for several ClickHouse servers.

What is big is sharded, what is small is everywhere: `points` becomes a Distributed table over `points_local`, sharded
by run, so that all of a run is on one shard; every other table is replicated whole to every server, so that all joins
are local. Nothing else knows of it (docs/cluster.md).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from runtide_storage.errors import StorageError

VARIABLE = "RUNTIDE_CLICKHOUSE_CLUSTER"
SHARDED = "points"
LOCAL = f"{SHARDED}_local"
# For every connection; without a cluster they change nothing. A confirmed insert is on its shard, not on its way there;
# and in a query that a shard answers, every table is its own.
SETTINGS = {"distributed_foreground_insert": 1, "distributed_product_mode": "local"}

_NAME = re.compile(r"\w+", re.ASCII)
_CREATE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+) ")
_ENGINE = re.compile(r"ENGINE = (\w*MergeTree)(?:\(([^)]*)\))?")
_ALTER = re.compile(rf"ALTER TABLE {SHARDED}\b")


def cluster_name(env: Mapping[str, str] | None = None) -> str | None:
    """The cluster of `remote_servers` that the environment names; None: one server. Raises `StorageError`."""
    name = (os.environ if env is None else env).get(VARIABLE)
    if name and not _NAME.fullmatch(name):
        raise StorageError(f"{VARIABLE}: {name!r:.80} is no name of a cluster: letters, digits and _")
    return name or None


def for_cluster(statement: str, cluster: str) -> list[str]:
    """A statement of a migration as each server of the cluster runs it."""
    if _ALTER.search(statement):
        return [_ALTER.sub(f"ALTER TABLE {LOCAL}", statement)]
    created = _CREATE.search(statement)
    if created is None:
        return [statement]
    table = created[1]
    if table != SHARDED:
        return [_replicated(statement, f"/runtide/{{database}}/all/{table}", "{shard}-{replica}")]
    local = _CREATE.sub(f"CREATE TABLE IF NOT EXISTS {LOCAL} ", statement)
    engine = f"ENGINE = Distributed('{cluster}', currentDatabase(), '{LOCAL}', run)"
    return [
        _replicated(local, f"/runtide/{{database}}/{{shard}}/{table}", "{replica}"),
        f"CREATE TABLE IF NOT EXISTS {SHARDED} AS {LOCAL} {engine}",
    ]


def _replicated(statement: str, path: str, replica: str) -> str:
    def engine(found: re.Match[str]) -> str:
        arguments = ", ".join([f"'{path}'", f"'{replica}'", *([found[2]] if found[2] else [])])
        return f"ENGINE = Replicated{found[1]}({arguments})"

    return _ENGINE.sub(engine, statement)
