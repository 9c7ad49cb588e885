"""The whole way with real parts: Kafka, a worker's process, ClickHouse, and a webhook that is told."""

import asyncio
import time
from collections.abc import Iterator

import orjson
import pytest

from runtide.events import ALERTS_TOPIC
from tests.fixtures.families import Training, family, interleaved
from tests.fixtures.waiting import wait_until
from tests.fixtures.webhook import Webhook, webhook
from tests.fixtures.workers import Services, send, services_on

JUDGED = "SELECT count() FROM verdicts FINAL WHERE metric = ''"
PAGES = """
SELECT id, run_id, metric, kind, severity, quiet, title FROM v_alerts
WHERE severity = 'page' AND state = 'open' ORDER BY run_id, metric
"""


@pytest.fixture(scope="module", params=["embedded", "kafka"])
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services_on(request.param, tmp_path_factory.mktemp("alerting")) as running:
        yield running


@pytest.fixture(scope="module")
def hook(services: Services) -> Iterator[Webhook]:  # one for each broker
    with webhook() as hook:
        yield hook


def now_training(name: str, seed: int, worse: float = 1.0) -> Training:
    return Training(name, seed, worse=worse, start_ns=time.time_ns() - 40 * 10**9, steps=400)


def test_a_bad_run_is_told_once_and_its_siblings_are_silent(services: Services, hook: Webhook) -> None:
    worker = services.worker(env={"RUNTIDE_NOTIFY": hook.url})
    worker.wait_healthy()
    baseline = family(8)
    asyncio.run(send(services.broker.bootstrap, list(interleaved(baseline))))
    wait_until(lambda: services.count(JUDGED) == len(baseline), 60, or_else="the baseline runs are not judged")
    assert hook.received == []  # they ended long ago

    live = [now_training("ok", 1), now_training("bad", 2, worse=1.3), now_training("fine", 5)]
    asyncio.run(send(services.broker.bootstrap, list(interleaved(live))))
    wait_until(lambda: services.count(JUDGED) == len(baseline) + len(live), 60, or_else="the runs are not judged")
    pages = services.query(PAGES)
    assert {row["run_id"] for row in pages} == {"bad"} and len(pages) == 2
    [told] = [row for row in pages if not row["quiet"]]
    wait_until(lambda: len(hook.received) > 0, 20, or_else="nobody was told")
    time.sleep(1.0)
    [text] = hook.texts()
    assert told["title"] in text and told["id"] in text
    assert services.count("SELECT count() FROM deliveries FINAL WHERE state = 'sent'") == 1

    rows = [orjson.loads(record.value) for record in services.read_topic(ALERTS_TOPIC, len(pages))]
    assert {row["id"] for row in pages} <= {row["id"] for row in rows}
    status, metrics = worker.get("/metrics")
    assert status == 200 and "runtide_worker_detection_failures_total 0" in metrics
    assert worker.stop() == 0


def test_a_worker_without_detection_stores_and_says_nothing(services: Services) -> None:
    before = services.count(JUDGED)
    worker = services.worker(env={"RUNTIDE_DETECTION": "off"})
    worker.wait_healthy()
    asyncio.run(send(services.broker.bootstrap, list(now_training("unseen", 3, worse=1.5).messages())))
    points = "SELECT count() FROM v_points WHERE run_id = 'unseen'"
    wait_until(lambda: services.count(points) == 800, 60, or_else="not stored")
    assert worker.stop() == 0
    assert services.count(JUDGED) == before


def test_the_next_worker_finds_what_the_last_one_left(services: Services) -> None:
    worker = services.worker()
    worker.wait_healthy()
    found = "SELECT count() FROM v_alerts WHERE run_id = 'unseen' AND severity = 'page'"
    wait_until(lambda: services.count(found) > 0, 60, or_else="the alarm that nobody raised")
    assert worker.stop() == 0
