"""A worker's settings: command line, else environment, else `stack.json` of the local stack, else default."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import runtide.settings
from runtide.errors import SettingsError
from runtide.events import identity_fault
from runtide_storage.connect import Endpoint
from runtide_storage.settings import clickhouse_url
from runtide_workers.alerting.config import AlertSettings
from runtide_workers.alerting.config import load as load_alerts

DEFAULT_PORT = 17710


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How one worker process runs. The defaults of the second half are measured; see docs/decisions."""

    kafka: str  # bootstrap servers, comma-separated
    clickhouse: str  # http://user:password@host:port/database
    port: int = DEFAULT_PORT  # of /healthz and /metrics
    host: str = "127.0.0.1"
    id: str = "0"
    kafka_options: Mapping[str, Any] = field(default_factory=dict)  # security, for aiokafka's clients
    isolated: frozenset[str] = frozenset()  # projects that have a topic of their own

    take_messages: int = 1000  # at a time, if that many come so soon; large ones are stored in several batches
    take_within_s: float = 0.15  # how long a message waits for company
    batch_period_s: float = 0.25  # between two stores at least: what one costs hardly depends on what is in it
    buffer_messages: int = 64  # that Faust reads ahead; a message may have 8 MiB
    poll_messages: int = 256
    session_timeout_s: float = (
        6.0  # until a dead worker's partitions go to another; Tansu lets the first one wait half of it
    )
    heartbeat_s: float = 1.5
    beat_s: float = 5.0  # between two rows of worker_beats, and two looks for silent runs
    detect: bool = True  # follow runs, raise alerts and judge
    alerts: AlertSettings = field(default_factory=AlertSettings)
    dashboard: str = ""  # base URL of the pages, for links
    drain_s: float = 8.0  # for the batch in hand when the worker is told to end


def load(arguments: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> WorkerSettings:
    """Read command line and environment. Raises `SettingsError` or `StorageError`; an unknown option exits with 2."""
    env = os.environ if env is None else env
    parser = argparse.ArgumentParser(
        prog="runtide worker", description="Store what training processes produce: Kafka to ClickHouse."
    )
    parser.add_argument("--kafka", help="bootstrap servers (RUNTIDE_KAFKA)")
    parser.add_argument("--clickhouse", help="URL with user and password (RUNTIDE_CLICKHOUSE)")
    parser.add_argument(
        "--port", type=int, help=f"of /healthz and /metrics (RUNTIDE_WORKER_PORT, default {DEFAULT_PORT})"
    )
    parser.add_argument("--host", help="that the port listens on (RUNTIDE_WORKER_HOST, default 127.0.0.1)")
    parser.add_argument("--id", help="tells this worker's log and beats from others' (RUNTIDE_WORKER_ID, default 0)")
    parser.add_argument(
        "--no-detection", action="store_true", help="store only: no alarms, no verdicts (RUNTIDE_DETECTION=off)"
    )
    given = parser.parse_args(arguments)
    identity = given.id or env.get("RUNTIDE_WORKER_ID") or "0"
    sdk = runtide.settings.load(env=env)
    return WorkerSettings(
        kafka=given.kafka or sdk.kafka,
        clickhouse=Endpoint.parse(given.clickhouse or clickhouse_url("writer", env=env)).url,
        port=_port(given.port, env, identity),
        host=given.host or env.get("RUNTIDE_WORKER_HOST") or "127.0.0.1",
        id=identity,
        kafka_options=runtide.settings.kafka_client_options(env),
        isolated=isolated_projects(env),
        detect=not given.no_detection and env.get("RUNTIDE_DETECTION", "on") != "off",
        alerts=load_alerts(env),
        dashboard=sdk.dashboard,
    )


def isolated_projects(env: Mapping[str, str] | None = None) -> frozenset[str]:
    """RUNTIDE_ISOLATED_PROJECTS: comma-separated, of workers and `runtide migrate`. Raises `SettingsError`."""
    text = (os.environ if env is None else env).get("RUNTIDE_ISOLATED_PROJECTS", "")
    names = frozenset(filter(None, map(str.strip, text.split(","))))
    for name in sorted(names):
        if fault := identity_fault(name):
            raise SettingsError(f"RUNTIDE_ISOLATED_PROJECTS: {name!r} is no project: {fault}")
    return names


def _port(given: int | None, env: Mapping[str, str], identity: str) -> int:
    text = env.get("RUNTIDE_WORKER_PORT")
    if given is None and not text:  # workers of one host must not want the same one
        return DEFAULT_PORT + (int(identity) if identity.isascii() and identity.isdigit() else 0)
    try:
        port = int(text) if given is None and text else int(given or 0)
    except ValueError:
        raise SettingsError(f"RUNTIDE_WORKER_PORT={text!r}: expected a port number") from None
    if not 0 < port < 2**16:
        raise SettingsError(f"port {port}: expected 1 to 65535")
    return port
