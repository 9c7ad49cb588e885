"""`runtide up` and `runtide down`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runtide.cli import UNREACHABLE, CommandError
from runtide.shipper.locks import is_held
from runtide_workers.cli.output import as_json as to_json
from runtide_workers.embedded import stackfile
from runtide_workers.embedded.home import Home
from runtide_workers.embedded.ports import DEFAULT_BASE, Ports, PortTakenError

if TYPE_CHECKING:
    from runtide_workers.embedded.supervisor import BrokerKind

OTHER_TIMEOUT_S = 120.0  # for a stack that is just starting or stopping
DOWN_TIMEOUT_S = 60.0
POLL_S = 0.1
_PRIVATE = ("clickhouse", "clickhouse_reader", "clickhouse_analyst", "services")


def up(
    port_base: int | None,
    workers: int,
    dashboard: bool,
    detach: bool,
    broker: BrokerKind,
    broker_memory_gib: float,
    as_json: bool,
) -> int:
    """Run the stack until Ctrl-C, or leave it running; 0 too when it runs already. 3: it can't run."""
    home = Home.find()
    told = _wait_for_other(home)
    if told is not None:
        return _already(home, told, port_base, as_json)
    from runtide_workers.embedded.supervisor import AlreadyRunning, Plan

    try:
        ports = Ports(DEFAULT_BASE if port_base is None else port_base)
    except ValueError as error:
        raise CommandError(str(error)) from None
    plan = Plan(home, ports, workers, dashboard, broker, int(broker_memory_gib * (1 << 30)))
    _say(f"starting Runtide in {home.path}", as_json)
    try:
        (_up_detached if detach else _up_here)(plan, as_json)
    except AlreadyRunning:  # somebody was faster, by the blink of an eye
        told = _wait_for_other(home)
        if told is None:
            raise CommandError(
                "another `runtide up` was faster, and has ended again: try once more", UNREACHABLE
            ) from None
        return _already(home, told, port_base, as_json)
    return 0


def _up_detached(plan: Any, as_json: bool) -> None:
    from runtide_workers.embedded import detached
    from runtide_workers.embedded.supervisor import StackError

    began = time.monotonic()
    try:
        described = detached.start(plan, lambda text: _say(f"  {text}", as_json))
    except StackError as error:
        raise CommandError(str(error), UNREACHABLE, error.details) from None
    if as_json:
        print(to_json(_public(described)))
    else:
        _welcome(described, f"ready after {time.monotonic() - began:.1f} s; `runtide down` ends it")


def _up_here(plan: Any, as_json: bool) -> None:
    from runtide_workers.embedded.supervisor import StackError, Supervisor

    began = time.monotonic()

    def ready(described: Mapping[str, Any]) -> None:
        if as_json:
            print(to_json(_public(described)), flush=True)
        else:
            _welcome(described, f"ready after {time.monotonic() - began:.1f} s; Ctrl-C ends it")

    try:
        Supervisor(plan, lambda text: _say(f"  {text}", as_json)).run(ready)
    except StackError as error:
        raise CommandError(str(error), UNREACHABLE, error.details) from None
    except PortTakenError as error:
        raise CommandError(str(error), UNREACHABLE) from None


def _wait_for_other(home: Home) -> dict[str, Any] | None:
    """stack.json of a supervisor that runs here and is ready; None when there is none (any more)."""
    deadline = time.monotonic() + OTHER_TIMEOUT_S
    while is_held(str(home.lock_file)):
        described = stackfile.read(home)
        if described.get("state") in ("ready", "recycling"):
            return described
        if time.monotonic() > deadline:
            raise CommandError(
                f"another supervisor of {home.path} has been {described.get('state', 'starting')} for"
                f" {OTHER_TIMEOUT_S:.0f} s: see {home.log('supervisor')}, or end it with `runtide down`",
                UNREACHABLE,
            )
        time.sleep(POLL_S)
    return None


def _already(home: Home, described: Mapping[str, Any], port_base: int | None, as_json: bool) -> int:
    if as_json:
        print(to_json(_public(described) | {"already": True}))
        return 0
    _welcome(described, f"already running in {home.path} (supervisor {described.get('pid')})")
    if port_base is not None and port_base != described.get("port_base"):
        print(f"note: it keeps its ports from {described.get('port_base')} on; another stack needs another --home")
    return 0


def _welcome(described: Mapping[str, Any], how: str) -> None:
    print(f"Runtide is {how}")
    if "dashboard" in described:
        print(f"  dashboard    {described['dashboard']}")
    print(f"  kafka        {described.get('kafka')}")
    print(f"  clickhouse   {address(described)}  (`runtide status --env` prints its URL)")
    print(f"  logs         {described.get('logs')}", flush=True)


def address(described: Mapping[str, Any]) -> str:
    """ClickHouse's host and port, without user and password."""
    return str(described.get("clickhouse", "")).rpartition("@")[2].partition("/")[0]


def _public(described: Mapping[str, Any]) -> dict[str, Any]:
    """stack.json without passwords: what is printed ends in other people's logs."""
    shown = {name: value for name, value in described.items() if name not in _PRIVATE}
    return shown | {"clickhouse": address(described)}


def _say(text: str, as_json: bool) -> None:
    print(text, file=sys.stderr if as_json else sys.stdout, flush=True)


def down(as_json: bool) -> int:
    """End the stack of this home. 0 also when none runs; 3 when it does not end."""
    home = Home.find()
    if not is_held(str(home.lock_file)):
        killed = stackfile.clean_up(home) if home.stack_file.exists() else []
        _told_down(
            f"nothing runs in {home.path}" + (f"; ended leftovers: {', '.join(killed)}" if killed else ""),
            False,
            as_json,
        )
        return 0
    supervisor = _supervisor_pid(home)
    if supervisor is None:
        raise CommandError(f"{home.lock_file} is held, but not by a supervisor that can be told", UNREACHABLE)
    if stackfile.read(home).get("state") != "stopping":  # else a second signal would cut its drain short
        _say(f"stopping the stack in {home.path}: what is on its way is stored first", as_json)
        os.kill(supervisor, signal.SIGTERM)
    deadline = time.monotonic() + DOWN_TIMEOUT_S
    while is_held(str(home.lock_file)) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    if is_held(str(home.lock_file)):
        _say(f"it did not end within {DOWN_TIMEOUT_S:.0f} s: killing it", as_json)
        os.kill(supervisor, signal.SIGKILL)
        while is_held(str(home.lock_file)):
            time.sleep(POLL_S)
        stackfile.clean_up(home)
    _told_down("stopped", True, as_json)
    return 0


def _told_down(text: str, was_running: bool, as_json: bool) -> None:
    print(to_json({"was_running": was_running, "message": text}) if as_json else text)


def _supervisor_pid(home: Home) -> int | None:
    """Who holds the lock wrote its id into it."""
    try:
        return int(home.lock_file.read_text())
    except (OSError, ValueError):
        return None
