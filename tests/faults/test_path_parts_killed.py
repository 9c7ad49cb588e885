"""Each part of the path is killed under a steady stream of points: nothing is lost, nothing is stored twice.

Who brings it back: the supervisor does so for broker, ClickHouse and worker, the SDK for its shipper, people the rest.
"""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.fixtures.expect import Logged, exactly
from tests.fixtures.stack import Stack
from tests.fixtures.stream import steady_stream

pytestmark = pytest.mark.timeout(300)


def test_the_shipper_is_killed(fresh_stack: Stack, project: str, tmp_path: Path) -> None:
    chance = random.Random(1)
    with steady_stream(fresh_stack, project, tmp_path / "end") as stream:
        for _ in range(4):
            time.sleep(chance.uniform(0.0, 1.5))
            fresh_stack.kill("shipper")
            stream.wait_for_more()


def test_the_worker_is_killed(fresh_stack: Stack, project: str, tmp_path: Path) -> None:
    chance = random.Random(2)
    with steady_stream(fresh_stack, project, tmp_path / "end") as stream:
        for _ in range(4):
            time.sleep(chance.uniform(0.0, 1.5))
            fresh_stack.kill("worker")
            stream.wait_for_more()


def test_the_broker_is_killed_and_forgets_everything(fresh_stack: Stack, project: str, tmp_path: Path) -> None:
    chance = random.Random(3)
    with steady_stream(fresh_stack, project, tmp_path / "end") as stream:
        for _ in range(2):
            time.sleep(chance.uniform(0.0, 1.5))
            fresh_stack.kill("broker")
            stream.wait_for_more()


def test_clickhouse_is_killed(fresh_stack: Stack, project: str, tmp_path: Path) -> None:
    chance = random.Random(4)
    with steady_stream(fresh_stack, project, tmp_path / "end") as stream:
        for _ in range(2):
            time.sleep(chance.uniform(0.0, 1.5))
            fresh_stack.kill("clickhouse")
            stream.wait_for_more()


def test_clickhouse_hangs_for_a_while(fresh_stack: Stack, project: str, tmp_path: Path) -> None:
    with steady_stream(fresh_stack, project, tmp_path / "end") as stream:
        fresh_stack.kill("clickhouse", signal_number=signal.SIGSTOP)
        time.sleep(5)
        fresh_stack.kill("clickhouse", signal_number=signal.SIGCONT)
        stream.wait_for_more()


def test_everything_is_killed_in_turn(fresh_stack: Stack, project: str, tmp_path: Path) -> None:
    chance = random.Random(5)
    with steady_stream(fresh_stack, project, tmp_path / "end") as stream:
        for part in ["worker", "shipper", "broker", "clickhouse", "worker", "shipper"]:
            time.sleep(chance.uniform(0.0, 1.0))
            fresh_stack.kill(part)
        stream.wait_for_more(timeout_s=120)


def test_the_supervisor_is_killed_and_started_again(fresh_stack: Stack, project: str, tmp_path: Path) -> None:
    with steady_stream(fresh_stack, project, tmp_path / "end") as stream:
        os.kill(fresh_stack.described()["pid"], signal.SIGKILL)
        time.sleep(2)
        fresh_stack.up()
        stream.wait_for_more()


def test_what_was_trained_while_nothing_ran_is_stored_later(fresh_stack: Stack, project: str) -> None:
    """As after a reboot: no broker, no ClickHouse, no shipper, only the journals of trainings that have ended."""
    fresh_stack.down()
    arguments = ["--process", 7, "--calls", 500, "--finish-timeout", 0]
    alone = {"RUNTIDE_KAFKA": fresh_stack.kafka, "RUNTIDE_SHIPPER": "external"}
    trainer = fresh_stack.trainer(project, *arguments, env=alone)
    output, _ = trainer.communicate(timeout=60)
    assert trainer.returncode == 0, output
    fresh_stack.up()
    exactly(fresh_stack.client, project, [Logged("p7", 500)])
