"""A ClickHouse that answers late, and one that does its work but whose answers never come."""

import time
from pathlib import Path

import psutil
import pytest

from tests.fixtures.fleet import LONG, Fleet, all_stored, recovered, running
from tests.fixtures.slow_proxy import SlowProxy
from tests.fixtures.webhook import webhook
from tests.fixtures.workers import WorkerProcess, running_services

pytestmark = pytest.mark.timeout(900)
TRAINERS = 3
SLOW_S = 40 if LONG else 8
GROWTH_BYTES_MAX = 200 << 20  # of the worker: what it reads ahead is bounded, and so is a batch


def figure(worker: WorkerProcess, name: str) -> float:
    [line] = [line for line in worker.get("/metrics")[1].splitlines() if line.startswith(f"runtide_worker_{name} ")]
    return float(line.split()[1])


def test_answers_that_take_seconds_or_never_come(tmp_path: Path) -> None:
    with (
        webhook() as hook,
        running_services(tmp_path) as services,
        SlowProxy(services.clickhouse.http_port) as proxy,
    ):
        url = services.clickhouse.url("writer").replace(f":{services.clickhouse.http_port}/", f":{proxy.port}/")
        program = "tests.fixtures.impatient_worker"
        worker = services.worker(clickhouse=url, program=program, env={"RUNTIDE_NOTIFY": hook.url})
        worker.wait_healthy()
        fleet = Fleet(services.broker.bootstrap, tmp_path, calls_per_s=100, alert_every=1000)
        with running(fleet, TRAINERS):
            recovered(services, fleet, "start")
            rebalances = figure(worker, "rebalances_total")
            process = psutil.Process(worker.process.pid)
            before = process.memory_info().rss

            proxy.delay_s = 1.0  # each; a batch needs some ten answers, one after the other
            deadline, lags = time.monotonic() + SLOW_S, []
            while time.monotonic() < deadline:
                time.sleep(1.0)
                lags.append(worker.health()["lag"])
            proxy.delay_s = 0.0
            recovered(services, fleet, f"ClickHouse: each answer takes 1 s, {SLOW_S} s")
            print(
                f"[lag] at most {max(lags)} messages behind, at most {figure(worker, 'batch_messages'):.0f} in a batch"
            )

            proxy.silent = True
            time.sleep(1.0)  # for what was answered before
            stored = figure(worker, "points_total")
            time.sleep(SLOW_S)
            assert figure(worker, "points_total") == stored and proxy.swallowed > 0
            proxy.silent = False
            recovered(services, fleet, f"ClickHouse: no answer for {SLOW_S} s, the client gives up after 3 s")

            assert figure(worker, "rebalances_total") == rebalances, "it fell out of the group"
            assert process.memory_info().rss - before < GROWTH_BYTES_MAX
            all_stored(services, fleet, fleet.end(), hook=hook)
        written = services.count("SELECT count() FROM points")
        print(
            f"[inserted] {written} rows, merged or not yet, {services.count('SELECT count() FROM points FINAL')} points"
        )
