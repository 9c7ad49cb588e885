"""Runs that fall silent raise one alert each, which ends when they come back."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from runtide.shipper import report
from runtide.shipper.status import ShipperStatus
from runtide_storage.ids import run_key, writer_key
from runtide_storage.writer import Writer
from runtide_workers.envelope import Message
from runtide_workers.health import Meter
from runtide_workers.liveness import Liveness
from runtide_workers.outlet import Outgoing
from runtide_workers.sink import Stored
from tests.fixtures.storage import Engine

PROJECT = "p"


class World:
    """A database, the workers that look at it, and what they published."""

    def __init__(self, database: Engine) -> None:
        self.client = database.client()
        self.writer = Writer(self.client)
        self.sent: list[Outgoing] = []
        self.meters: dict[str, Meter] = {}  # of the workers
        self.ends = 0  # of the partition; the workers have stored up to 0

    def worker(self, name: str) -> Liveness:
        meter = self.meters[name] = Meter()
        meter.own({("runtide.events", 0)})
        meter.next_offset["runtide.events", 0] = 0
        meter.highwater = lambda _: self.ends

        def publish(messages: Sequence[Outgoing]) -> None:
            self.sent.extend(messages)

        return Liveness(self.writer, self.read, publish, meter, name)

    def read(self, sql: str, parameters: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        return list(self.client.query(sql, dict(parameters)).named_results())

    def run(self, run_id: str, *, seen_s_ago: float, point_s_ago: float) -> None:
        """A run whose writer was heard of, and logged a point, so long ago."""
        now_ms, run, writer = time.time_ns() // 1_000_000, run_key(PROJECT, run_id), writer_key(run_id)
        self.writer.rows(
            "writers",
            [
                {"run": run, "writer": writer, "project": PROJECT, "run_id": run_id, "writer_id": run_id, "attempt": 1}
                | {"rank": 0, "host": "gpu7", "pid": 1, "started_at": now_ms - 3_600_000}
            ],
        )
        self.writer.refold([run])
        self.hear(run_id, seen_s_ago=seen_s_ago, point_s_ago=point_s_ago)

    def hear(self, run_id: str, *, seen_s_ago: float, point_s_ago: float, lines: int = 5) -> None:
        now_ms, run, writer = time.time_ns() // 1_000_000, run_key(PROJECT, run_id), writer_key(run_id)
        self.writer.rows(
            "ingest_progress",
            [
                {"run": run, "writer": writer, "first": 0, "next": lines}
                | {"stored_at": now_ms - int(seen_s_ago * 1000), "point_at": now_ms - int(point_s_ago * 1000)}
            ],
        )

    def alerts(self) -> list[tuple[str, str, str]]:
        rows = self.read("SELECT run_id, kind, state FROM v_alerts ORDER BY run_id, kind", {})
        return [(row["run_id"], row["kind"], row["state"]) for row in rows]


@pytest.fixture
def world(database: Engine) -> Iterator[World]:
    made = World(database)
    yield made
    made.client.close()


def test_silent_runs_raise_one_alert_each(world: World) -> None:
    world.run("healthy", seen_s_ago=5, point_s_ago=5)
    world.run("gone", seen_s_ago=300, point_s_ago=300)
    world.run("stuck", seen_s_ago=5, point_s_ago=300)
    one, two = world.worker("a"), world.worker("b")
    one.beat()
    one.look()
    two.beat()
    two.look()
    world.worker("a").look()
    assert world.alerts() == [("gone", "crashed", "open"), ("stuck", "stalled", "open")]
    assert len(world.sent) == 2
    assert world.read("SELECT count() AS n FROM alerts", {}) == [{"n": 2}]


def test_what_waits_where_is_written_down(world: World) -> None:
    world.ends = 12
    first, second = world.worker("a"), world.worker("b")
    world.meters["b"].own({("runtide.events", 1)})  # and nothing is known of it yet
    said = report.encode(ShipperStatus(directory="/j", pid=7, journals=3, lag_s=1.5), 2048)
    message = Message("runtide.events", 0, 4, time.time_ns() // 1_000_000, b"r", b"", (("shipper", said),))
    world.meters["a"].stored(Stored(1), [message], 0.1)
    first.beat()
    second.beat()
    assert world.read("SELECT partition, worker, lag FROM v_partitions", {}) == [
        {"partition": 0, "worker": "a", "lag": 7}
    ]
    [shipper] = world.read("SELECT * FROM v_shippers", {})
    assert (shipper["directory"], shipper["backlog_bytes"], shipper["lag_s"], shipper["journals"]) == (
        "/j",
        2048,
        1.5,
        3,
    )
    world.meters["b"].own({("runtide.events", 0)})  # it takes over
    world.meters["b"].next_offset["runtide.events", 0] = 12
    second.beat()
    assert world.read("SELECT worker, lag FROM v_partitions", {}) == [{"worker": "b", "lag": 0}]


def test_an_alert_ends_when_the_run_comes_back(world: World) -> None:
    world.run("stuck", seen_s_ago=5, point_s_ago=300)
    worker = world.worker("a")
    worker.beat()
    worker.look()
    world.hear("stuck", seen_s_ago=1, point_s_ago=1, lines=6)
    worker.look()
    assert world.alerts() == [("stuck", "stalled", "resolved")]
    world.hear("stuck", seen_s_ago=1, point_s_ago=200, lines=7)
    worker.look()
    assert world.alerts() == [("stuck", "stalled", "resolved")], "the newest point is 1 s old, whatever is said later"


def test_a_worker_that_is_behind_accuses_nobody(world: World) -> None:
    world.run("gone", seen_s_ago=300, point_s_ago=300)
    worker = world.worker("a")
    worker.beat()
    world.ends = 7
    worker.look()
    assert world.alerts() == []
