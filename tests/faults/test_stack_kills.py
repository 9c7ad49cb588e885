"""Every part of the stack is killed; the stack is whole again by itself, and nothing outlives a supervisor."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from runtide_workers.embedded.ports import is_free
from tests.fixtures.home import StackHome
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.timeout(300)  # several starts and stops each, perhaps on a machine that has much else to do


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackHome]:
    home = StackHome(tmp_path_factory.mktemp("kills") / "home")
    done = home.up()
    assert done.returncode == 0, done.stderr
    yield home
    home.runtide("down")
    home.close()


@pytest.fixture
def home(shared: StackHome) -> StackHome:
    shared.wait_well()
    return shared


@pytest.mark.parametrize("service", ["clickhouse", "worker 0"])
def test_a_killed_child_comes_back(home: StackHome, service: str) -> None:
    before = home.pid(service)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: home.pid(service) not in (None, before), 60.0, or_else=lambda: home.log("supervisor"))
    home.wait_well()
    assert f"{service} was killed by SIGKILL; starting it again" in home.log("supervisor")
    assert home.described["services"][service]["restarts"] >= 1


def test_when_the_broker_dies_the_workers_do_not_meet_the_new_one(home: StackHome) -> None:
    before = {name: home.pid(name) for name in ("broker", "clickhouse", "worker 0")}
    assert None not in before.values()
    worker = psutil.Process(before["worker 0"])
    os.kill(before["broker"] or 0, signal.SIGKILL)
    wait_until(lambda: home.pid("broker") not in (None, before["broker"]), 60.0, or_else=lambda: home.log("supervisor"))
    assert not worker.is_running()
    home.wait_well()
    assert home.pid("worker 0") not in (None, before["worker 0"])
    assert home.pid("clickhouse") == before["clickhouse"]


def test_a_child_that_dies_at_once_again_and_again_is_told(home: StackHome) -> None:
    def kill_it() -> bool:
        pid = home.pid("clickhouse")
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        return "clickhouse does not stay up; its log" in home.log("supervisor")

    wait_until(kill_it, 60.0, or_else=lambda: home.log("supervisor"), period_s=0.05)
    code, status = home.status()
    assert code == 1 or status["well"]
    home.wait_well(90.0)


def test_with_the_supervisor_everything_goes_and_the_next_up_starts_anew(tmp_path: Path) -> None:
    home = StackHome(tmp_path / "home")
    try:
        assert home.up().returncode == 0
        before = home.described
        children = [psutil.Process(home.pid(name)) for name in ("broker", "clickhouse", "worker 0")]
        os.kill(before["pid"], signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive
        assert home.home.stack_file.exists()  # nobody was there to remove it
        assert home.runtide("status").returncode == 3
        done = home.up()
        assert done.returncode == 0, done.stderr
        assert home.described["pid"] != before["pid"]
        home.wait_well()
    finally:
        home.runtide("down")
        home.close()
    assert is_free(home.port_base)


BIG_NOTES = """
import base64, os, sys, runtide
with runtide.init(project="p", id="big") as run:
    for step in range(1500):
        run.log({"x": float(step)}, step=step)
        run.note(base64.b64encode(os.urandom(48 << 10)).decode())  # hardly compressible: the broker grows by each
"""


def test_a_broker_that_grows_too_big_is_renewed_and_nothing_is_lost(tmp_path: Path) -> None:
    home = StackHome(tmp_path / "home")
    try:
        assert home.up("--broker-memory", "0.05").returncode == 0
        subprocess.run([sys.executable, "-c", BIG_NOTES], env=home.env, check=True, timeout=120)
        wait_until(
            lambda: "draining it, then starting an empty one" in home.log("supervisor"), 60.0, or_else="not recycled"
        )
        wait_until(
            lambda: "empty" in home.log("supervisor").split("draining it", 1)[1],
            60.0,
            or_else=lambda: home.log("supervisor"),
        )
        home.wait_well()
        points = "SELECT count() AS n, uniqExact(step) AS steps, sum(value) AS total FROM v_points WHERE metric = 'x'"
        wait_until(
            lambda: home.sql(points) == [{"n": 1500, "steps": 1500, "total": 1500 * 1499 / 2}],
            60.0,
            or_else=lambda: str(home.sql(points)),
        )
        notes = "SELECT count() AS n, uniqExact(body) AS texts FROM v_events WHERE run_id = 'big' AND kind = 'note'"
        assert home.sql(notes) == [{"n": 1500, "texts": 1500}]
    finally:
        home.runtide("down")
        home.close()
