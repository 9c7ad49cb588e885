"""A message that Faust drops is not lost: the worker notices before it acknowledges what is behind, and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.fixtures.workers import Services, lines, send, services_on

RUNS, MESSAGES, LINES = 4, 60, 5
DROPPED = 30


@pytest.fixture(params=["embedded", "kafka"])
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services_on(request.param, tmp_path_factory.mktemp("passes")) as running:
        yield running


def test_one_message_dropped_between_kafka_and_the_sink(services: Services) -> None:
    made = [lines(run, number * LINES, LINES) for number in range(MESSAGES) for run in range(RUNS)]
    placed = asyncio.run(send(services.broker.bootstrap, made))
    assert max(offset for _, offset in placed) > DROPPED
    worker = services.worker(program="tests.fixtures.passing_worker", env={"PASS_OVER": str(DROPPED)})
    assert worker.wait_dead() == 1
    said = worker.log.read_text()
    assert f"goes on at {DROPPED + 1}, but Kafka has {DROPPED}" in said and "Traceback" not in said
    services.worker().wait_healthy()
    services.exactly(RUNS * MESSAGES * LINES * 10)
