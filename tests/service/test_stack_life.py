"""`runtide up`, `status` and `down` with the real services."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from runtide_workers.embedded.ports import Ports, is_free
from tests.fixtures.home import StackHome
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.timeout(300)  # several starts and stops each, perhaps on a machine that has much else to do


@pytest.fixture
def home(tmp_path: Path) -> Iterator[StackHome]:
    found = StackHome(tmp_path / "home")
    yield found
    found.close()


def is_gone(pid: int) -> bool:
    """A process without a parent that waits for it may stay as a zombie, where pid 1 is no real init."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_up_status_second_up_and_down(home: StackHome) -> None:
    done = home.up()
    assert done.returncode == 0, done.stderr
    order = [line.split()[0] for line in done.stdout.splitlines() if line.endswith(" s")]
    assert order == ["broker", "topics", "clickhouse", "migrations", "worker"]
    assert stat.S_IMODE(home.home.stack_file.stat().st_mode) == 0o600

    code, status = home.status()
    assert code == 0, status
    assert {each["name"]: each["health"] for each in status["services"]} == {
        "broker": "ok", "clickhouse": "ok", "worker 0": "ok",
    }  # fmt: skip
    assert status["pipeline"]["reachable"] and status["well"]
    passwords = home.home.passwords().values()
    assert not any(word in json.dumps(status) for word in passwords)
    assert not any(word in " ".join(psutil.Process(home.pid("worker 0")).cmdline()) for word in passwords)

    shell = home.runtide("status", "--env").stdout
    assert f"export RUNTIDE_KAFKA=127.0.0.1:{home.port_base}\n" in shell

    supervisor = home.described["pid"]
    again = home.runtide("up", "--port-base", str(home.port_base))  # would run in the foreground, if it ran
    assert again.returncode == 0 and f"already running in {home.home.path} (supervisor {supervisor})" in again.stdout
    assert home.described["pid"] == supervisor

    done = home.runtide("down")
    assert done.returncode == 0 and "stopped" in done.stdout, done.stdout + done.stderr
    assert not home.home.stack_file.exists()
    wait_until(lambda: is_gone(supervisor), 5.0, or_else="the supervisor is still there")
    assert all(is_free(port) for _, port in Ports(home.port_base).used(1, dashboard=False))
    done = home.runtide("down")
    assert done.returncode == 0 and "nothing runs" in done.stdout
    assert home.runtide("status").returncode == 3


def test_the_next_life_has_the_data_of_the_last(home: StackHome) -> None:
    assert home.up().returncode == 0
    script = "import runtide\nwith runtide.init(project='p', id='kept') as run:\n  run.log({'x': 1.5}, step=7)\n"
    trained = home.runtide("exec", "--project", "p", "--", sys.executable, "-c", script)
    assert trained.returncode == 0, trained.stderr
    query = "SELECT step, value FROM v_points WHERE metric = 'x'"
    wait_until(lambda: len(home.sql(query)) == 1, 30.0, or_else="the point did not arrive")
    assert home.runtide("down").returncode == 0
    assert home.up().returncode == 0
    assert home.sql(query) == [{"step": 7, "value": 1.5}]


def test_points_that_were_logged_while_nothing_ran_arrive_with_the_next_up(home: StackHome) -> None:
    script = "import runtide\nwith runtide.init(project='p', id='early') as run:\n  run.log({'x': 2.5})\n"
    env = home.env | {"RUNTIDE_KAFKA": f"127.0.0.1:{home.port_base}", "RUNTIDE_SHIPPER": "external"}
    subprocess.run([sys.executable, "-c", script], env=env, check=True, timeout=60)
    assert home.up().returncode == 0
    wait_until(
        lambda: home.sql("SELECT value FROM v_points WHERE metric = 'x'") == [{"value": 2.5}],
        30.0,
        or_else="it did not",
    )


def test_in_the_foreground_ctrl_c_drains_and_ends(home: StackHome) -> None:
    process = home.start("up", "--no-dashboard", "--port-base", str(home.port_base))
    wait_until(lambda: home.state == "ready", 60.0, or_else=lambda: home.log("worker-0"))
    children = [home.pid(name) for name in ("broker", "clickhouse", "worker 0")]
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "storing what is on its way" in output and "stopped" in output
    assert all(pid is not None and is_gone(pid) for pid in children)
    assert not home.home.stack_file.exists()


def test_ctrl_c_while_it_starts(home: StackHome) -> None:
    process = home.start("up", "--no-dashboard", "--port-base", str(home.port_base))
    wait_until(lambda: home.pid("broker") is not None, 60.0, or_else="no broker", period_s=0.01)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert not home.home.stack_file.exists() and is_free(home.port_base)


def test_a_second_ctrl_c_kills(home: StackHome) -> None:
    process = home.start("up", "--no-dashboard", "--port-base", str(home.port_base))
    wait_until(lambda: home.state == "ready", 60.0, or_else=lambda: home.log("worker-0"))
    worker = home.pid("worker 0")
    assert worker is not None
    os.kill(worker, signal.SIGSTOP)  # it will not drain
    process.send_signal(signal.SIGINT)
    wait_until(lambda: home.state == "stopping", 10.0, or_else="it does not stop")
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=10)
    assert "killing everything" in output
    assert is_gone(worker)


def test_a_port_that_is_taken_is_one_line_that_names_the_way_out(home: StackHome) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", home.port_base + 1))
        other.listen()
        done = home.up()
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert f"port {home.port_base + 1}, which ClickHouse needs" in line
    assert f"pid {os.getpid()}" in line and "--port-base" in line
    assert not home.home.stack_file.exists()


def test_two_homes_live_side_by_side(home: StackHome, tmp_path: Path) -> None:
    assert home.up().returncode == 0
    other = StackHome(tmp_path / "other")
    try:
        assert other.port_base != home.port_base
        assert other.up().returncode == 0
        home.wait_well()
        other.wait_well()
        assert other.runtide("down").returncode == 0
        home.wait_well()
    finally:
        other.close()


def test_many_ups_at_once_are_one(home: StackHome) -> None:
    ups = [home.start("up", "--detach", "--no-dashboard", "--port-base", str(home.port_base)) for _ in range(4)]
    outputs = [up.communicate(timeout=120)[0] for up in ups]
    assert [up.returncode for up in ups] == [0] * 4, outputs
    assert sum("starts" in output or "ready after" in output for output in outputs) == 1, outputs
    home.wait_well()


def test_a_home_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    home = StackHome(tmp_path / "file" / "home")
    done = home.up()
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    home.close()
