"""The whole path on Apache Kafka, whose brokers die and come back while points flow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtide_storage import Client
from tests.fixtures.apache_kafka import ApacheKafka
from tests.fixtures.expect import Logged, exactly
from tests.fixtures.shipping import segments
from tests.fixtures.waiting import wait_until
from tests.fixtures.workers import PROJECT, Services, running_services

TRAINERS, SCALARS, CALLS_PER_S = 6, 10, 50
ROOT = Path(__file__).parents[2]


def trainer(services: Services, number: int, end: Path) -> subprocess.Popen[str]:
    env = {name: text for name, text in os.environ.items() if not name.startswith("RUNTIDE_")}
    env |= {"RUNTIDE_KAFKA": services.broker.bootstrap, "RUNTIDE_DIR": str(services.home / "journal")}
    words = ["--project", PROJECT, "--process", number, "--calls", 10**6, "--rate", CALLS_PER_S, "--until", end]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fixtures.trainer", *map(str, words)],
        cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.timeout(300)
@pytest.mark.parametrize("nodes", [1, 3])
def test_nothing_is_lost_while_brokers_die(tmp_path: Path, nodes: int) -> None:
    kafka = ApacheKafka(tmp_path / "kafka", nodes)
    with running_services(tmp_path, kafka) as services:
        end = tmp_path / "end"
        trainers: list[subprocess.Popen[str]] = []
        try:
            services.worker().wait_healthy()
            trainers = [trainer(services, number, end) for number in range(TRAINERS)]
            services.wait_for_points(TRAINERS * SCALARS * CALLS_PER_S)
            for victim in (*kafka.nodes, kafka.nodes[0]):
                victim.kill()
                time.sleep(1)
                kafka.start()
                time.sleep(3)
            end.touch()
            logged = []
            for number, each in enumerate(trainers):
                output, _ = each.communicate(timeout=60)
                assert each.returncode == 0, output
                logged.append(Logged(f"p{number}", json.loads(output.splitlines()[-1])["calls"], SCALARS))
            exactly(Client(services.clickhouse.url("reader")), PROJECT, logged)
            journals = tmp_path / "journal"
            wait_until(lambda: not segments(journals), 60, or_else=lambda: f"left: {segments(journals)}")
        finally:
            for process in trainers:
                process.kill()
                process.wait()
