"""`runtide status`: what runs, how far behind it is, what could not be stored, what still waits on this host."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from typing import Any

from runtide import commands
from runtide.cli import UNREACHABLE, CommandError
from runtide.shipper.locks import is_held
from runtide_storage.errors import StorageError
from runtide_workers.cli import output
from runtide_workers.embedded import probes, stackfile
from runtide_workers.embedded.home import Home

_PROBES = {"broker": (probes.kafka, ""), "clickhouse": (None, "/ping"), "dashboard": (None, "/_stcore/health")}
_HINTS = {
    "DEAD": "its supervisor starts it again; see its log",
    "BUSY": "it runs, but does not do its work yet",
    "SILENT": "it runs, but does not answer",
}


def status(as_json: bool) -> int:
    """0: all is well; 1: something is down; 3: nothing can be reached."""
    facts = gather()
    if as_json:
        print(output.as_json(facts))
    else:
        _print(facts)
    if facts["unreachable"]:
        return UNREACHABLE
    return 0 if facts["well"] else 1


def print_environment() -> int:
    """Lines for `eval "$(runtide status --env)"`. The ClickHouse URL is the reader's."""
    home = Home.find()
    described = stackfile.read(home)
    if not described or not is_held(str(home.lock_file)):
        raise CommandError(f"no stack runs in {home.path}: start it with `runtide up --detach`", UNREACHABLE)
    values = {
        "RUNTIDE_HOME": str(home.path),
        "RUNTIDE_KAFKA": described["kafka"],
        "RUNTIDE_CLICKHOUSE": described["clickhouse_reader"],
    }
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def gather() -> dict[str, Any]:
    """Everything that `runtide status --json` prints; no passwords in it."""
    home = Home.find()
    described = stackfile.read(home) if is_held(str(home.lock_file)) else {}
    host = commands.host_facts()
    services = [service(name, facts) for name, facts in described.get("services", {}).items()]
    storage = pipeline()
    stuck = any(commands.is_stuck(each) for each in host["shippers"])
    reached = host["kafka"]["reachable"] or storage["reachable"]
    well = bool(reached) and all(each["health"] == "ok" for each in services) and not stuck
    if not described:  # a stack of servers, somewhere
        well = well and host["kafka"]["reachable"] and storage["reachable"]
    return {
        "home": str(home.path),
        "state": described.get("state", "down"),
        "supervisor": described.get("pid"),
        "dashboard": described.get("dashboard"),
        "journal": host["journal"],
        "kafka": host["kafka"],
        "services": services,
        "pipeline": storage,
        "shippers": host["shippers"],
        "well": well,
        "unreachable": not reached and not services,
    }


def service(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """One part of the local stack, as it is now and not as the supervisor last saw it."""
    mark = stackfile.ProcessMark.from_json(facts.get("process"))
    port, said = int(facts["port"]), None
    if mark is None or not mark.is_alive():
        health = "DEAD"
    else:
        probe, path = _PROBES.get(name, (None, "/healthz"))
        if probe is not None:
            answer = probe(port)
        else:
            answer, said = probes.http_get_json(port, path)
        health = {"ready": "ok", "busy": "BUSY", "silent": "SILENT"}[answer]
    found = {
        "name": name,
        "health": health,
        "pid": mark.pid if mark else None,
        "port": port,
        "restarts": facts.get("restarts", 0),
        "uptime_s": round(time.time() - mark.started, 1) if mark and health != "DEAD" else None,
        "log": facts.get("log"),
    }
    return found | ({"worker": said} if isinstance(said, dict) else {})


def pipeline() -> dict[str, Any]:
    """What ClickHouse knows of the workers, wherever both are."""
    from runtide_storage import Client

    try:
        with Client() as client:
            (row,) = client.pipeline().to_pylist()
    except StorageError as error:
        return {"reachable": False, "error": str(error)}
    return {"reachable": True, "error": None, **row}


def _print(facts: Mapping[str, Any]) -> None:
    if facts["services"]:
        print(f"stack    {facts['home']}: {facts['state']}, supervisor {facts['supervisor']}")
        rows = [
            (
                each["name"], each["health"], each["port"], each["pid"], each["restarts"],
                output.duration(each["uptime_s"]) if each["uptime_s"] is not None else None, _remark(each),
            )
            for each in facts["services"]
        ]  # fmt: skip
        output.table(
            ("service", "health", "port", "pid", "restarts", "up for", ""), rows, right=("port", "pid", "restarts")
        )
    else:
        print(f"stack    none runs in {facts['home']} (`runtide up` starts one)")
        kafka = facts["kafka"]
        print(f"kafka    {kafka['address']:<28} {'reachable' if kafka['reachable'] else 'DOWN'}")
    _print_pipeline(facts["pipeline"])
    for line in commands.shipper_lines(facts["shippers"], facts["kafka"]["address"]):
        print(output.printable(line))
    if facts.get("dashboard"):
        print(f"pages    {facts['dashboard']}")


def _remark(service: Mapping[str, Any]) -> str:
    fault = (service.get("worker") or {}).get("fault")
    if fault:
        return output.short(output.clean(fault), 100)
    return _HINTS.get(service["health"], "")


def _print_pipeline(pipeline: Mapping[str, Any]) -> None:
    """What the workers last said; they do so every few seconds."""
    if not pipeline["reachable"]:
        print(f"storage  DOWN: {output.clean(pipeline['error'])}")
        return
    workers = pipeline["workers"]
    if not workers:
        print("storage  reachable; no worker has been heard of in the last half minute")
    else:
        print(
            f"storage  {workers} worker{'s' * (workers != 1)}, {output.duration(pipeline['behind_s'])} behind,"
            f" {pipeline['lag']} messages wait; {output.number(pipeline['points_per_s'])} points/s;"
            f" {pipeline['runs_running']} runs going on"
        )
    if pipeline["dead_letters"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in pipeline["dead_letters_by_reason"].items())
        print(f"dead     {pipeline['dead_letters']} could not be stored: {output.short(output.clean(reasons), 160)}")
