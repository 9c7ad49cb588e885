"""A broker that takes only small messages: larger ones are split, and what can't be is set aside and counted."""

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from runtide.events import EVENTS_TOPIC
from runtide.shipper import status
from tests.fixtures.apache_kafka import ApacheKafka
from tests.fixtures.fleet import PATIENCE_S, ROOT, Fleet, all_stored, recovered, running
from tests.fixtures.waiting import wait_until
from tests.fixtures.workers import Services, running_services

pytestmark = pytest.mark.timeout(900)
LIMIT_BYTES = 50_000
CALLS, SCALARS = 1200, 100  # of random numbers, which hardly compress: 256 KiB of lines make more than that
WIDE = {400: 3000, 800: 3200}  # the scalars of two calls: each a line of some 85 kB
SCRIPT = f"""
import random, runtide
chance = random.Random(7)
run = runtide.init("wide", id="large")
for step in range({CALLS}):
    run.log({{f"v{{n}}": chance.random() for n in range({WIDE}.get(step, {SCALARS}))}}, step=step)
run.finish(timeout=30)
"""
STORED = """
SELECT step, metric, value FROM v_points WHERE run_id = 'large' AND NOT startsWith(metric, 'system/')
"""


def lower_limit(bootstrap: str) -> None:
    async def lower() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            configs = {"max.message.bytes": str(LIMIT_BYTES)}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, EVENTS_TOPIC, configs=configs)])
        finally:
            await admin.close()

    asyncio.run(lower())


def logged() -> dict[tuple[int, str], float]:
    chance = random.Random(7)
    return {(step, f"v{number}"): chance.random() for step in range(CALLS) for number in range(WIDE.get(step, SCALARS))}


def told_by_status(services: Services, fleet: Fleet) -> str:
    env = {name: text for name, text in os.environ.items() if not name.startswith("RUNTIDE_")}
    env |= {"RUNTIDE_KAFKA": fleet.kafka, "RUNTIDE_DIR": str(fleet.journals), "RUNTIDE_HOME": str(services.home)}
    env |= {"RUNTIDE_CLICKHOUSE": services.clickhouse.url("reader")}
    done = subprocess.run(
        [sys.executable, "-m", "runtide.cli", "status"], env=env, capture_output=True, text=True, check=False
    )
    return done.stdout


def test_messages_are_split_and_lines_that_never_pass_are_set_aside(tmp_path: Path) -> None:
    with running_services(tmp_path, ApacheKafka(tmp_path / "kafka")) as services:
        lower_limit(services.broker.bootstrap)
        services.worker().wait_healthy()
        fleet = Fleet(services.broker.bootstrap, tmp_path, alert_every=100)
        with running(fleet, 3):
            recovered(services, fleet, "start")
            env = {**os.environ, "RUNTIDE_KAFKA": fleet.kafka, "RUNTIDE_DIR": str(fleet.journals)}
            done = subprocess.run(
                [sys.executable, "-c", SCRIPT], cwd=ROOT, env=env, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            wait_until(lambda: bool(services.query(STORED)), PATIENCE_S, or_else="nothing of the large run is stored")
            recovered(services, fleet, f"Kafka takes {LIMIT_BYTES} bytes at most")
            expected = {place: value for place, value in logged().items() if place[0] not in WIDE}
            wait_until(
                lambda: len(services.query(STORED)) >= len(expected), PATIENCE_S,
                or_else=lambda: f"{len(services.query(STORED))} of {len(expected)} points are stored",
            )  # fmt: skip
            found = [((row["step"], row["metric"]), row["value"]) for row in services.query(STORED)]
            assert len(found) == len(expected) and dict(found) == expected

            letters = services.query("SELECT reason, detail, value FROM dead_letters FINAL")
            assert [letter["reason"] for letter in letters] == ["line_too_large"] * len(WIDE), letters
            assert all('"begins":"{' in letter["value"] for letter in letters)
            wait_until(
                lambda: status.read(fleet.journals)[0].oversize_lines == len(WIDE), PATIENCE_S,
                or_else=lambda: f"after what is stored, the shipper still says {status.read(fleet.journals)}",
            )  # fmt: skip
            [shipper] = status.read(fleet.journals)
            assert shipper.reachable
            said = told_by_status(services, fleet)
            assert f"{len(WIDE)} lines too large for Kafka" in said, said
            print(
                f"\n[shipper] {shipper.failures} refusals, {shipper.resent_lines} of {shipper.sent_lines} lines again"
            )
            all_stored(services, fleet, fleet.end())
