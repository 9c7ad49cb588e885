"""The compose files' own settings, with real brokers: Kafka takes them, and each service does what it should."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from runtide.events import ALERTS_TOPIC, DEAD_LETTER_TOPIC, EVENTS_TOPIC
from runtide_storage.connect import connect
from runtide_workers.embedded.clickhouse import ClickHouse
from tests.fixtures.composed import BASE, CLUSTER, Composed, filled_in, services
from tests.fixtures.shipping import free_port
from tests.fixtures.waiting import wait_until
from tests.fixtures.workers import lines, send

pytestmark = pytest.mark.timeout(300)
TOPICS = [EVENTS_TOPIC, ALERTS_TOPIC, DEAD_LETTER_TOPIC]


class Deployment:
    """Brokers of the files and a ClickHouse; the other services are processes with the environment of the files.

    The users that only read are the embedded ClickHouse's own: it has no place for those that `migrate` would make.
    """

    def __init__(self, kafka: Composed, clickhouse: ClickHouse, *files: Path) -> None:
        self.kafka, self.clickhouse, self.services = kafka, clickhouse, services(*files)

    def start(self, name: str) -> tuple[subprocess.Popen[bytes], list[str]]:
        """The process of a service, and the words of its healthcheck."""
        service, port = self.services[name], str(free_port())
        env = {key: text for key, text in os.environ.items() if not key.startswith("RUNTIDE_")}
        for key, text in service["environment"].items():
            if not key.startswith("RUNTIDE_CLICKHOUSE"):
                env[key] = self.kafka.here(filled_in(str(text))) if key == "RUNTIDE_KAFKA" else filled_in(str(text))
            elif name != "migrate" or key == "RUNTIDE_CLICKHOUSE":
                user = filled_in(str(text)).partition("//")[2].partition(":")[0]
                env[key] = self.clickhouse.url(user)
        own_port = service["command"][-1]
        command = [word.replace(own_port, port) if word.isdigit() else word for word in service["command"]]
        asked = [word.replace(own_port, port) for word in service.get("healthcheck", {"test": []})["test"][1:]]
        return subprocess.Popen([sys.executable, "-m", "runtide.cli", *command], env=env), asked


@pytest.fixture(params=[(BASE,), (BASE, CLUSTER)], ids=["one", "cluster"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    with (
        Composed(tmp_path / "kafka", *request.param) as kafka,
        ClickHouse(tmp_path / "clickhouse", free_port()) as clickhouse,
    ):
        yield Deployment(kafka, clickhouse, *request.param)


def test_the_services_of_the_files_work_together(deployment: Deployment) -> None:
    migrate, _ = deployment.start("migrate")
    assert migrate.wait(120) == 0
    brokers = len(deployment.kafka.nodes)
    wait_until(
        lambda: asyncio.run(replicas(deployment.kafka.bootstrap)) == dict.fromkeys(TOPICS, brokers), 60,
        or_else=lambda: f"in sync: {asyncio.run(replicas(deployment.kafka.bootstrap))}",
    )  # fmt: skip
    assert asyncio.run(in_sync_at_least(deployment.kafka.bootstrap)) == ("2" if brokers == 3 else "1")

    worker, healthcheck = deployment.start("worker")
    dashboard, page_healthcheck = deployment.start("dashboard")
    try:
        for process, words in ((worker, healthcheck), (dashboard, page_healthcheck)):
            wait_until(partial(well, words), 90, or_else=partial("not healthy: {}".format, words))
            assert process.poll() is None
        asyncio.run(send(deployment.kafka.bootstrap, [lines(1, 0, 10)]))
        driver = connect(deployment.clickhouse.url("writer"))
        wait_until(
            lambda: driver.query("SELECT count() FROM points FINAL").result_rows == [(100,)], 60,
            or_else=lambda: "the points are not stored",
        )  # fmt: skip
        worker.terminate()
        assert worker.wait(60) == 0
    finally:
        for process in (worker, dashboard):
            process.kill()
            process.wait()


def well(words: list[str]) -> bool:
    """Run a healthcheck, `python` being ours."""
    asked = [sys.executable if word == "python" else word for word in words]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


async def replicas(bootstrap: str) -> dict[str, int]:
    async with Admin(bootstrap) as admin:
        described: list[dict[str, Any]] = await admin.describe_topics(TOPICS)
        return {each["topic"]: min((len(part["isr"]) for part in each["partitions"]), default=0) for each in described}


async def in_sync_at_least(bootstrap: str) -> str:
    async with Admin(bootstrap) as admin:
        asked = ConfigResource(ConfigResourceType.TOPIC, EVENTS_TOPIC)
        [answer] = await admin.describe_configs([asked])
        [(_, _, _, _, entries)] = answer.resources
        return next(str(entry[1]) for entry in entries if entry[0] == "min.insync.replicas")


class Admin:
    """An administrator's client for a `with` block."""

    def __init__(self, bootstrap: str) -> None:
        self._client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)

    async def __aenter__(self) -> AIOKafkaAdminClient:
        await self._client.start()
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
