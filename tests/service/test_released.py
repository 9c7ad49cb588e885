"""What is kept of a run is let go when it ends: after many runs the parts hold no more than after a few."""

import asyncio
import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import runtide
from runtide._run import Run
from runtide.shipper.loop import Shipper, ShipperSettings
from runtide_storage.ids import run_key
from runtide_workers.alerting import lookout as lookout_module
from runtide_workers.alerting.incidents import Told
from runtide_workers.embedded.broker import Broker
from tests.fixtures.families import T0_NS, Training, family
from tests.fixtures.lookouts import Watch
from tests.fixtures.shipping import JournalWriter, Sink, running_broker
from tests.fixtures.storage import Engine

A_FEW, MANY = 5, 60


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout_module, "PLAN_PERIOD_S", 0.0)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with running_broker() as broker:
        yield broker


def test_a_process_that_makes_many_runs(tmp_path: Path) -> None:
    def after(runs: int) -> tuple[int, int, int]:
        for _ in range(runs):
            with runtide.init(project="p", dir=str(tmp_path), mode="offline", settings={"quiet": True}) as run:
                run.log({"loss": 1.0})
        gc.collect()
        alive = sum(isinstance(each, Run) for each in gc.get_objects())
        return psutil.Process().num_fds(), threading.active_count(), alive

    assert after(MANY) == after(A_FEW)


def test_a_shipper_of_many_finished_runs(tmp_path: Path, broker: Broker) -> None:
    def finished(first: int, runs: int) -> None:
        for number in range(first, first + runs):
            writer = JournalWriter(tmp_path, f"r{number}", f"h-{number}-1", broker.bootstrap)
            writer.log_steps(20)
            writer.finish()

    async def counts() -> list[tuple[int, ...]]:
        shipper = Shipper(ShipperSettings(str(tmp_path), broker.bootstrap, idle_exit_s=0.1))
        found: list[tuple[int, ...]] = []
        for first, runs in ((0, A_FEW), (A_FEW, MANY), (A_FEW + MANY, A_FEW)):
            finished(first, runs)
            await shipper.run()
            shipper._journals._discovery.look()
            sizes = len(shipper.shipments), len(shipper._journals.foreign), len(shipper._journals._discovery._runs)
            found.append((*sizes, shipper._in_flight_bytes, psutil.Process().num_fds(), len(asyncio.all_tasks())))
        await shipper.close()
        return found

    with Sink(broker.bootstrap) as sink:
        first, second, third = asyncio.run(counts())
    assert first[:4] == second[:4] == third[:4] == (0, 0, 0, 0)
    assert second[4:] == third[4:]
    assert len(sink.lines) == MANY + 2 * A_FEW
    assert not [entry for entry in os.scandir(tmp_path) if entry.is_dir()]


class Lives:
    """Runs of a family, a few at a time, as a worker meets them."""

    def __init__(self, database: Engine) -> None:
        self.watch = Watch(database)
        self._next = 0

    def train(self, runs: int) -> None:
        some = [Training(f"run{self._next + each}", each, start_ns=T0_NS + self._next + each) for each in range(runs)]
        self._next += runs
        self.watch.train(some)

    def kept(self) -> dict[str, int]:
        lookout = self.watch.lookout
        return {
            "followed": lookout.followed, "series": lookout.series, "slots": len(lookout._roster.bank),
            "pending": len(lookout._pending), "ended": len(lookout._ended), "boards": len(lookout._boards),
            "nearest": len(lookout._nearest), "history": len(lookout._history), "bank": lookout._roster.bank.nbytes,
        }  # fmt: skip


def test_detection_of_many_finished_runs(database: Engine) -> None:
    lives = Lives(database)
    lives.train(A_FEW)
    before = lives.kept()
    assert not any(count for name, count in before.items() if name != "bank")
    for _ in range(4):
        lives.train(A_FEW)
    assert lives.kept() == before


def test_the_end_of_a_run_that_nobody_follows_is_forgotten(database: Engine) -> None:
    watch = Watch(database)
    watch.lookout.left_alone = {run_key("test", "poison")}
    watch.train([Training("poison", 1)])
    assert not watch.lookout.busy
    assert watch.verdicts() == {}


def test_baselines_of_families_without_any_are_not_kept_for_ever(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtide_workers.alerting.baselines.BASELINES_KEPT", 3)
    watch = Watch(database)
    for training in family(8):
        watch.train([Training(training.run_id, training.seed, group=f"g-{training.run_id}")])
    assert len(watch.lookout._planner.baselines._kept) <= 3


def test_what_people_were_told_long_ago_is_forgotten() -> None:
    told = Told({"commit a": ("one", 1_000), "commit b": ("two", 5_000)})
    told.forget(now_ms=11_000, cooldown_s=10.0)
    assert told.causes == {"commit b": ("two", 5_000)}


def test_runs_that_begin_and_end_take_turns_with_those_that_go_on(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(database)
    watch.store((made for each in family(4) for made in each.messages()), is_seen=False)
    for training in family(4):
        watch.lookout.again(run_key("test", training.run_id))
    monkeypatch.setattr(lookout_module, "TURN_S", 0.0)
    judged = []
    for _ in range(4):
        watch.lookout.look()  # one is planned, and one that has ended is judged
        judged.append(len(watch.verdicts()))
    assert judged == [1, 2, 3, 4]
