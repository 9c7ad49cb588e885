"""Two workers of one group: each run has one of them, for detection and for telling people."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest

from tests.fixtures.families import Training, interleaved
from tests.fixtures.waiting import wait_until
from tests.fixtures.workers import Services, WorkerProcess, send, services_on

RUNS = 24


@pytest.fixture(scope="module", params=["embedded", "kafka"])
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services_on(request.param, tmp_path_factory.mktemp("share")) as running:
        yield running


def followed(worker: WorkerProcess) -> int:
    found = re.search(r"^runtide\w*_followed_runs (\d+)", worker.get("/metrics")[1], re.MULTILINE)
    return int(found[1]) if found else -1


def test_each_run_is_followed_by_one_worker(services: Services) -> None:
    first = services.worker()
    first.wait_healthy()
    runs = [Training(f"r{number}", number, steps=100) for number in range(RUNS)]
    asyncio.run(send(services.broker.bootstrap, list(interleaved(runs, ends=False))))
    wait_until(lambda: followed(first) == RUNS, 60, or_else=lambda: f"{followed(first)} of {RUNS} runs are followed")

    second = services.worker(number=1)  # one of the two leads the group, and both must know what is theirs
    second.wait_healthy()

    def shares() -> list[int]:
        return [followed(first), followed(second)]

    wait_until(lambda: sum(shares()) == RUNS and min(shares()) > 0, 60, or_else=lambda: f"they follow {shares()}")
    second.stop()
    wait_until(lambda: followed(first) == RUNS, 60, or_else=lambda: f"{followed(first)} of {RUNS} runs are followed")
