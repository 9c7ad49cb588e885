"""The SDK and the shipper together: what `log` accepted arrives, and `finish` knows that it has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtide.shipper import spawn, status
from runtide_workers.embedded.broker import Broker
from tests.fixtures.shipping import Sink, running_broker, segments
from tests.fixtures.waiting import wait_until

SCRIPT = """
import os, sys, time, runtide
run = runtide.init("p", settings={settings!r})
for step in range({steps}):
    run.log({{"loss": 1 / (step + 1), "acc": step}})
print(run.id, flush=True)
{ending}
"""
FINISH = "begun = time.monotonic(); run.finish(); print(time.monotonic() - begun)"
KILL = "os.kill(os.getpid(), 9)"


@pytest.fixture
def broker() -> Iterator[Broker]:
    with running_broker() as broker:
        yield broker


@pytest.fixture
def environment(tmp_path: Path, broker: Broker) -> Iterator[dict[str, str]]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("RUNTIDE_")}
    yield env | {
        "RUNTIDE_DIR": str(tmp_path),
        "RUNTIDE_KAFKA": broker.bootstrap,
        "RUNTIDE_HOME": str(tmp_path / "home"),
    }
    for found in status.read(tmp_path):
        if found.running:
            os.kill(found.pid, signal.SIGKILL)


def train(env: dict[str, str], steps: int, ending: str, **settings: object) -> list[str]:
    code = SCRIPT.format(steps=steps, ending=ending, settings=settings or None)
    done = subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout.split()


def steps_of(sink: Sink, run: str) -> list[int]:
    (writer,) = (writer for found, writer in sink.lines if found == run)
    events = [json.loads(line) for line in sink.written(run, writer)]
    return [event["s"] for event in events if "loss" in event.get("m", {})]


def test_finish_returns_when_the_broker_has_everything(
    tmp_path: Path, broker: Broker, environment: dict[str, str]
) -> None:
    with Sink(broker.bootstrap) as sink:
        run, took_s = train(environment, 2000, FINISH)
        assert float(took_s) < 4.5  # it gives up after 5 s
        wait_until(lambda: not segments(tmp_path), 20, or_else="a journal stays")
        assert steps_of(sink, run) == list(range(2000))


def test_a_killed_trainer_loses_nothing(tmp_path: Path, broker: Broker, environment: dict[str, str]) -> None:
    with Sink(broker.bootstrap) as sink:
        runs = [train(environment, steps, KILL)[0] for steps in (1, 7, 500)]
        wait_until(lambda: not segments(tmp_path), 20, or_else="a journal stays")
        assert [steps_of(sink, run) for run in runs] == [list(range(steps)) for steps in (1, 7, 500)]
        for run in runs:
            ((_, lines),) = ((key, lines) for key, lines in sink.lines.items() if key[0] == run)
            assert json.loads(lines[max(lines)])["d"] == {"state": "killed"}


def test_a_training_that_ends_right_after_its_shipper_was_killed_leaves_another(
    tmp_path: Path, broker: Broker, environment: dict[str, str]
) -> None:
    """Nobody will ask again: the last look must not be told that a shipper is being started when it has just died."""
    with Sink(broker.bootstrap) as sink:
        ending = (
            "from runtide.shipper import spawn, status\n"
            f"root, kafka = {str(tmp_path)!r}, {broker.bootstrap!r}\n"
            "while not (found := status.read(root)): time.sleep(0.01)\n"
            "os.kill(found[0].pid, 9)\n"
            "while spawn.is_running(root, kafka): time.sleep(0.01)\n"
            "run.log({'loss': 0.5, 'acc': 50})\n"
            "run.finish(timeout=0)"
        )
        (run,) = train(environment, 50, ending)
        wait_until(lambda: not segments(tmp_path), 20, or_else="a journal stays")
        assert steps_of(sink, run) == list(range(51))


def test_the_thread_delivers_too(tmp_path: Path, broker: Broker, environment: dict[str, str]) -> None:
    with Sink(broker.bootstrap) as sink:
        run, _ = train(environment, 300, FINISH, shipper="thread")
        assert not spawn.is_running(tmp_path, broker.bootstrap)
        time.sleep(1)
        assert steps_of(sink, run) == list(range(300))
