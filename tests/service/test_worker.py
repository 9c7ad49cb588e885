"""One worker with a real broker and a real ClickHouse."""

import asyncio
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtide.events import ALERTS_TOPIC, DEAD_LETTER_TOPIC
from runtide_storage.ids import run_key
from tests.fixtures.messages import BROKEN, huge, message, metric_line
from tests.fixtures.waiting import wait_until
from tests.fixtures.workers import PROJECT, Services, WorkerProcess, lines, running_services, send, services_on


@pytest.fixture(scope="module", params=["embedded", "kafka"])
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services_on(request.param, tmp_path_factory.mktemp("worker")) as running:
        yield running


@pytest.fixture(scope="module")
def worker(services: Services) -> WorkerProcess:
    started = services.worker()
    started.wait_healthy()
    return started


def produce(services: Services, *messages: object) -> list[tuple[int, int]]:
    return asyncio.run(send(services.broker.bootstrap, list(messages)))  # type: ignore[arg-type]


def points_of(services: Services, run_id: str) -> int:
    return services.count("SELECT count() FROM points FINAL WHERE run = {run:UInt64}", run=run_key(PROJECT, run_id))


def test_points_are_stored_once_and_confirmed(services: Services, worker: WorkerProcess) -> None:
    batch = [lines(1, first, 10) for first in range(0, 200, 10)]
    produce(services, *batch, *batch[:7])
    places = produce(services, *batch)
    wait_until(lambda: points_of(services, "p1") >= 2000, 30, or_else=lambda: f"{points_of(services, 'p1')} points")
    assert points_of(services, "p1") == 2000
    ends: dict[int, int] = {}
    for partition, offset in places:
        ends[partition] = offset + 1
    wait_until(
        lambda: all(services.committed().get(number, 0) >= end for number, end in ends.items()),
        10,
        or_else=lambda: f"committed {services.committed()}, produced {ends}",
    )


def test_a_run_is_known_by_its_events(services: Services, worker: WorkerProcess) -> None:
    events = [
        {"t": 1_000, "e": "start", "d": {"name": "baseline", "tags": ["a"], "group": "g"}},
        {"t": 2_000, "e": "config", "d": {"lr": 0.1, "name": "adam", "layers": [1, 2]}},
        {"t": 3_000, "e": "define_metric", "d": {"name": "loss", "goal": "minimize"}},
        {"t": 4_000, "e": "heartbeat", "d": {}},
        {"t": 5_000, "e": "finish", "d": {"state": "finished", "exit_code": 0}},
    ]
    produce(services, message(PROJECT, "told", "told-1", 0, events))
    run = run_key(PROJECT, "told")

    def rows(sql: str) -> list[dict[str, object]]:
        return services.query(sql, run=run)

    known = "SELECT project, run_id, name, `group`, tags, state, exit_code FROM runs FINAL WHERE run = {run:UInt64}"
    wait_until(lambda: [row["state"] for row in rows(known)] == ["finished"], 30, or_else=lambda: f"{rows(known)}")
    assert rows(known) == [
        {
            "project": PROJECT,
            "run_id": "told",
            "name": "baseline",
            "group": "g",
            "tags": ["a"],
            "state": "finished",
            "exit_code": 0,
        }
    ]
    assert rows("SELECT name, value, number FROM run_values FINAL WHERE run = {run:UInt64} ORDER BY name") == [
        {"name": "layers", "value": "[1,2]", "number": None},
        {"name": "lr", "value": "0.1", "number": 0.1},
        {"name": "name", "value": '"adam"', "number": None},
    ]
    assert rows("SELECT name, goal FROM metric_defs FINAL WHERE run = {run:UInt64}") == [
        {"name": "loss", "goal": "minimize"}
    ]
    kinds = [row["kind"] for row in rows("SELECT kind FROM run_events FINAL WHERE run = {run:UInt64} ORDER BY ts")]
    assert kinds == ["start", "config", "define_metric", "finish"]
    progress = rows("SELECT first, next FROM ingest_progress FINAL WHERE run = {run:UInt64}")
    assert progress == [{"first": 0, "next": 5}]


def test_a_run_without_a_start_is_known_too(services: Services, worker: WorkerProcess) -> None:
    produce(services, lines(2, 50, 1))
    sql = "SELECT count() FROM runs FINAL WHERE run_id = 'p2' AND state = 'running'"
    wait_until(lambda: services.count(sql) == 1, 30, or_else="no row in runs")


