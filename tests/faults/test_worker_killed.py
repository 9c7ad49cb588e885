"""Workers killed at every point of a batch, at random, and frozen: afterwards every point is there once."""

import itertools
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from runtide_workers.embedded.broker import Broker
from runtide_workers.envelope import Message as KafkaMessage
from tests.fixtures.messages import BROKEN, message, metric_line
from tests.fixtures.shipping import free_port
from tests.fixtures.storage import Engine
from tests.fixtures.waiting import wait_until
from tests.fixtures.workers import CHECK, PROJECT, TIERS, Feed, lines, running_services, services_on

ROOT = Path(__file__).parents[2]
ON_BOTH = pytest.mark.parametrize("kind", ["embedded", "kafka"])

POINTS_OF_DEATH = [
    "writers:before:1",
    "writers:after:1",
    "metrics:before:1",
    "run_events:before:1",
    "run_events:during:2",
    "alerts:after:1",
    "dead_letters:before:1",
    "dead_letters:after:2",
    "points:before:3",
    "points:during:2",
    "points:during:5",
    "points:after:3",
    "refold:before:1",
    "refold:after:1",
    "runs:during:1",
    "ingest_progress:before:4",
    "ingest_progress:during:3",
    "ingest_progress:after:4",
    "rollup:before:2",
    "rollup:during:2",
]


def test_killed_around_every_call(tmp_path: Path, database: Engine) -> None:
    """One process after the other stores on where the last one died: 20 deaths in 60 batches of 8 messages."""
    offsets = itertools.count()
    places: list[tuple[int, int]] = []
    points = dead = 0
    batches: list[list[KafkaMessage]] = []
    for number in range(60):
        made = [lines(run, number * 20, 20, writer=f"w{run}-{number // 20}") for run in range(5)]
        events = [{"t": 1 + number, "e": "alert", "d": {"title": "odd"}}, {"t": 2, "e": "start", "d": {}}]
        made.append(message(PROJECT, "p7", f"events-{number}", 0, events))
        made.append(BROKEN["not JSON"](message(PROJECT, "p7", "bad", number, [metric_line(1, x=1)]), Random(number)))
        made.append(BROKEN["count is zero"](lines(0, 0, 1), Random(number)))
        points, dead = points + 5 * 20 * 10, dead + 2
        batch = []
        for each in made:
            offset = next(offsets)
            batch.append(KafkaMessage("runtide.events", 0, offset, 1, each.key, each.value, each.headers))
        places += [(batch[-2].offset, 0), (batch[-1].offset, -1)]
        batches.append(batch)
    (tmp_path / "batches").write_bytes(pickle.dumps(batches))

    died = []
    for die in [*POINTS_OF_DEATH, "never:before:1"]:
        command = [sys.executable, "-m", "tests.fixtures.dying_worker", die, "--replay", str(tmp_path), database.url()]
        if subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode == -signal.SIGKILL:
            died.append(die)
    assert died == POINTS_OF_DEATH, set(POINTS_OF_DEATH) - set(died)
    assert (tmp_path / "acknowledged").read_text() == "60"

    client = database.client()
    assert list(client.query(CHECK, {"project": PROJECT}).named_results()) == [
        {"points": points, "identities": points, "wrong": 0}
    ]
    [tiers] = client.query(TIERS).named_results()
    assert tiers["buckets"] == tiers["right"] > 0

    def counted(sql: str) -> int:
        return int(client.query(sql).result_rows[0][0])

    assert counted("SELECT count() FROM dead_letters FINAL") == dead
    assert counted("SELECT count() FROM run_events FINAL") == 120
    assert counted("SELECT count() FROM alerts FINAL") == 60
    assert counted("SELECT max(attempt) FROM writers FINAL WHERE run_id != 'p7'") == 3
    assert counted("SELECT count() FROM runs FINAL") == 6
    published = {tuple(map(int, line.split()[2:])) for line in (tmp_path / "published").open() if "dead" in line}
    assert published == set(places), "each dead letter reached the topic"


@ON_BOTH
def test_killed_in_and_after_an_insert(tmp_path: Path, kind: str) -> None:
    """The same with Kafka in the loop, while points keep coming."""
    with (
        services_on(kind, tmp_path) as services,
        Feed(services.broker.bootstrap, rate=60) as feed,
    ):
        for die in ("points:during:3", "points:after:2", "ingest_progress:after:3"):
            assert services.worker(die=die).wait_dead() == -signal.SIGKILL
        last = services.worker()
        services.exactly(feed.stop(), timeout_s=60)
        assert last.stop() == 0


@ON_BOTH
def test_killed_at_random(tmp_path: Path, kind: str) -> None:
    chance = Random(7)
    with (
        services_on(kind, tmp_path) as services,
        Feed(services.broker.bootstrap, rate=150) as feed,
    ):
        for _ in range(3):
            worker = services.worker()
            worker.wait_healthy()
            time.sleep(chance.uniform(0.1, 2.0))
            worker.process.kill()
            worker.process.wait()
        services.worker()
        services.exactly(feed.stop(), timeout_s=60)


@ON_BOTH
def test_clickhouse_away_for_ten_seconds(tmp_path: Path, kind: str) -> None:
    """The worker holds its batch, says so, and goes on by itself."""
    with services_on(kind, tmp_path) as services, Feed(services.broker.bootstrap) as feed:
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


@ON_BOTH
def test_a_zombie_comes_back(tmp_path: Path, kind: str) -> None:
    """A frozen worker loses its partitions to another one and then goes on with the batch it had in hand."""
    chance = Random(1)
    with (
        services_on(kind, tmp_path) as services,
        Feed(services.broker.bootstrap, rate=200) as feed,
    ):
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


@ON_BOTH
def test_two_workers_share_the_partitions_and_one_takes_over(tmp_path: Path, kind: str) -> None:
    with services_on(kind, tmp_path) as services, Feed(services.broker.bootstrap) as feed:
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
    with Broker(free_port()) as broker, running_services(tmp_path, broker) as services:
        worker = services.worker()
        worker.wait_healthy()
        broker.kill()
        broker.start()
        broker.wait_ready()
        assert worker.wait_dead(40) == 1
        assert "another cluster now" in worker.log.read_text()


def test_a_worker_waits_for_its_services_and_can_be_ended_meanwhile(tmp_path: Path) -> None:
    with running_services(tmp_path) as services:
        services.clickhouse.kill()
        worker = services.worker()
        wait_until(lambda: worker.get("/healthz")[0] == 503, 20, or_else="no health page")
        wait_until(lambda: "waiting for ClickHouse" in worker.health()["fault"], 20, or_else="it doesn't say what for")
        services.clickhouse.start()
        services.clickhouse.wait_ready()
        worker.wait_healthy()
        services.clickhouse.kill()
        late = services.worker(number=1)
        wait_until(lambda: late.get("/healthz")[0] == 503, 20, or_else="no health page")
        assert late.stop() == 0
