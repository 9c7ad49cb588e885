"""What the commands of an SDK-only install do; the full command line calls the same functions."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from runtide import settings
from runtide.cli import UNREACHABLE, CommandError

if TYPE_CHECKING:
    from runtide.shipper.status import ShipperStatus
    from runtide.sync import SyncReport

SYNC_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 2.0


def sync(directory: str | None, kafka: str | None, timeout_s: float, as_json: bool) -> int:
    """0: everything is stored; 1: something remains; 3: Kafka can't be reached."""
    from runtide.sync import sync as deliver

    found = settings.load(dir=directory, kafka=kafka)
    if not os.path.isdir(found.dir):
        raise CommandError(f"there is no journal directory {found.dir}: say which with --dir, or set RUNTIDE_DIR")
    try:
        report = deliver(found.dir, found.kafka, wait_s=timeout_s, progress=None if as_json else _progress())
    except BlockingIOError as error:
        raise CommandError(f"{error}; wait for it") from None
    if as_json:
        print(json.dumps(asdict(report)))
    else:
        print(report)
    if report.complete:
        return 0
    if report.error:
        raise CommandError(f"Kafka at {found.kafka} can't be used: {report.error}", UNREACHABLE)
    return 1


def _progress() -> Callable[[SyncReport], None] | None:
    if not sys.stderr.isatty():
        return None
    return lambda report: print(f"\r\x1b[K{report}", end="\r", file=sys.stderr, flush=True)


def execute(
    argv: Sequence[str],
    project: str | None,
    name: str | None,
    group: str | None,
    tags: Sequence[str] | None,
    metrics: bool,
    patterns: Sequence[str],
) -> int:
    """Run a command as a tracked run; its exit code is ours."""
    from runtide import printed
    from runtide.execute import execute as run

    argv = list(argv[1:] if argv[:1] == ["--"] else argv)
    if not argv:
        raise CommandError("no command: runtide exec [options] -- COMMAND [ARGUMENT ...]")
    given = {"project": project, "name": name, "group": group, "tags": list(tags) if tags else None}
    try:
        compiled = printed.compiled(patterns)
    except ValueError as error:
        raise CommandError(str(error)) from None
    given = {key: value for key, value in given.items() if value is not None}
    return run(argv, patterns=compiled, pairs=metrics, **given)


def shipper(directory: str | None, kafka: str | None, once: bool) -> int:
    """Ship until told to end: the agent of a node whose trainers set RUNTIDE_SHIPPER=external."""
    from runtide.shipper.__main__ import main
    from runtide.shipper.spawn import is_running

    found = settings.load(dir=directory, kafka=kafka)
    settings.kafka_client_options()  # before anything starts: a wrong setting is told here
    os.makedirs(found.dir, mode=0o700, exist_ok=True)
    if is_running(found.dir, found.kafka):
        print(f"a shipper already serves {found.dir} and {found.kafka}")
        return 0
    print(f"shipping {found.dir} to {found.kafka}; its log and status are in that directory", flush=True)
    return main(["--dir", found.dir, "--kafka", found.kafka, "--idle-exit-s", "0", *(["--once"] if once else [])])


def status(as_json: bool) -> int:
    """What can be told without the server's packages: is Kafka there, what do the shippers still hold?"""
    facts = host_facts()
    if as_json:
        print(json.dumps(facts))
    else:
        print(f"kafka    {facts['kafka']['address']:<28} {'reachable' if facts['kafka']['reachable'] else 'DOWN'}")
        print(f"journal  {facts['journal']}")
        for line in shipper_lines(facts["shippers"], facts["kafka"]["address"]):
            print(line)
    if not facts["kafka"]["reachable"]:
        return UNREACHABLE
    return 1 if any(is_stuck(each) for each in facts["shippers"]) else 0


def host_facts() -> dict[str, Any]:
    """Kafka as this host sees it, and the shippers of its journal directory."""
    from runtide.shipper.status import read

    found = settings.load()
    return {
        "home": found.home,
        "journal": found.dir,
        "kafka": {"address": found.kafka, "reachable": can_connect(found.kafka)},
        "shippers": [_shipper_facts(each) for each in read(found.dir)],
    }


def _shipper_facts(status: ShipperStatus) -> dict[str, Any]:
    return asdict(status) | {"age_s": round(max(0.0, time.time() - status.updated), 1) if status.updated else None}


def is_stuck(shipper: dict[str, Any]) -> bool:
    """It has something to deliver and does not: nobody runs it, or Kafka is not there, or does not let it."""
    waits = shipper["backlog_bytes"] or shipper["unconfirmed_bytes"]
    return bool(waits) and (not shipper["running"] or shipper["reachable"] is False or bool(shipper["refused"]))


def shipper_lines(shippers: Sequence[dict[str, Any]], kafka: str) -> list[str]:
    """One line for each shipper that runs, or should. `kafka`: where new runs of this host go."""
    lines = []
    for each in shippers:
        if not each["running"] and not is_stuck(each):
            continue  # it has delivered everything and gone
        if not each["running"]:
            why = each["error"] or each["refused"]
            state = f"NOT RUNNING ({why})" if why else "NOT RUNNING"
        elif each["reachable"] is False:
            state = f"KAFKA UNREACHABLE ({each['error']})"
        elif each["refused"]:
            state = f"SOME RUNS WAIT ({each['refused']})"
        else:
            state = f"running for {each['writers']} writers"
        elsewhere = each["kafka"] != kafka and is_stuck(each)
        waits = f"{size(each['backlog_bytes'])} to send, {each['lag_s']:.1f} s behind"
        lines.append(
            f"shipper  {each['kafka']:<28} {state}; {waits}; {size(each['unconfirmed_bytes'])} not confirmed stored"
            + (f"; {each['oversize_lines']} lines too large for Kafka" if each["oversize_lines"] else "")
            + (" (`runtide sync` delivers that to today's Kafka)" if elsewhere else "")
        )
    return lines or ["shipper  none runs, and nothing waits to be delivered"]


def can_connect(bootstrap: str) -> bool:
    """Whether one of the bootstrap servers accepts connections. Says nothing about passwords."""
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]") or "127.0.0.1", int(port)), CONNECT_TIMEOUT_S).close()
        except (OSError, ValueError, OverflowError):
            continue
        return True
    return False


def doctor(as_json: bool) -> int:
    """The checks that need the SDK alone."""
    from runtide import doctor as checks

    return checks.report(checks.sdk(), as_json)


def size(count: float) -> str:
    """Bytes for people: 0 B, 512 B, 1.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
