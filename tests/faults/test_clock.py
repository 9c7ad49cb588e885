"""Clocks that jump by an hour or a day: of a host of trainers and its shipper, and of the worker."""

import time
from pathlib import Path

import pytest

from tests.fixtures.fleet import LONG, PATIENCE_S, Fleet, all_stored, running
from tests.fixtures.jumping_clock import DAY_S, HOUR_S, JumpingClock
from tests.fixtures.waiting import wait_until
from tests.fixtures.workers import PROJECT, Services, running_services

pytestmark = pytest.mark.timeout(900)
TRAINERS = 3
STAY_S = 15 if LONG else 6  # a worker looks for silent runs every 5 s
JUMPS_S = (HOUR_S, 0, -HOUR_S, HOUR_S, -DAY_S, 0) if LONG else (HOUR_S, -DAY_S, 0)
STEPS = "SELECT run_id, max(step) AS step FROM v_points WHERE project = {project:String} GROUP BY run_id"
STATES = "SELECT run_id, state FROM v_runs WHERE project = {project:String}"
ACCUSED = "SELECT run_id, kind, state FROM v_alerts WHERE kind IN ('crashed', 'stalled')"


def steps(services: Services) -> dict[str, int]:
    return {row["run_id"]: row["step"] for row in services.query(STEPS, project=PROJECT)}


def states(services: Services) -> dict[str, str]:
    return {row["run_id"]: row["state"] for row in services.query(STATES, project=PROJECT)}


def moves_on(services: Services, fleet: Fleet, fault: str) -> None:
    """Wait until something more of every run is stored than now, and say how long that took."""
    before, began = steps(services), time.monotonic()
    runs = [f"p{number}" for number in range(len(fleet.processes))]
    wait_until(
        lambda: all(steps(services).get(run, -1) > before.get(run, -1) for run in runs), PATIENCE_S,
        or_else=lambda: f"{fault}: stands still at {steps(services)}",
    )  # fmt: skip
    print(f"\n[recovery] {fault}: {time.monotonic() - began:.1f} s")


@pytest.mark.parametrize("whose", ["trainers and shipper", "worker"])
def test_a_clock_that_jumps(tmp_path: Path, whose: str) -> None:
    clock = JumpingClock(tmp_path / "clock")
    with running_services(tmp_path) as services:
        services.worker(env=clock.env if whose == "worker" else None).wait_healthy()
        env = {} if whose == "worker" else clock.env
        fleet = Fleet(services.broker.bootstrap, tmp_path, env=env, alert_every=100)
        with running(fleet, TRAINERS):
            moves_on(services, fleet, "start")
            for jump_s in JUMPS_S:
                clock.jump(jump_s)
                moves_on(services, fleet, f"clock of {whose} {jump_s // HOUR_S:+d} h off")
                time.sleep(STAY_S)
                assert set(states(services).values()) == {"running"} and services.query(ACCUSED) == []
            all_stored(services, fleet, fleet.end())
            wait_until(
                lambda: set(states(services).values()) == {"finished"},
                PATIENCE_S,
                or_else=lambda: str(states(services)),
            )


@pytest.mark.skipif(not LONG, reason="takes two minutes: FAULTS=long")
@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
def test_a_host_that_dies_while_the_workers_clock_is_wrong_is_missed_once(tmp_path: Path, jump_s: int) -> None:
    clock = JumpingClock(tmp_path / "clock")
    with running_services(tmp_path) as services:
        services.worker(env=clock.env).wait_healthy()
        dead, alive = (Fleet(services.broker.bootstrap, tmp_path / name) for name in ("dead", "alive"))
        dead.home.mkdir()
        alive.home.mkdir()
        alive.first_number = 1
        with running(dead, 1), running(alive, 1):
            wait_until(lambda: len(steps(services)) == 2, PATIENCE_S, or_else="the runs don't come")
            clock.jump(jump_s)
            for process in (*dead.processes, *dead.shippers()):
                process.kill()
            killed = time.monotonic()
            wait_until(
                lambda: states(services).get("p0") == "crashed", PATIENCE_S, or_else=lambda: str(states(services))
            )
            took_s = time.monotonic() - killed
            print(f"\n[liveness] worker's clock {jump_s // HOUR_S:+d} h off: crashed after {took_s:.0f} s")
            wait_until(lambda: bool(services.query(ACCUSED)), PATIENCE_S, or_else="nobody is told")
            assert services.query(ACCUSED) == [{"run_id": "p0", "kind": "crashed", "state": "open"}]
            assert states(services)["p1"] == "running"