def test_an_alert_is_a_row_and_a_message(services: Services, worker: WorkerProcess) -> None:
    alert = {"t": 7_000_000, "e": "alert", "d": {"title": "loss is NaN", "text": "at step 3", "level": "ERROR"}}
    made = message(PROJECT, "alerting", "alerting-1", 0, [alert])
    produce(services, made, made)
    sql = "SELECT id, title, text, severity, kind FROM alerts FINAL WHERE run = {run:UInt64}"
    run = run_key(PROJECT, "alerting")
    wait_until(lambda: len(services.query(sql, run=run)) == 1, 30, or_else="no alert")
    [row] = services.query(sql, run=run)
    assert (row["title"], row["text"], row["severity"], row["kind"]) == ("loss is NaN", "at step 3", "page", "user")
    sent = [json.loads(record.value) for record in services.read_topic(ALERTS_TOPIC, 1)]
    assert [each["id"] for each in sent if each["run"] == str(run)] == [row["id"]]


def test_ten_thousand_malformed_messages(services: Services, worker: WorkerProcess) -> None:
    """Good neighbours are all stored, each bad one is a dead letter with a reason, in the table and in the topic."""
    chance = random.Random(5)
    ways = list(BROKEN)
    messages, bad = [], 0
    for number in range(5_000):
        run, first = 10 + number % 10, 1 + number // 10 * 10
        messages.append(lines(run, first, 1))
        for _ in range(2):
            wrong = message(PROJECT, f"p{run}", f"bad{number % 10}-{bad}", first, [metric_line(first, loss=-1.0)])
            messages.append(huge(wrong) if bad % 1000 == 0 else BROKEN[ways[bad % len(ways)]](wrong, chance))
            bad += 1
    good = sum(1 for _ in range(5_000)) * 10
    started = time.time()
    places = produce(services, *messages)
    wanted = {place for place, made in zip(places, messages, strict=True) if b"bad" in (made.value or b"bad")}

    def stored() -> int:
        return services.count(
            "SELECT count() FROM points FINAL WHERE run IN (SELECT run FROM writers WHERE run_id LIKE 'p1_')"
        )

    def letters() -> dict[tuple[int, int], str]:
        rows = services.query("SELECT partition, offset, reason FROM dead_letters FINAL")
        return {(row["partition"], row["offset"]): row["reason"] for row in rows}

    wait_until(
        lambda: stored() >= good, 50, or_else=lambda: f"{stored()} of {good} after {time.time() - started:.0f} s"
    )
    wait_until(lambda: len(letters()) >= bad, 20, or_else=lambda: f"{len(letters())} dead letters of {bad}")
    assert stored() == good
    assert services.count("SELECT count() FROM points FINAL WHERE value = -1") == 0
    found = letters()
    assert len(found) == bad and all(found.values()) and wanted <= found.keys()
    assert len(set(found.values())) >= 15, "each way of being bad has a reason of its own"
    sent = services.read_topic(DEAD_LETTER_TOPIC, bad)
    told = {(int(dict(r.headers)["partition"]), int(dict(r.headers)["offset"])): dict(r.headers) for r in sent}
    assert {place: headers["reason"].decode() for place, headers in told.items()} == found
    originals = dict(zip(places, messages, strict=True))
    for record in sent[:500]:
        headers = dict(record.headers)
        if headers["line"] == b"-1":
            original = originals[int(headers["partition"]), int(headers["offset"])]
            assert record.value == (original.value or b"")
    assert worker.process.poll() is None and worker.health()["healthy"]


def test_metrics_and_health(services: Services, worker: WorkerProcess) -> None:
    produce(services, lines(3, 0, 10))
    wait_until(lambda: worker.health()["points"] >= 100, 30, or_else=lambda: f"{worker.health()}")
    status, text = worker.get("/metrics")
    assert status == 200 and "runtide_worker_points_total" in text
    wait_until(lambda: worker.health()["lag"] == 0, 10, or_else=lambda: f"{worker.health()}")
    assert len(worker.health()["partitions"]) == 6
    beat = "SELECT points, fresh_to > now() - 30 AS fresh FROM worker_beats ORDER BY at DESC LIMIT 1"
    wait_until(
        lambda: [row["fresh"] for row in services.query(beat)] == [1], 20, or_else=lambda: f"{services.query(beat)}"
    )


def test_a_worker_ends_in_order(tmp_path: Path) -> None:
    """Stopped amid work: the batch in hand is finished, the next worker goes on, nothing is stored twice."""
    with running_services(tmp_path) as services:
        first = services.worker()
        first.wait_healthy()
        messages = [lines(number % 4, number // 4 * 50, 50) for number in range(400)]
        produce(services, *messages[:200])
        services.wait_for_points(1)
        assert first.stop() == 0
        rolled, stored = "SELECT sum(n) FROM tiers FINAL", "SELECT count() FROM points FINAL"
        assert services.count(rolled) == services.count(stored), "the last rollup is part of an orderly end"
        produce(services, *messages[200:])
        second = services.worker()
        services.exactly(200_000)
        assert second.stop() == 0
        assert second.log.read_text().count("Traceback") == first.log.read_text().count("Traceback") == 0
