"""Each part of the path is killed under a steady stream of points: nothing is lost, nothing is stored twice.

Who brings a part back: the supervisor brings back broker, ClickHouse and worker, the SDK its shipper.
"""

import random
import signal
import time
from pathlib import Path

import pytest

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
