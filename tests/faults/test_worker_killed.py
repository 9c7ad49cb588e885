"""Workers killed at every point of a batch, at random, and frozen: afterwards every point is there once."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.fixtures.waiting import wait_until
from tests.fixtures.workers import Feed, running_services

POINTS_OF_DEATH = [
    "writers:before:1",
    "writers:after:1",
    "metrics:after:1",
    "points:before:3",
    "points:during:3",
    "points:after:3",
    "refold:before:1",
    "ingest_progress:before:4",
    "ingest_progress:during:4",
    "ingest_progress:after:4",
    "rollup:during:2",
]


def test_killed_around_every_call(tmp_path: Path) -> None:
    """One worker after the other dies somewhere else, while points keep coming."""
    with running_services(tmp_path) as services, Feed(services.broker.bootstrap, rate=60) as feed:
        died = []
        for die in POINTS_OF_DEATH:
            worker = services.worker(die=die)
            # A call that never comes (writers are all known) must not hold up the test: then it is killed anyway.
            until = time.monotonic() + 12
            while worker.process.poll() is None and time.monotonic() < until:
                time.sleep(0.05)
            if worker.process.poll() is None:
                worker.process.kill()
            elif worker.wait_dead() == -signal.SIGKILL:
                died.append(die)
        last = services.worker()
        produced = feed.stop()
        services.exactly(produced, timeout_s=60)
        assert len(died) >= 8, f"died by itself only at {died}"
        assert last.stop() == 0


def test_killed_at_random(tmp_path: Path) -> None:
    chance = random.Random(7)
    with running_services(tmp_path) as services, Feed(services.broker.bootstrap, rate=150) as feed:
        for _ in range(6):
            worker = services.worker()
            worker.wait_healthy()
            time.sleep(chance.uniform(0.1, 2.0))
            worker.process.kill()
            worker.process.wait()
        services.worker()
        services.exactly(feed.stop(), timeout_s=60)


def test_clickhouse_away_for_ten_seconds(tmp_path: Path) -> None:
    """The worker holds its batch, says so, and goes on by itself."""
    with running_services(tmp_path) as services, Feed(services.broker.bootstrap) as feed:
        worker = services.worker()
        worker.wait_healthy()
        services.wait_for_points(1_000)
        services.clickhouse.kill()
        wait_until(lambda: worker.get("/healthz")[0] == 503, 20, or_else="the outage is not seen")
        time.sleep(10)
        assert worker.process.poll() is None
        services.clickhouse.start()
        services.clickhouse.wait_ready()
        wait_until(lambda: worker.get("/healthz")[0] == 200, 20, or_else=lambda: f"{worker.health()}")
        services.exactly(feed.stop())
        assert worker.log.read_text().count("holding a batch") == 1
        assert worker.process.poll() is None


@pytest.mark.parametrize("seed", [1, 2])
def test_a_zombie_comes_back(tmp_path: Path, seed: int) -> None:
    """A frozen worker loses its partitions to another one and then goes on with the batch it had in hand."""
    chance = random.Random(seed)
    with running_services(tmp_path) as services, Feed(services.broker.bootstrap, rate=200) as feed:
        zombie = services.worker(number=0)
        zombie.wait_healthy()
        services.wait_for_points(1_000)
        other = services.worker(number=1)
        other.wait_healthy()
        for _ in range(2):
            time.sleep(chance.uniform(0.0, 1.0))
            os.kill(zombie.process.pid, signal.SIGSTOP)
            before = feed.points
            time.sleep(9)  # longer than the session timeout
            services.wait_for_points(before, timeout_s=40)  # the other one has all partitions now
            os.kill(zombie.process.pid, signal.SIGCONT)
            time.sleep(3)
        services.exactly(feed.stop(), timeout_s=60)
        assert zombie.process.poll() is None and other.process.poll() is None


def test_two_workers_share_the_partitions_and_one_takes_over(tmp_path: Path) -> None:
    with running_services(tmp_path) as services, Feed(services.broker.bootstrap) as feed:
        first = services.worker(number=0)
        first.wait_healthy()
        second = services.worker(number=1)
        second.wait_healthy()

        def shares() -> list[int]:
            return sorted(len(each.health().get("partitions", [])) for each in (first, second))

        wait_until(lambda: shares() == [3, 3], 40, or_else=lambda: f"partitions: {shares()}")
        assert first.stop() == 0
        wait_until(lambda: len(second.health()["partitions"]) == 6, 40, or_else=lambda: f"{second.health()}")
        services.exactly(feed.stop())


def test_a_broker_that_forgot_ends_the_worker(tmp_path: Path) -> None:
    """Positions in the old log mean nothing in the new one: never commit them there."""
    with running_services(tmp_path) as services:
        worker = services.worker()
        worker.wait_healthy()
        services.broker.kill()
        services.broker.start()
        services.broker.wait_ready()
        assert worker.wait_dead(40) == 1
        assert "another cluster now" in worker.log.read_text()


def test_a_worker_waits_for_its_services_and_can_be_ended_meanwhile(tmp_path: Path) -> None:
    with running_services(tmp_path) as services:
        services.clickhouse.kill()
        worker = services.worker()
        wait_until(lambda: worker.get("/healthz")[0] == 503, 20, or_else="no health page")
        assert "waiting for ClickHouse" in worker.health()["fault"]
        services.clickhouse.start()
        services.clickhouse.wait_ready()
        worker.wait_healthy()
        services.clickhouse.kill()
        late = services.worker(number=1)
        wait_until(lambda: late.get("/healthz")[0] == 503, 20, or_else="no health page")
        assert late.stop() == 0
